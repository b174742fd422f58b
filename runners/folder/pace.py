"""How far a run is, and how long it will take."""

import math
import time
from collections.abc import Callable


class Pace:
    """How far a run is, and how long it will take. Mutable.

    The last epoch's time stands for those to come, because stages differ; during the first one,
    the time of its steps.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._seconds: float | None = None
        self.total = 0
        self.done = 0
        self.step = 0
        self.steps = 0

    def start(self, total: int, done: int) -> None:
        """So many epochs, of which some are done."""
        self.total, self.done, self.step, self.steps = total, done, 0, 0
        self._began = self._clock()

    def at(self, epoch: int, step: int, steps: int) -> None:
        """A step is done."""
        self.done, self.step, self.steps = epoch, step + 1, steps

    def finish(self, epoch: int) -> None:
        """An epoch is done."""
        now = self._clock()
        self._seconds, self._began = now - self._began, now
        self.done, self.step, self.steps = epoch + 1, 0, 0

    @property
    def left(self) -> float | None:
        """Seconds to the end of the run, if that can be told."""
        spent = self._clock() - self._began
        part = self.step / self.steps if self.steps else 0.0
        epoch = self._seconds
        if epoch is None or (part and spent / part > 2 * epoch):  # a slower stage has begun
            epoch = spent / part if part else None
        rest = max(0.0, self.total - self.done - part)
        return None if epoch is None else rest * epoch

    @property
    def words(self) -> str:
        """The time left as it is shown, or nothing."""
        left = self.left
        return "" if left is None or self.done >= self.total else f"{duration(left)} left"


def duration(seconds: float) -> str:
    """`45s`, `3m20s`, `2h05m`, `3d04h`."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
