"""Telling a person which stage runs: a spinner on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

import typer

from nasir.quoting import visible
from runners.forms.report import Stage


class Progress(Protocol):
    """Is told when a stage begins and ends."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Around the stage of that name."""
        ...


class Silent:
    """Tells nobody."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Around the stage of that name."""
        del name
        return nullcontext()


class Lines:
    """One line on stderr as each stage begins."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Around the stage of that name."""
        typer.echo(f"{visible(name)} ...", err=True)
        return nullcontext()


class Spinner:
    """A spinner with the stage's name and time on stderr, gone when the stage ends."""

    @contextmanager
    def stage(self, name: str) -> Generator[object]:
        """Around the stage of that name."""
        from rich.console import Console
        from rich.progress import Progress as Bar
        from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

        console = Console(stderr=True)
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
        )
        with Bar(*columns, console=console, transient=True) as bar:
            bar.add_task(visible(name), total=None)
            yield bar


class Prefixed:
    """Tells another what it is told, with the name of the larger task before each stage."""

    def __init__(self, prefix: str, progress: Progress) -> None:
        self._prefix = prefix
        self._progress = progress

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Around the stage of that name."""
        return self._progress.stage(f"{self._prefix}: {name}")


class Clock:
    """Takes the time of every stage. Mutable: `stages` grows while it runs."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.stages: list[Stage] = []

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Around the stage of that name; a stage that fails is not recorded."""
        start = time.perf_counter()
        with self._progress.stage(name):
            yield
        self.stages.append(Stage(name, time.perf_counter() - start))

    @contextmanager
    def quick_stage(self, name: str) -> Generator[None]:
        """Around a stage that takes no time worth telling anybody."""
        start = time.perf_counter()
        yield
        self.stages.append(Stage(name, time.perf_counter() - start))


def progress_for_stderr() -> Progress:
    """What suits the stream that people watch."""
    return Spinner() if sys.stderr.isatty() else Lines()
