"""Showing a run while it goes: a live display on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

import typer

EVERY = 10.0
"""Seconds between plain lines within an epoch."""


class Display(Protocol):
    """Is told what happens."""

    def start(self, epochs: int, done: int) -> None:
        """A run of so many epochs begins, of which some are done."""
        ...

    def step(self, epoch: int, step: int, steps: int, facts: Mapping[str, float]) -> None:
        """A step of an epoch is done (from 1)."""
        ...

    def epoch(self, row: Mapping[str, Any], genotype: str) -> None:
        """An epoch is done and kept."""
        ...

    def say(self, text: str) -> None:
        """Something else happened."""
        ...

    def close(self) -> None:
        """Nothing follows."""
        ...


class Quiet:
    """Shows nothing."""

    def start(self, epochs: int, done: int) -> None:
        """Nothing."""

    def step(self, epoch: int, step: int, steps: int, facts: Mapping[str, float]) -> None:
        """Nothing."""

    def epoch(self, row: Mapping[str, Any], genotype: str) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class Plain:
    """Lines on stderr: one for each epoch, and one every ten seconds within it."""

    def __init__(self) -> None:
        self._epochs = self._done = self._first = 0
        self._last = self._began = time.monotonic()

    def start(self, epochs: int, done: int) -> None:
        """Says so where epochs were done before."""
        self._epochs, self._done, self._first = epochs, done, done
        self._began = self._last = time.monotonic()
        if done:
            typer.echo(f"going on after epoch {done} of {epochs}", err=True)

    def step(self, epoch: int, step: int, steps: int, facts: Mapping[str, float]) -> None:
        """A line, if none was written for ten seconds."""
        now = time.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            place = f"epoch {epoch + 1}/{self._epochs}, step {step}/{steps}"
            typer.echo(f"{place}: {shown(facts)}", err=True)

    def epoch(self, row: Mapping[str, Any], genotype: str) -> None:
        """The epoch's measures and the time left."""
        del genotype
        self._done = int(row["epoch"]) + 1
        self._last = time.monotonic()
        spent = (self._last - self._began) / max(self._done - self._first, 1)
        left = duration(spent * (self._epochs - self._done))
        typer.echo(f"epoch {self._done}/{self._epochs}: {measures(row)}; {left} left", err=True)

    def say(self, text: str) -> None:
        """The line, unless it counts something that moves faster than people read."""
        now = time.monotonic()
        if "measured" not in text or now - self._last >= EVERY:
            self._last = now
            typer.echo(f"  {text}", err=True)

    def close(self) -> None:
        """Nothing."""


class Live:
    """Bars over epochs and steps with the measures, and the present genotype below, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Region
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            expand=True,
        )
        self._measures = self._genotype = ""
        self._region = Region(
            get_renderable=self._drawn, console=self._console, refresh_per_second=4, transient=True
        )
        self._epochs = self._steps = None

    def start(self, epochs: int, done: int) -> None:
        """Draws the bars."""
        self._epochs = self._bars.add_task("epochs", total=epochs, completed=done)
        self._steps = self._bars.add_task("steps", total=None)
        self._region.start()

    def step(self, epoch: int, step: int, steps: int, facts: Mapping[str, float]) -> None:
        """Moves the bar of steps."""
        assert self._steps is not None
        self._measures = f"epoch {epoch + 1}: {shown(facts)}"
        self._bars.update(self._steps, total=steps, completed=step)

    def epoch(self, row: Mapping[str, Any], genotype: str) -> None:
        """Leaves the epoch's line above the bars."""
        assert self._epochs is not None
        assert self._steps is not None
        done = int(row["epoch"]) + 1
        self._bars.update(self._epochs, completed=done)
        self._bars.reset(self._steps)
        self._genotype = summary(genotype) if genotype else ""
        self._region.console.print(f"epoch {done}: {measures(row)}", highlight=False)

    def say(self, text: str) -> None:
        """Leaves the line above the bars, or shows a count in their place."""
        if "measured" in text:
            self._measures = text
        else:
            self._region.console.print(f"  {text}", highlight=False, markup=False)

    def close(self) -> None:
        """Removes the bars."""
        self._region.stop()

    def _drawn(self) -> Any:
        from rich.console import Group
        from rich.text import Text

        parts: list[Any] = [self._bars, Text(self._measures)]
        if self._genotype:
            parts.append(Text(self._genotype, style="dim"))
        return Group(*parts)


def find_display() -> Display:
    """Live on a terminal, lines elsewhere."""
    return Live() if sys.stderr.isatty() else Plain()


def shown(facts: Mapping[str, float]) -> str:
    """`loss 1.234, accuracy 45.6 %`."""
    units = {"accuracy": " %"}
    return ", ".join(f"{name} {value:.4g}{units.get(name, '')}" for name, value in facts.items())


def measures(row: Mapping[str, Any]) -> str:
    """An epoch's training and held-out measures in one line."""
    parts = [f"{part} {shown(row[part])}" for part in ("train", "valid") if part in row]
    if "eigenvalue" in row:
        parts.append(f"eigenvalue {row['eigenvalue']:.4g}")
    return "; ".join(parts)


def summary(genotype: str) -> str:
    """A genotype in JSON as a line for each kind of cell."""
    import nasir

    lines: list[str] = []
    for cell in nasir.load_genotype(genotype).cells:
        nodes = [
            " + ".join(f"{edge.op or 'in'}({edge.source})" for edge in edges)
            for edges in cell.nodes
        ]
        if cell.ops:
            nodes = [f"{op}[{text}]" for op, text in zip(cell.ops, nodes, strict=True)]
        lines.append(f"{cell.kind}: {' | '.join(nodes)}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """`1 h 02 min`, `3 min 04 s`, `5 s`."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 60} min {whole % 60:02} s" if whole >= 60 else f"{whole} s"
