"""What a store holds as a whole: how much of each accuracy, and the best architecture."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runners.benchmarks.record import UNSTATED, Column
from runners.benchmarks.store import BenchmarkStore

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class BestEntry:
    """One kind of accuracy at the end of training, averaged over the seeds of each architecture.

    `architectures`: how many have it; `seeds`: the columns it is averaged from.
    """

    dataset: str
    split: str
    epochs: int
    seeds: tuple[str, ...]
    architectures: int
    accuracy: float
    key: str


def best_of(store: BenchmarkStore) -> tuple[BestEntry, ...]:
    """Each kind of accuracy with its best architecture, the first one where several tie."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for place, column in enumerate(store.columns):
        if column.after == column.epochs:
            group = (column.dataset, column.split, column.epochs)
            groups.setdefault(group, []).append(place)
    return tuple(_best(store, places) for places in groups.values())


def _best(store: BenchmarkStore, places: list[int]) -> BestEntry:
    import numpy as np

    first: Column = store.columns[places[0]]
    values = store.values()
    counted, top, row = 0, -1.0, 0
    for start in range(0, len(store), _ROWS_AT_ONCE):
        means = _means(values[start : start + _ROWS_AT_ONCE, places])
        counted += int(np.count_nonzero(means >= 0))
        here = int(means.argmax())
        if means[here] > top:
            top, row = float(means[here]), start + here
    seeds = tuple(store.columns[place].seed for place in places)
    key = store.key_at(row)
    return BestEntry(first.dataset, first.split, first.epochs, seeds, counted, top, key)


def _means(part: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """The mean of each row without its NaN; -1 for a row that has nothing else."""
    import numpy as np

    there = ~np.isnan(part)
    counts = there.sum(axis=1)
    sums = np.where(there, part, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), -1.0)


def describe_seeds(seeds: tuple[str, ...]) -> str:
    """The seeds in a word: their numbers, or that they are not stated."""
    return "one, unstated" if seeds == (UNSTATED,) else ", ".join(seeds)
