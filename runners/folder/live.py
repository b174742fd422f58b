"""Telling a person how a run goes: a live picture on a terminal, plain lines elsewhere."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, cast

import typer

from nasir import Genotype
from nasir.quoting import visible, visible_lines
from runners.folder.pace import Pace

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

Facts = Mapping[str, object]
"""Names and numbers, texts, or scalar tensors, which are read only when they are shown."""

PATIENCE = 10.0
"""Seconds between two lines within an epoch."""

REFRESHES = 4
"""A second, of the live picture."""


class Display(Protocol):
    """Is told how a run goes. Epochs and steps count from 0."""

    def start(self, total_epochs: int, done: int) -> None:
        """The run has so many epochs, of which some are done; may be said again when it learns."""
        ...

    def step(self, epoch: int, step: int, steps: int, facts: Facts) -> None:
        """A step of so many is done; cheap."""
        ...

    def epoch(self, row: Facts, genotype_text: str) -> None:
        """An epoch is done: its row of metrics, and the genotype that would be chosen now."""
        ...

    def say(self, text: str) -> None:
        """A line."""
        ...

    def close(self) -> None:
        """The run has ended, in whatever way; may be said twice."""
        ...


class SilentDisplay:
    """Tells nobody."""

    def start(self, total_epochs: int, done: int) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, steps: int, facts: Facts) -> None:
        """Nothing."""

    def epoch(self, row: Facts, genotype_text: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class LineDisplay:
    """A line on stderr for each epoch, and within long epochs every PATIENCE seconds. Mutable."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said = clock()
        self._pace = Pace(clock)

    def start(self, total_epochs: int, done: int) -> None:
        """Says how many epochs are done, if any are."""
        self._pace.start(total_epochs, done)
        if done:
            self.say(f"{done} of {total_epochs} epochs are done")

    def step(self, epoch: int, step: int, steps: int, facts: Facts) -> None:
        """Says something when nothing was said for long."""
        self._pace.at(epoch, step, steps)
        if self._clock() - self._said >= PATIENCE:
            place = f"epoch {epoch + 1}/{self._pace.total} step {step + 1}/{steps}"
            self.say("  ".join(_filled(place, facts_text(facts), self._pace.words)))

    def epoch(self, row: Facts, genotype_text: str) -> None:
        """Says how the epoch was."""
        del genotype_text  # it is in the run's folder
        self.say(_epoch_line(row, self._pace))

    def say(self, text: str) -> None:
        """A line."""
        self._said = self._clock()
        typer.echo(visible(text), err=True)

    def close(self) -> None:
        """Nothing: every line is out."""


class LiveDisplay:
    """Bars, figures and the current genotype below the lines of the epochs, on stderr. Mutable.

    Nothing is wider or higher than the terminal.
    """

    def __init__(self, console: "Console | None" = None) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = console or Console(stderr=True)
        self._pace = Pace()
        self._facts: Facts = {}
        self._genotype = ""
        self._live = Live(
            console=self._console,
            get_renderable=self._picture,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def start(self, total_epochs: int, done: int) -> None:
        """Begins to show the picture."""
        self._pace.start(total_epochs, done)
        self._live.start()

    def step(self, epoch: int, step: int, steps: int, facts: Facts) -> None:
        """Notes the step for the next time that the picture is drawn."""
        self._facts = facts
        self._pace.at(epoch, step, steps)

    def epoch(self, row: Facts, genotype_text: str) -> None:
        """Leaves a line above the picture, and shows the genotype."""
        self._genotype = visible_lines(genotype_text)
        self.say(_epoch_line(row, self._pace))

    def say(self, text: str) -> None:
        """Leaves a line above the picture."""
        from rich.text import Text

        self._console.print(Text(visible(text), overflow="fold"))

    def close(self) -> None:
        """Takes the picture away; the lines stay."""
        self._live.stop()

    def _picture(self) -> "RenderableType":
        from rich.console import Group
        from rich.text import Text

        pace = self._pace
        place = f"epoch {min(pace.done + 1, pace.total)}/{pace.total}"
        part = pace.step / pace.steps if pace.steps else 0.0
        lines = [
            _bar(place, pace.done + part, pace.total, pace.words),
            _bar(f"step {pace.step}/{pace.steps}", pace.step, pace.steps, ""),
            _line(facts_text(self._facts)),
        ]
        genotype = self._genotype.rstrip().splitlines()
        room = max(0, self._console.height - len(lines) - 2)
        if len(genotype) > room:
            genotype = [*genotype[: max(0, room - 1)], "…"] if room else []
        lines += [Text(line, style="cyan", no_wrap=True, overflow="ellipsis") for line in genotype]
        return Group(*lines)


def display_for_stderr() -> Display:
    """What suits the stream that people watch."""
    moves = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    return LiveDisplay() if moves else LineDisplay()


def genotype_lines(genotype: Genotype) -> str:
    """A genotype in few and short lines: a line a node, `kind node: op source, op source`."""
    return "\n".join(_node_lines(genotype))


def facts_text(facts: Facts) -> str:
    """`rate 0.025; train loss 1.234, accuracy 0.5`: numbers to four digits; None is left out."""
    plain = [
        f"{name} {_number(value)}"
        for name, value in facts.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    groups = [
        f"{name} {facts_text(cast('Facts', value))}"
        for name, value in facts.items()
        if isinstance(value, Mapping) and value
    ]
    return "; ".join(_filled(", ".join(plain), *groups))


_NOT_SHOWN = {"epoch", "stage", "phase", "skips", "entropy"}
"""Of an epoch's row: what the line says elsewhere, and what is there for every choice."""


def _epoch_line(row: Facts, pace: Pace) -> str:
    """The epoch as a line; the pace learns that it is done."""
    epoch = row["epoch"]
    assert isinstance(epoch, int)
    pace.finish(epoch)
    shown = {name: value for name, value in row.items() if name not in _NOT_SHOWN}
    phase = str(row.get("phase", ""))
    place = f"epoch {epoch + 1}/{pace.total}"
    return "  ".join(_filled(place, phase, facts_text(shown), pace.words))


def _filled(*texts: str) -> Iterator[str]:
    return (text for text in texts if text)


def _number(value: object) -> str:
    return value if isinstance(value, str) else f"{float(cast('Any', value)):.4g}"


def _node_lines(genotype: Genotype) -> Iterator[str]:
    for cell in genotype.cells:
        for index, edges in enumerate(cell.nodes):
            op = f"{cell.ops[index]} of " if cell.ops else ""
            reads = ", ".join(f"{edge.op} {edge.source}".strip() for edge in edges)
            yield f"{cell.kind} {cell.inputs + index}: {op}{reads}"


def _line(text: str) -> "RenderableType":
    from rich.text import Text

    return Text(visible(text), no_wrap=True, overflow="ellipsis")


def _bar(name: str, done: float, total: float, words: str) -> "RenderableType":
    """A name, a bar in the room that is left, and words; the bar gives way first."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis", min_width=min(14, len(name)))
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True, overflow="ellipsis", justify="right")
    bar = ProgressBar(total=total or 1, completed=done)
    grid.add_row(Text(name.ljust(14)), bar, Text(words))
    return grid
