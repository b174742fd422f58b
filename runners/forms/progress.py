"""The stages of a command: shown, timed, and named after the larger task that they are part of."""

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from runners.folder.display import Display, display_for_stderr
from runners.forms.report import CompileStage

__all__ = ["Clock", "Prefixed", "display_for_stderr"]


class Prefixed(Display):
    """Hands stages on with the name of the larger task before each."""

    def __init__(self, prefix: str, progress: Display) -> None:
        self._prefix = prefix
        self._progress = progress

    def stage(self, name: str) -> AbstractContextManager[None]:
        """Around the stage of that name."""
        return self._progress.stage(f"{self._prefix}: {name}")


class Clock:
    """Takes the time of every stage. Mutable: `stages` grows while it runs."""

    def __init__(self, progress: Display) -> None:
        self._progress = progress
        self.stages: list[CompileStage] = []

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Around the stage of that name; a stage that fails is not recorded."""
        start = time.perf_counter()
        with self._progress.stage(name):
            yield
        self.stages.append(CompileStage(name, time.perf_counter() - start))

    @contextmanager
    def quick_stage(self, name: str) -> Generator[None]:
        """Around a stage that takes no time worth telling anybody."""
        start = time.perf_counter()
        yield
        self.stages.append(CompileStage(name, time.perf_counter() - start))
