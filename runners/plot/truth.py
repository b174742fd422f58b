"""The true accuracy of the search's choice, epoch by epoch, looked up in a benchmark."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import nasir
from nasir import Genotype, NasirError
from nasir.quoting import shortened
from runners.benchmarks import BenchmarkRecord, BenchmarkStore, Question, answers, open_benchmark
from runners.benchmarks.answering import best_of
from runners.benchmarks.record import Kind, Original, everything
from runners.plot.curves import BLUE, GREEN, ORANGE, finish, log_ticks, sheet
from runners.plot.run import ArchitectureRow, NothingToDrawError, PlottedRun

DRAWS = 100

SPLIT = "test"

_ERROR_FLOOR = 0.01

Band = tuple[float, ...]
"""Minimum, quartiles and maximum of accuracies in percent."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Accuracies in percent: of the epochs' genotypes, of drawn architectures, and the best."""

    title: str
    dataset: str
    epochs: int
    chosen: Mapping[int, float]
    bands: Mapping[int, Band]
    best: float


def truth(run: PlottedRun) -> Figure:
    """The accuracy of each epoch's genotype, with the range of architectures drawn in it.

    The y axis runs with the logarithm of the error: good architectures differ in tenths.
    """
    if run.benchmark is None:
        raise NothingToDrawError("no benchmark was given (--benchmark)")
    found = look_up(run, run.benchmark)
    figure = sheet(run, "True accuracy of the search's choice", 7.2, 4.8)
    axes = figure.subplots()
    _draw_bands(axes, found.bands)
    axes.plot(
        list(found.chosen),
        _errors(found.chosen.values()),
        color=BLUE,
        linewidth=2.2,
        marker="o",
        markersize=3.5,
        label="genotype of the epoch",
    )
    [best] = _errors([found.best])
    label = f"best of {found.title}: {found.best:.2f} %"
    axes.axhline(best, color=GREEN, linewidth=1.4, dashes=(4, 2), label=label)
    axes.set_yscale("log")
    axes.invert_yaxis()
    log_ticks(axes.yaxis, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    axes.yaxis.set_major_formatter(lambda error, _: f"{100 - error:.4g}")
    axes.set_ylabel(f"{SPLIT} accuracy (%), log of error")
    axes.set_xlabel("epoch")
    about = f"{shortened(found.dataset)}, after {found.epochs} epochs of training"
    axes.set_title(about, loc="left", pad=16)
    return finish(figure, [axes], run.metrics)


def _draw_bands(axes: Axes, bands: Mapping[int, Band]) -> None:
    if not bands:
        return
    epochs, rows = list[float](bands), [_errors(band) for band in bands.values()]
    if len(rows) == 1:
        epochs, rows = [epochs[0] - 0.3, epochs[0] + 0.3], rows * 2
    least, lower, median, upper, most = zip(*rows, strict=True)
    look: dict[str, Any] = {"color": ORANGE, "linewidth": 0}
    all_of_them = f"{DRAWS} drawn architectures: all"
    axes.fill_between(epochs, least, most, **look, alpha=0.18, label=all_of_them)
    axes.fill_between(epochs, lower, upper, **look, alpha=0.38, label="the middle half of them")
    axes.plot(epochs, median, color="#9A6A00", linewidth=1.2, label="their median")


def _errors(accuracies: Iterable[float]) -> list[float]:
    return [max(_ERROR_FLOOR, 100.0 - accuracy) for accuracy in accuracies]


def look_up(run: PlottedRun, path: Path) -> Truth:
    """The accuracies of the run in the benchmark at `path`. Raises as opening it does.

    The numbers are those of the test images of the run's data set (CIFAR-10 where the benchmark
    does not have it) after the longest training there is, as means over seeds where there are any.
    """
    opened = open_benchmark(path)
    kind = opened.kind
    chosen = {epoch: _key(kind, genotype) for epoch, genotype in run.genotypes.items()}
    if not chosen:
        raise NothingToDrawError("the run has no genotypes")
    try:
        drawn = {
            row.epoch: [_key(kind, each) for each in draw_genotypes(run, row, DRAWS)]
            for row in run.architecture
        }
    except NothingToDrawError:  # a space that architectures cannot be drawn from
        drawn = dict[int, list[str]]()
    dataset = run.facts.data.text.partition(":")[0]
    keys = {*chosen.values(), *(key for row in drawn.values() for key in row)}
    question, accuracies, best = _accuracies(opened, keys, dataset)
    missing = next((key for key in chosen.values() if key not in accuracies), None)
    if missing is not None:
        raise NothingToDrawError(f"the benchmark has no result for {missing}")
    known = {
        epoch: [accuracies[key] for key in row if key in accuracies] for epoch, row in drawn.items()
    }
    return Truth(
        kind.title,
        str(question.dataset),
        question.epochs or 0,
        {epoch: accuracies[key] for epoch, key in chosen.items()},
        {epoch: band_of(values) for epoch, values in known.items() if len(values) > 1},
        best,
    )


def band_of(values: list[float]) -> Band:
    """Minimum, quartiles and maximum."""
    return tuple(map(float, np.percentile(values, [0, 25, 50, 75, 100])))


def draw_genotypes(run: PlottedRun, row: ArchitectureRow, count: int) -> list[Genotype]:
    """Genotypes drawn by the weights of the epoch's choices (`nasir.draw_genotype`).

    The draws depend on the run's seed and the epoch alone. Raises NothingToDrawError where the
    space cannot be found, or the row lacks a choice.
    """
    random = Random(f"{run.facts.seed} architectures of epoch {row.epoch}")
    try:
        space = nasir.load_space(run.facts.genotype_space or run.facts.space.name)
        weights = {name: np.nan_to_num(values).tolist() for name, values in row.weights.items()}
        seeds = [random.getrandbits(32) for _ in range(count)]
        return [nasir.draw_genotype(space, weights, seed) for seed in seeds]
    except NasirError as error:
        raise NothingToDrawError(error.message) from None


def _key(kind: Kind, genotype: Genotype) -> str:
    try:
        return kind.key(genotype)
    except NasirError as error:
        raise NothingToDrawError(
            f"the run's genotypes are not of {kind.title}: {error.message}"
        ) from None


def _accuracies(
    opened: BenchmarkStore | Original, keys: Iterable[str], dataset: str
) -> tuple[Question, dict[str, float], float]:
    """The question to every record, its answers by key, and the best of the whole benchmark."""
    if isinstance(opened, BenchmarkStore):
        records = [record for key in keys if (record := opened.lookup(key)) is not None]
    else:
        records = list(opened.records(everything))
    if not records:
        raise NothingToDrawError("the benchmark has none of the run's architectures")
    columns = opened.columns if isinstance(opened, BenchmarkStore) else tuple(records[0].values)
    tested = [column for column in columns if column.split == SPLIT]
    if not tested:
        raise NothingToDrawError("the benchmark has no accuracies on test images")
    names = {column.dataset.lower(): column.dataset for column in tested}
    name = names.get(dataset.lower(), names.get("cifar10", tested[0].dataset))
    longest = max(column.epochs for column in tested if column.dataset == name)
    question = Question(name, longest, SPLIT)
    found = {record.key: accuracy for record in records for accuracy in _accuracy(record, question)}
    if not isinstance(opened, BenchmarkStore):
        return question, found, max(found.values())
    asked = (name, SPLIT, longest)
    [best] = [e.accuracy for e in best_of(opened) if (e.dataset, e.split, e.epochs) == asked]
    return question, found, best


def _accuracy(record: BenchmarkRecord, question: Question) -> list[float]:
    try:
        return [answers(record, question)[0].accuracy]
    except NasirError:  # E602: some architectures of a benchmark lack some numbers
        return []
