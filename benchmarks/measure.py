"""Interleaved timing: every round runs every candidate once, so that drift hits all alike."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Unit = Literal["seconds", "bytes", "kernels", "images a second"]


@dataclass(frozen=True, slots=True)
class Result:
    """One row: the median, least and greatest run, and the ratio to the first row's median.

    `ceiling` is the most that the median may be, `floor` the least ratio.
    """

    name: str
    median: float
    least: float
    greatest: float
    ratio: float
    ceiling: float | None = None
    floor: float | None = None
    unit: Unit = "seconds"

    @property
    def within(self) -> bool | None:
        """Whether it keeps what is stated; None where nothing is."""
        if self.ceiling is not None:
            return self.median <= self.ceiling
        return None if self.floor is None else self.ratio >= self.floor


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    rounds: int,
    ceilings: Mapping[str, float] | None = None,
    floors: Mapping[str, float] | None = None,
) -> list[Result]:
    """Times all candidates over `rounds` rounds after one warm-up; the first is 1 in the ratios."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for turn in range(rounds + 1):
        for name, run in candidates.items():
            time.sleep(0.02)  # threads of the last candidate spin for milliseconds after its end
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(time.perf_counter() - start)
    first = statistics.median(next(iter(times.values())))
    return [
        Result(
            name,
            statistics.median(taken),
            min(taken),
            max(taken),
            first / statistics.median(taken),
            (ceilings or {}).get(name),
            (floors or {}).get(name),
        )
        for name, taken in times.items()
    ]


def amounts(
    sizes: Mapping[str, float], floors: Mapping[str, float] | None = None, unit: Unit = "bytes"
) -> list[Result]:
    """Rows of what was measured once; the first is 1 in the ratios, which say how many times less.

    Of images a second, how many times more.
    """
    first = next(iter(sizes.values()))
    return [
        Result(
            name,
            size,
            size,
            size,
            size / first if unit == "images a second" else first / size,
            None,
            (floors or {}).get(name),
            unit,
        )
        for name, size in sizes.items()
    ]


def process(*arguments: str) -> Callable[[], object]:
    """A run of this Python with these arguments as a process of its own, its output thrown away.

    The first run keeps compiled modules, as those of installed packages are.
    """
    command = [sys.executable, *arguments]
    own = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=own)
