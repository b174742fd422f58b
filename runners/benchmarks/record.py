"""Benchmarks, and their records: the accuracies of one architecture, each under a column."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import NamedTuple

from nasir import Genotype, NasirError, dump_genotype, nasbench101_hash
from nasir.errors import nearest, quoted
from nasir.table import Table
from nasir.wanted import checked

MEAN = "mean"
UNSTATED = "unstated"

_SPLITS = ("train", "valid", "test", "valid+test")
_ROUNDING = 1e-4


@dataclass(frozen=True, slots=True)
class Kind:
    """One benchmark: the pattern of its keys, and the key of a genotype.

    `indexed`: its architectures have numbers, from 0. `key` raises an error for a genotype that is
    not of its space.
    """

    name: str
    title: str
    keys: re.Pattern[str]
    indexed: bool
    key: Callable[[Genotype], str]

    @checked
    def key_of(self, architecture: str | Genotype) -> str:
        """The key of a genotype, or of its text; a key itself. Raises an error and TypeError."""
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
        key=nasbench101_hash,
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
    """The benchmark of that name."""
    if name not in KINDS:
        message = f"unknown benchmark {quoted(name)}"
        raise NasirError("E601", message, hint=nearest(name, KINDS))
    return KINDS[name]


class Column(NamedTuple):
    """The training and the data of one number. A tuple, for a store of curves has thousands.

    `split` is `train`, `valid`, `test`, or `valid+test`: NAS-Bench-201's `ori-test` where the test
    images were halved into the two. `epochs` is the length of the training, which sets its lr;
    `after` counts the epochs when the number was taken, and equals `epochs` at the end. `seed` is a
    number in digits (a repeat's number where the benchmark names no seeds), `mean` where only the
    mean over seeds is known, or `unstated` for one run of an unknown seed.
    """

    dataset: str
    split: str
    epochs: int
    after: int
    seed: str

    @property
    def order(self) -> tuple[str, int, int, int, str, int]:
        """Its place among columns: by dataset, epochs, split, seed."""
        split = _SPLITS.index(self.split) if self.split in _SPLITS else len(_SPLITS)
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


def percent(value: object, column: Column) -> float:
    """The value as an accuracy in percent. Raises an error for no number, or one outside 0 to 100.

    What exceeds 100 by no more than float32's rounding, as means over batches may, counts as 100.
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
    """Wants every record."""
    del key, index
    return True


@dataclass(frozen=True, slots=True)
class ReadingOptions:
    """Options of reading a source.

    `curves` adds the accuracy after each epoch where the source has it; `trusted` is asked with
    the name that a pickle wants to call, before anything of it runs.
    """

    curves: bool = False
    trusted: Callable[[str], bool] = lambda _: False


@dataclass(frozen=True, slots=True)
class Original:
    """A benchmark as its authors wrote it: a look-up reads until the record is found.

    `records` has those whose key and index are wanted. One key may come several times, each time
    with other columns, where the benchmark has no index; with one, records come in its order.
    """

    kind: Kind
    records: Callable[[Wanted], Iterator[BenchmarkRecord]]

    def lookup(self, key: str | Genotype) -> BenchmarkRecord | None:
        """The record of a key or genotype; None where the benchmark has no such architecture."""
        wanted = self.kind.key_of(key)
        return self._found(lambda each, _: each == wanted)

    def at(self, index: int) -> BenchmarkRecord | None:
        """The record of an index of the benchmark; None when it has no such index."""
        return self._found(lambda _, each: each == index) if self.kind.indexed else None

    def _found(self, wanted: Wanted) -> BenchmarkRecord | None:
        records = self.records(wanted)
        found = next(records, None)
        if found is not None and not self.kind.indexed:
            for more in records:
                found = replace(found, values={**found.values, **more.values})
        return found
