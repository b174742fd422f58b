"""Answers from a record: the accuracies that a question asks for."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from nasir import NasirError, Where
from nasir.errors import nearest, quoted
from runners.benchmarks.record import MEAN, UNSTATED, BenchmarkRecord, Column
from runners.benchmarks.sources import Benchmark
from runners.inputs import read_genotype

EACH = "each"


@dataclass(frozen=True, slots=True)
class Question:
    """What to answer; None asks for all. `after` None asks for the end of each training.

    `seed` is `mean`, `each`, or a seed's number. As in the benchmark's own interface, the
    validation accuracy of `cifar10` is that of the networks trained without these images,
    which NAS-Bench-201 calls the data set `cifar10-valid`.
    """

    dataset: str | None = None
    epochs: int | None = None
    split: str | None = None
    seed: str = MEAN
    after: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An accuracy in percent. `runs`: how many were averaged; None where nobody says."""

    dataset: str
    split: str
    epochs: int
    after: int
    seed: str
    runs: int | None
    accuracy: float


def answers(record: BenchmarkRecord, question: Question) -> tuple[Answer, ...]:
    """The accuracies asked for, in the order of the columns. Raises E602 when there are none."""
    if not record.values:
        raise NasirError("E602", f"the benchmark has no result for {record.key}")
    columns = list(record.values)
    located = _located(question, columns)
    asked = [column for column in columns if _matches(column, located)]
    found = _by_seed(sorted(asked, key=lambda column: column.order), record, question.seed)
    if not found:
        raise _none(sorted(columns, key=lambda column: column.order), question)
    return found


def _located(question: Question, columns: list[Column]) -> Question:
    """The question with the data set as the benchmark spells it."""
    name = question.dataset
    names = {column.dataset.lower(): column.dataset for column in columns}
    dataset = names.get(name.lower(), name) if name is not None else None
    there = any(each.dataset == dataset and each.split == question.split for each in columns)
    if dataset == "cifar10" and question.split == "valid" and not there:
        dataset = "cifar10-valid"
    return Question(dataset, question.epochs, question.split, question.seed, question.after)


def _matches(column: Column, question: Question) -> bool:
    after = column.epochs if question.after is None else question.after
    return (
        question.dataset in (None, column.dataset)
        and question.epochs in (None, column.epochs)
        and question.split in (None, column.split)
        and after == column.after
    )


def _by_seed(columns: list[Column], record: BenchmarkRecord, seed: str) -> tuple[Answer, ...]:
    if seed == MEAN:
        groups: dict[tuple[object, ...], list[Column]] = {}
        for column in columns:
            group = (column.dataset, column.split, column.epochs, column.after)
            groups.setdefault(group, []).append(column)
        return tuple(_mean(group, record) for group in groups.values())
    return tuple(
        _answer(column, column.seed, None if column.seed == MEAN else 1, record.values[column])
        for column in columns
        if seed in (EACH, column.seed)
    )


def _mean(columns: list[Column], record: BenchmarkRecord) -> Answer:
    """The mean over numbered seeds, or else what the source has."""
    numbered = [column for column in columns if column.seed not in (MEAN, UNSTATED)]
    if not numbered:
        [column, *_] = columns
        runs = None if column.seed == MEAN else 1
        return _answer(column, column.seed, runs, record.values[column])
    mean = fmean(record.values[column] for column in numbered)
    return _answer(numbered[0], MEAN, len(numbered), mean)


def _answer(column: Column, seed: str, runs: int | None, accuracy: float) -> Answer:
    return Answer(column.dataset, column.split, column.epochs, column.after, seed, runs, accuracy)


def _none(columns: list[Column], question: Question) -> NasirError:
    """E602 for the first part of the question that no column has, or for all of it."""
    parts: tuple[tuple[str, object, Collection[object]], ...] = (
        ("data set", question.dataset, {column.dataset for column in columns}),
        ("epochs", question.epochs, {column.epochs for column in columns}),
        ("split", question.split, {column.split for column in columns}),
        ("epoch", question.after, {column.after for column in columns}),
        ("seed", question.seed, {MEAN, EACH} | {column.seed for column in columns}),
    )
    for what, value, known in parts:
        spelled = {str(each).lower() for each in known}
        if value is not None and str(value).lower() not in spelled:
            message = f"the benchmark has no {what} {quoted(value)} for this architecture"
            return NasirError("E602", message, hint=_known(str(value), known))
    wanted = ", ".join(f"{what} {value}" for what, value, _ in parts if value is not None)
    have = "; ".join(dict.fromkeys(_described(column) for column in columns[:400]))
    return NasirError(
        "E602",
        f"the benchmark has no accuracy with {wanted} for this architecture",
        hint=f"there is: {have[:400]}",
    )


def _known(value: str, known: Iterable[object]) -> str:
    names = [str(each) for each in known]
    if all(name.isdecimal() for name in names):
        return f"known: {', '.join(sorted(names, key=int)[:20])}"
    return nearest(value, names)


def _described(column: Column) -> str:
    return f"{column.dataset} {column.split}, {column.epochs} epochs, seed {column.seed}"


def find_record(benchmark: Benchmark, argument: str, path: Path) -> BenchmarkRecord:
    """The record of an architecture, which `argument` names.

    A key of the benchmark is taken as it stands, a number as the benchmark's own index, anything
    else is read as a genotype. Raises E601 when the benchmark has none, and what reading raises.
    """
    kind = benchmark.kind
    where = Where(str(path))
    if kind.keys.fullmatch(argument):
        record, name = benchmark.lookup(argument), argument
    elif kind.indexed and argument.isdecimal() and len(argument) < 10:
        record, name = benchmark.at(int(argument)), f"index {argument}"
    else:
        name = kind.key(read_genotype(argument))
        record = benchmark.lookup(name)
    if record is None:
        message = f"{quoted(name, 120)} is not in the benchmark {kind.title}"
        raise NasirError("E601", message, where, hint="nasir bench info says what a store holds")
    return record
