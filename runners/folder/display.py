"""Progress of a run or a command: a bar on a terminal, else plain lines."""

import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import typer

from nasir import Genotype
from nasir.errors import visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, Task

Facts = Mapping[str, object]
"""Names with numbers, texts, or scalar tensors, which are read only when displayed."""

Item = TypeVar("Item")

PATIENCE = 10.0
"""Seconds between two lines within an epoch."""

_PERIOD = 3600.0
"""Seconds (of at most 1,000 steps) over which speed is averaged to predict the time left."""


class Display:
    """Receives progress events and displays nothing. Epochs and steps count from 0."""

    def start(self, total_epochs: int, done: int) -> None:
        """Starts a run with `done` finished epochs; may be called again."""

    def step(self, epoch: int, step: int, steps: int, facts: Facts) -> None:
        """Reports a finished step; cheap."""

    def epoch(self, row: Facts, genotype_text: str) -> None:
        """Reports a finished epoch: its row of metrics and the current genotype."""

    def say(self, text: str) -> None:
        """Prints a line."""

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Shows a stage of a command within the context."""
        del name
        return nullcontext()

    def track(self, items: Iterable[Item], total: int, name: str) -> Iterator[Item]:
        """Yields `total` items, and shows how many have been used."""
        del total, name
        yield from items

    def close(self) -> None:
        """Ends the display, also after a failure; may be called twice."""


class ShownDisplay(Display):
    """Shows progress on stderr. Mutable.

    On a terminal: a bar with metrics and the genotype below it; elsewhere: a line for each stage
    and epoch, and in long epochs one every PATIENCE seconds.
    """

    def __init__(
        self, console: "Console | None" = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.moves = console is not None or is_terminal()
        self._console = console
        self._clock = clock
        self._said = clock()
        self._facts: Facts = {}
        self._genotype = ""

    def start(self, total_epochs: int, done: int) -> None:
        """Starts the bar, or prints the number of finished epochs, if any."""
        for task in self._bars.task_ids:
            self._bars.remove_task(task)
        self._bars.add_task("", total=total_epochs, completed=done)
        if self.moves:
            self._bars.start()
        elif done:
            self.say(f"{done} of {total_epochs} epochs are done")

    def step(self, epoch: int, step: int, steps: int, facts: Facts) -> None:
        """Updates the bar, or prints a line if the last one is old."""
        self._facts = facts
        place = f"epoch {epoch + 1}/{self._task.total:.0f} step {step + 1}/{steps}"
        self._bars.update(
            self._task.id, description=place, completed=epoch + (step + 1) / max(steps, 1)
        )
        if not self.moves and self._clock() - self._said >= PATIENCE:
            self.say("  ".join(_filled(place, facts_text(facts), self._left)))

    def epoch(self, row: Facts, genotype_text: str) -> None:
        """Prints a line for the epoch; shows the genotype below the bar."""
        epoch = row["epoch"]
        assert isinstance(epoch, int)
        self._bars.update(self._task.id, completed=epoch + 1)
        self._genotype = visible_lines(genotype_text)
        phase = str(row.get("phase", ""))
        unit, phase = ("query", "") if phase == "query" else ("epoch", phase)
        place = f"{unit} {epoch + 1}/{self._task.total:.0f}"
        shown = {name: value for name, value in row.items() if name not in _NOT_SHOWN}
        self.say("  ".join(_filled(place, phase, facts_text(shown), self._left)))

    def say(self, text: str) -> None:
        """Prints a line, above the bar."""
        self._said = self._clock()
        if not self.moves:
            typer.echo(visible(text), err=True)
            return
        from rich.text import Text

        self._bars.console.print(Text(visible(text), overflow="fold"))

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Prints a line, or shows a bar with the elapsed time until the stage ends."""
        if not self.moves:
            self.say(f"{name} ...")
            yield
            return
        task = self._bars.add_task(visible(name), total=None)
        self._bars.start()
        try:
            yield
        finally:
            self._bars.remove_task(task)
            if not self._bars.tasks:
                self.close()

    def track(self, items: Iterable[Item], total: int, name: str) -> Iterator[Item]:
        """Shows a bar, or prints a line every PATIENCE seconds, until the items end."""
        name = visible(name)
        task = self._bars.add_task(name, total=total)
        if self.moves:
            self._bars.start()
        try:
            for number, item in enumerate(items, start=1):
                yield item
                self._bars.update(task, description=f"{name} {number}/{total}", completed=number)
                if not self.moves and self._clock() - self._said >= PATIENCE:
                    self.say("  ".join(_filled(f"{name}: {number} of {total}", self._left)))
        finally:
            self._bars.remove_task(task)
            if not self._bars.tasks:
                self.close()

    def close(self) -> None:
        """Removes the bar; the lines stay."""
        if self.moves:
            self._bars.stop()

    @cached_property
    def _bars(self) -> "Progress":
        from rich import progress
        from rich.console import Console

        below, console = self._below, self._console or Console(stderr=True)

        class Bars(progress.Progress):
            def get_renderables(self) -> "Iterable[RenderableType]":
                yield from super().get_renderables()
                yield from below(console.height)

        return Bars(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(bar_width=None),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
            refresh_per_second=4,
            speed_estimate_period=_PERIOD,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            get_time=self._clock,
            expand=True,
        )

    @property
    def _task(self) -> "Task":
        return self._bars.tasks[0]

    @property
    def _left(self) -> str:
        """The time left, if it can be predicted."""
        seconds = self._task.time_remaining
        return f"{timedelta(seconds=int(seconds))} left" if seconds else ""

    def _below(self, height: int) -> "Iterator[RenderableType]":
        from rich.text import Text

        texts = [*_filled(visible(facts_text(self._facts)), *self._genotype.splitlines())]
        for text in texts[: max(0, height - 2)]:
            yield Text(text, no_wrap=True, overflow="ellipsis")


def is_terminal() -> bool:
    """Whether stderr is a terminal on which lines can be drawn again."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def display_for_stderr(shown: object = True) -> Display:
    """Returns a display on stderr; a silent one where `shown` is false."""
    return ShownDisplay() if shown else Display()


def genotype_lines(genotype: Genotype) -> str:
    """Formats a genotype as a line per node: `kind node: op source, op source`."""
    lines: list[str] = []
    for cell in genotype.cells:
        for index, (op, edges) in enumerate(zip(cell.node_ops, cell.nodes, strict=True)):
            op = op and f"{op} of "
            reads = ", ".join(f"{edge.op} {edge.source}".strip() for edge in edges)
            lines.append(f"{cell.kind} {cell.inputs + index}: {op}{reads}")
    lines += [f"{name} {number}" for name, number in genotype.size]
    return "\n".join(lines)


def facts_text(facts: Facts) -> str:
    """Formats `lr 0.025; train loss 1.234, accuracy 0.5`: four digits, without None."""
    plain, groups = list[str](), list[str]()
    for name, value in facts.items():
        if isinstance(value, Mapping):
            groups += [f"{name} {facts_text(cast('Facts', value))}"] if value else []
        elif value is not None:
            shown = value if isinstance(value, str) else f"{float(cast('Any', value)):.4g}"
            plain.append(f"{name} {shown}")
    return "; ".join(_filled(", ".join(plain), *groups))


_NOT_SHOWN = {"epoch", "stage", "phase", "skips", "entropy", "genotype", "parent"}
"""Fields of a row that its line shows elsewhere, or that have a value per choice."""


def _filled(*texts: str) -> Iterator[str]:
    return (text for text in texts if text)
