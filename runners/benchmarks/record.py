"""Benchmarks, and records: the accuracies of an architecture by column."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import NamedTuple

import nasir
from nasir import Genotype, NasirError, dump_genotype
from nasir.arguments import checked
from nasir.errors import nearest, quoted
from nasir.table import Table

MEAN = "mean"
UNSTATED = "unstated"

_SPLITS = ("train", "valid", "test", "valid+test")
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Kind:
    """A benchmark: the pattern of its keys, and the key of a genotype.

    `indexed`: its architectures are numbered from 0. `key` raises an error for a genotype outside
    its space.
    """

    name: str
    title: str
    keys: re.Pattern[str]
    indexed: bool
    key: Callable[[Genotype], str]

    @checked
    def key_of(self, architecture: str | Genotype) -> str:
        """Returns the key of a genotype, its text, or a key. Raises an error and TypeError."""
        return architecture if isinstance(architecture, str) else self.key(architecture)


_OP = "(?:none|skip_connect|nor_conv_1x1|nor_conv_3x3|avg_pool_3x3)"
_CELL = rf"\|{_OP}~0\|\+\|{_OP}~0\|{_OP}~1\|\+\|{_OP}~0\|{_OP}~1\|{_OP}~2\|"
_WIDTHS = r"[0-9]{1,4}(?::[0-9]{1,4}){1,15}"

KINDS: Table[Kind] = Table(
    Kind(
        "nasbench201",
        "NAS-Bench-201",
        re.compile(_CELL),
        indexed=True,
        key=lambda genotype: dump_genotype(genotype, "nasbench201"),
    ),
    Kind(
        "nasbench101",
        "NAS-Bench-101",
        re.compile(r"[0-9a-f]{32}"),
        indexed=False,
        key=lambda genotype: nasir.nasbench101_hash(genotype),  # noqa: PLW0108 - imports much
    ),
    Kind(
        "natsbench_size",
        "NATS-Bench, size space",
        re.compile(_WIDTHS),
        indexed=True,
        key=lambda genotype: dump_genotype(genotype, "natsbench_size"),
    ),
)


def kind_named(name: str) -> Kind:
    """Returns the benchmark of that name."""
    if name not in KINDS:
        message = f"unknown benchmark {quoted(name)}"
        raise NasirError("E601", message, hint=nearest(name, KINDS))
    return KINDS[name]


class Column(NamedTuple):
    """The training and the data of one value. A tuple, since a store of curves has thousands.

    `split` is `train`, `valid`, `test`, or `valid+test`: NAS-Bench-201's `ori-test` where the test
    images were halved. `epochs` is the training length, which determines the lr schedule; `after`
    is the epoch of the measurement, equal to `epochs` at the end. `seed` is a number in digits (a
    repeat's number if the benchmark has no seeds), `mean` if only the mean over seeds is known, or
    `unstated` for one run with an unknown seed.
    """

    dataset: str
    split: str
    epochs: int
    after: int
    seed: str

    @property
    def order(self) -> tuple[str, int, int, int, str, int]:
        """The sort key: dataset, epochs, split, seed."""
        split = _SPLITS.index(self.split) if self.split in _SPLITS else len(_SPLITS)
        number = int(self.seed) if self.seed.isdecimal() and len(self.seed) < 20 else -1
        return (self.dataset, self.epochs, self.after, split, self.split, number)


@dataclass(frozen=True, slots=True)
class BenchmarkRecord:
    """Accuracies in percent of the architecture with that key; `index` is the benchmark's own.

    Missing columns were not measured.
    """

    key: str
    index: int | None
    values: Mapping[Column, float]


def percent(value: object, column: Column) -> float:
    """Returns an accuracy in percent. Raises an error for other values, or outside 0 to 100.

    Values above 100 within float32's rounding, as from means over batches, count as 100.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        message = f"an accuracy of {column} must be a number, and is {quoted(value)}"
        raise NasirError("E109", message)
    number = float(value)
    if not 0 <= number <= 100 + _ROUNDING:  # false for NaN too
        raise NasirError("E107", f"an accuracy of {column} is {number}, not a percentage")
    return min(number, 100.0)


Wanted = Callable[[str, int | None], bool]


def everything(key: str, index: int | None) -> bool:
    """Accepts every record."""
    del key, index
    return True


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """Options for reading a source.

    `curves` includes the accuracy after each epoch, if available; `trusted` is called with the name
    that a pickle requests, before any of its code runs.
    """

    curves: bool = False
    trusted: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Original:
    """A benchmark in its authors' format: a look-up reads until it finds the record.

    `records` yields those with the wanted key and index. Without an index, a key may occur several
    times with different columns; with one, records are in its order.
    """

    kind: Kind
    records: Callable[[Wanted], Iterator[BenchmarkRecord]]

    def lookup(self, key: str | Genotype) -> BenchmarkRecord | None:
        """Returns the record of a key or genotype; None if the benchmark does not have it."""
        wanted = self.kind.key_of(key)
        return self._found(lambda each, _: each == wanted)

    def by_key(self) -> dict[str, BenchmarkRecord]:
        """Reads all records once, for many look-ups."""
        found: dict[str, BenchmarkRecord] = {}
        for record in self.records(everything):
            before = found.get(record.key)
            found[record.key] = record if before is None else _with_more(before, record)
        return found

    def at(self, index: int) -> BenchmarkRecord | None:
        """Returns the record of a benchmark's index; None if out of range."""
        return self._found(lambda _, each: each == index) if self.kind.indexed else None

    def _found(self, wanted: Wanted) -> BenchmarkRecord | None:
        records = self.records(wanted)
        found = next(records, None)
        if found is not None and not self.kind.indexed:
            for more in records:
                found = _with_more(found, more)
        return found


def _with_more(record: BenchmarkRecord, more: BenchmarkRecord) -> BenchmarkRecord:
    return replace(record, values={**record.values, **more.values})
