"""Queries: the accuracies of a record by column, and the best of a store."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from math import fsum
from pathlib import Path

from nasir import Genotype, NasirError, Where
from nasir.errors import nearest, quoted
from runners.benchmarks.record import MEAN, UNSTATED, BenchmarkRecord, Column, Original
from runners.benchmarks.store import BenchmarkStore

EACH = "each"


@dataclass(frozen=True, slots=True)
class Question:
    """Filters of a query; None: all. `after` None: the end of each training.

    `seed` is `mean`, `each`, or a seed's number. As in the benchmark's own interface, the
    validation accuracy of `cifar10` is that of networks trained without the validation images,
    which NAS-Bench-201 calls the data set `cifar10-valid`. The docstrings of fields are the help of
    `nasir query`.
    """

    dataset: str | None = None
    """One data set; all by default."""
    epochs: int | None = None
    """Training length."""
    split: str | None = None
    """train, valid, test or valid+test."""
    seed: str = MEAN
    """mean, each, or a seed."""
    after: int | None = None
    """Epochs after which the accuracy was measured; the end by default."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An accuracy in percent. `runs`: number of averaged runs; None if unknown."""

    dataset: str
    split: str
    epochs: int
    after: int
    seed: str
    runs: int | None
    accuracy: float


def answers(record: BenchmarkRecord, question: Question) -> tuple[Answer, ...]:
    """Returns the requested accuracies, in column order. Raises an error if there are none."""
    if not record.values:
        raise NasirError("E601", f"the benchmark has no result for {record.key}")
    columns = sorted(record.values, key=lambda column: column.order)
    wanted = _spelled(question, columns)
    asked = [column for column in columns if _matches(column, wanted)]
    seed = question.seed
    if seed == MEAN:
        groups = groupby(asked, lambda column: column._replace(seed=MEAN))
        found = tuple(_mean(group, list(runs), record) for group, runs in groups)
    else:
        found = tuple(_single(each, record) for each in asked if seed in (EACH, each.seed))
    if not found:
        raise _none(columns, question)
    return found


def _spelled(question: Question, columns: list[Column]) -> Question:
    """Returns the question with the benchmark's spelling of the data set."""
    names = {column.dataset.lower(): column.dataset for column in columns}
    dataset = names.get((question.dataset or "").lower(), question.dataset)
    there = any((each.dataset, each.split) == (dataset, question.split) for each in columns)
    if dataset == "cifar10" and question.split == "valid" and not there:
        dataset = "cifar10-valid"
    return replace(question, dataset=dataset)


def _matches(column: Column, question: Question) -> bool:
    return (
        question.dataset in (None, column.dataset)
        and question.epochs in (None, column.epochs)
        and question.split in (None, column.split)
        and column.after == (column.epochs if question.after is None else question.after)
    )


def _mean(group: Column, columns: list[Column], record: BenchmarkRecord) -> Answer:
    """Returns the mean over numbered seeds, or else the source's own mean."""
    numbers = [record.values[each] for each in columns if each.seed not in (MEAN, UNSTATED)]
    if not numbers:
        return _single(columns[0], record)
    return Answer(*group, len(numbers), fsum(numbers) / len(numbers))


def _single(column: Column, record: BenchmarkRecord) -> Answer:
    return Answer(*column, None if column.seed == MEAN else 1, record.values[column])


def _none(columns: list[Column], question: Question) -> NasirError:
    """Returns the error for the first part of the question that no column has, or for all of it."""
    asked: list[str] = []
    for name in ("dataset", "epochs", "split", "after", "seed"):
        value, what = (
            getattr(question, name),
            {"dataset": "data set", "after": "epoch"}.get(name, name),
        )
        known = {str(getattr(column, name)) for column in columns}
        known |= {MEAN, EACH} if name == "seed" else set()
        if value is not None and str(value).lower() not in map(str.lower, known):
            message = f"the benchmark has no {what} {quoted(value)} for this architecture"
            numbers = sorted(known, key=int) if all(map(str.isdecimal, known)) else []
            hint = f"known: {', '.join(numbers[:20])}" if numbers else nearest(str(value), known)
            return NasirError("E601", message, hint=hint)
        asked += [] if value is None else [f"{what} {value}"]
    have = dict.fromkeys(
        f"{each.dataset} {each.split}, {each.epochs} epochs, seed {each.seed}"
        for each in columns[:400]
    )
    message = f"the benchmark has no accuracy with {', '.join(asked)} for this architecture"
    return NasirError("E601", message, hint=f"there is: {'; '.join(have)[:400]}")


def records_of(
    benchmark: BenchmarkStore | Original, path: Path
) -> Callable[[Genotype], BenchmarkRecord]:
    """Returns a function for many look-ups; it raises an error for what the benchmark lacks."""
    store = isinstance(benchmark, BenchmarkStore)
    records = benchmark.lookup if store else benchmark.by_key().get

    def look_up(genotype: Genotype) -> BenchmarkRecord:
        key = benchmark.kind.key_of(genotype)
        record = records(key)
        if record is None:
            raise NasirError("E601", f"the benchmark does not have {key}", Where(str(path)))
        return record

    return look_up


@dataclass(frozen=True, slots=True)
class BestEntry:
    """The best accuracy of a column at the end of training, averaged over seeds.

    `architectures`: number of architectures with a value; `seeds`: the averaged columns.
    """

    dataset: str
    split: str
    epochs: int
    seeds: tuple[str, ...]
    architectures: int
    accuracy: float
    key: str


def best_of(store: BenchmarkStore) -> tuple[BestEntry, ...]:
    """Returns each kind of accuracy with its best architecture, the first of equal ones."""
    import numpy as np

    groups: dict[tuple[str, str, int], list[int]] = {}
    for place, column in enumerate(store.columns):
        if column.after == column.epochs:
            group = (column.dataset, column.split, column.epochs)
            groups.setdefault(group, []).append(place)
    found: list[BestEntry] = []
    for group, places in groups.items():
        part = store.values()[:, places]
        counts = np.count_nonzero(~np.isnan(part), axis=1)
        means = np.where(counts > 0, np.nansum(part, axis=1) / np.maximum(counts, 1), -1.0)
        row, seeds = int(means.argmax()), tuple(store.columns[place].seed for place in places)
        amount = int(np.count_nonzero(counts))
        entry = BestEntry(*group, seeds, amount, float(means[row]), store.key_at(row))
        found.append(entry)
    return tuple(found)


def describe_seeds(seeds: tuple[str, ...]) -> str:
    """Describes seeds: their numbers, or that they are unknown."""
    return "one, unstated" if seeds == (UNSTATED,) else ", ".join(seeds)
