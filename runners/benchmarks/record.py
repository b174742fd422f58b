"""What a benchmark says of an architecture: accuracies, each under a column."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

MEAN = "mean"
UNSTATED = "unstated"

SPLITS = ("train", "valid", "test", "valid+test")
"""`valid+test`: NAS-Bench-201's `ori-test` where the test images were halved into the two."""


class Column(NamedTuple):
    """What one number was measured on. A tuple, for a store of curves has thousands.

    `epochs` is the length of the training, which sets its learning rates; `after` counts the
    epochs when the number was taken, and equals `epochs` at the end. `seed` is a number in digits
    (a repeat's number where the benchmark names no seeds), `mean` where only the mean over seeds
    is known, or `unstated` for one run of an unknown seed.
    """

    dataset: str
    split: str
    epochs: int
    after: int
    seed: str

    @property
    def order(self) -> tuple[str, int, int, int, str, int]:
        """Its place among columns: by dataset, epochs, split, seed."""
        split = SPLITS.index(self.split) if self.split in SPLITS else len(SPLITS)
        number = int(self.seed) if self.seed.isdecimal() and len(self.seed) < 20 else -1
        return (self.dataset, self.epochs, self.after, split, self.split, number)


@dataclass(frozen=True, slots=True)
class BenchmarkRecord:
    """Accuracies in percent of the architecture with that key; `index` is the benchmark's own.

    A column that is not there was not measured.
    """

    key: str
    index: int | None
    values: Mapping[Column, float]


Wanted = Callable[[str, int | None], bool]
Trusted = Callable[[str], bool]


def everything(key: str, index: int | None) -> bool:
    """Wants every record."""
    del key, index
    return True


def nothing_trusted(asked_for: str) -> bool:
    """Trusts no pickle that asks for more than data."""
    del asked_for
    return False


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """How a source is read.

    `curves` adds the accuracy after each epoch where the source has it; `trusted` is asked with
    the name that a pickle wants to call, before anything of it runs.
    """

    curves: bool = False
    trusted: Trusted = nothing_trusted


@dataclass(frozen=True, slots=True)
class Contents:
    """A source, opened: the name of its benchmark, and the records of wanted architectures.

    One key may come several times, each time with other columns, where the benchmark has no
    index; with one, records come in its order.
    """

    kind: str
    records: Callable[[Wanted], Iterator[BenchmarkRecord]]


Read = Callable[[Path, ReadingOptions], Contents]
