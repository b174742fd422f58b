"""The true accuracy of what a search would choose, epoch by epoch, looked up in a benchmark."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, quantiles

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nasir import Genotype, NasirError
from runners.benchmarks import (
    BenchmarkRecord,
    BenchmarkStore,
    Column,
    Question,
    answers,
    open_benchmark,
)
from runners.benchmarks.kinds import Kind
from runners.benchmarks.record import MEAN, UNSTATED, everything
from runners.benchmarks.sources import Original
from runners.plot.drawn import draw_genotypes
from runners.plot.run import PlottedRun
from runners.plot.style import (
    BLUE,
    GREEN,
    ORANGE,
    NothingToDrawError,
    mark_stages,
    name_stages,
    over_epochs,
    sheet,
)

DRAWS = 100

SPLIT = "test"

Numbers = NDArray[np.float64]

_ERROR_FLOOR = 0.01
_NARROW = 8.0
_TICKS = (99, 98, 97, 96, 95, 94, 93, 92, 90, 87, 84, 80, 75, 70, 60, 50, 40, 30, 10, 0)
"""Accuracies that may have a tick, the best first, where more than _NARROW are in view."""


@dataclass(frozen=True, slots=True)
class Band:
    """Accuracies of architectures drawn from one epoch's distribution, in percent."""

    least: float
    lower: float
    median: float
    upper: float
    most: float

    @staticmethod
    def of(values: Collection[float]) -> "Band":
        """Minimum, quartiles and maximum."""
        lower, median, upper = quantiles(values, n=4, method="inclusive")
        return Band(min(values), lower, median, upper, max(values))


@dataclass(frozen=True, slots=True)
class Truth:
    """Accuracies in percent: of the epochs' genotypes, of drawn architectures, and the best."""

    title: str
    dataset: str
    epochs: int
    chosen: Mapping[int, float]
    bands: Mapping[int, Band]
    best: float


@dataclass(frozen=True, slots=True)
class _Table:
    """What a benchmark says of some architectures, by their keys, on one data set."""

    dataset: str
    epochs: int
    accuracies: Mapping[str, float]
    best: float


def truth(run: PlottedRun, benchmark: Path | None) -> Figure:
    """The accuracy of each epoch's genotype, with the range of architectures drawn in it."""
    if benchmark is None:
        raise NothingToDrawError("no benchmark was given (--benchmark)")
    return truth_figure(run, look_up(run, benchmark))


def look_up(run: PlottedRun, path: Path) -> Truth:
    """What the benchmark at `path` says of the run. Raises as opening it does.

    The numbers are those of the test images of the run's data set (CIFAR-10 where the benchmark
    does not have it) after the longest training there is, as means over seeds where there are any.
    """
    opened = open_benchmark(path)
    kind = opened.kind
    chosen = {epoch: _key(kind, genotype) for epoch, genotype in run.genotypes.items()}
    if not chosen:
        raise NothingToDrawError("the run has no genotypes")
    drawn = _drawn_keys(run, kind)
    keys = {*chosen.values(), *(key for row in drawn.values() for key in row)}
    table = _table(opened, keys, run.facts.data.text.partition(":")[0])
    missing = next((key for key in chosen.values() if key not in table.accuracies), None)
    if missing is not None:
        raise NothingToDrawError(f"the benchmark has no result for {missing}")
    known = {
        epoch: [table.accuracies[key] for key in row if key in table.accuracies]
        for epoch, row in drawn.items()
    }
    return Truth(
        kind.title,
        table.dataset,
        table.epochs,
        {epoch: table.accuracies[key] for epoch, key in chosen.items()},
        {epoch: Band.of(values) for epoch, values in known.items() if len(values) > 1},
        table.best,
    )


def truth_figure(run: PlottedRun, found: Truth) -> Figure:
    """The figure of what was looked up."""
    figure = sheet(run, "True accuracy of the search's choice", 7.2, 4.8)
    axes = figure.subplots()
    _draw_bands(axes, found.bands)
    epochs = list(found.chosen)
    axes.plot(
        epochs,
        list(found.chosen.values()),
        color=BLUE,
        linewidth=2.2,
        marker="o",
        markersize=3.5,
        label="genotype of the epoch",
    )
    best = f"best of {found.title}: {found.best:.2f} %"
    axes.axhline(found.best, color=GREEN, linewidth=1.4, dashes=(4, 2), label=best)
    values = [*found.chosen.values(), found.best, *(band.least for band in found.bands.values())]
    _space_by_error(axes, min(values), max(values))
    axes.set_ylabel(
        f"{SPLIT} accuracy on {found.dataset}\nafter {found.epochs} epochs (%), log of error"
    )
    axes.set_xlabel("epoch")
    mark_stages(axes, run.metrics)
    over_epochs(axes, [*epochs, *found.bands])
    if run.metrics:
        name_stages(axes, run.metrics)
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _space_by_error(axes: Axes, least: float, most: float) -> None:
    """The y axis runs with the logarithm of the error: good architectures differ in tenths."""

    def forward(accuracy: Numbers) -> Numbers:
        return -np.log(np.maximum(_ERROR_FLOOR, 100.0 - np.asarray(accuracy)))

    def inverse(height: Numbers) -> Numbers:
        return 100.0 - np.exp(-np.asarray(height))

    margin = 0.06 * (forward(np.array(most)) - forward(np.array(least))) + 0.02
    low, high = (
        float(inverse(forward(np.array(end)) + sign * margin))
        for end, sign in ((least, -1), (most, 1))
    )
    axes.set_yscale("function", functions=(forward, inverse))
    axes.set_ylim(low, high)
    if high - low < _NARROW:
        return
    ticks: list[int] = []
    for tick in _TICKS:
        room = forward(np.array(ticks[-1] if ticks else 100.0)) - forward(np.array(tick))
        if low <= tick <= high and room > 0.05 * (forward(np.array(high)) - forward(np.array(low))):
            ticks.append(tick)
    axes.set_yticks(ticks, [str(tick) for tick in ticks])


def _draw_bands(axes: Axes, bands: Mapping[int, Band]) -> None:
    if not bands:
        return
    epochs, rows = list[float](bands), list(bands.values())
    if len(rows) == 1:
        epochs, rows = [epochs[0] - 0.3, epochs[0] + 0.3], rows * 2
    axes.fill_between(
        epochs,
        [row.least for row in rows],
        [row.most for row in rows],
        color=ORANGE,
        alpha=0.18,
        linewidth=0,
        label=f"{DRAWS} drawn architectures: all",
    )
    axes.fill_between(
        epochs,
        [row.lower for row in rows],
        [row.upper for row in rows],
        color=ORANGE,
        alpha=0.38,
        linewidth=0,
        label="the middle half of them",
    )
    axes.plot(
        epochs, [row.median for row in rows], color="#9A6A00", linewidth=1.2, label="their median"
    )


def _key(kind: Kind, genotype: Genotype) -> str:
    try:
        return kind.key(genotype)
    except NasirError as error:
        raise NothingToDrawError(
            f"the run's genotypes are not of {kind.title}: {error.message}"
        ) from None


def _drawn_keys(run: PlottedRun, kind: Kind) -> dict[int, list[str]]:
    """Keys of architectures drawn in each epoch; none for a space that they can't be drawn from."""
    try:
        return {
            row.epoch: [_key(kind, each) for each in draw_genotypes(run, row, DRAWS)]
            for row in run.architecture
        }
    except NothingToDrawError:
        return {}


def _table(opened: BenchmarkStore | Original, keys: Collection[str], dataset: str) -> _Table:
    """The accuracies of the keys that the benchmark has, and the best of all that it has."""
    if isinstance(opened, BenchmarkStore):
        records = [record for key in keys if (record := opened.lookup(key)) is not None]
        question, measured = _asked(records, opened.columns, dataset)
        return _Table(*measured, _accuracies(records, question), _best(opened, question))
    records = list(opened.contents.records(everything))
    columns = [column for record in records[:1] for column in record.values]
    question, measured = _asked(records, columns, dataset)
    found = _accuracies(records, question)
    return _Table(*measured, found, max(found.values()))


def _asked(
    records: Sequence[BenchmarkRecord], columns: Sequence[Column], dataset: str
) -> tuple[Question, tuple[str, int]]:
    """The question to every record, and the data set and the epochs that it is about."""
    if not records:
        raise NothingToDrawError("the benchmark has none of the run's architectures")
    tested = [column for column in columns if column.split == SPLIT]
    if not tested:
        raise NothingToDrawError("the benchmark has no accuracies on test images")
    names = {column.dataset.lower(): column.dataset for column in tested}
    name = names.get(dataset.lower(), names.get("cifar10", tested[0].dataset))
    longest = max(column.epochs for column in tested if column.dataset == name)
    return Question(name, longest, SPLIT), (name, longest)


def _accuracies(records: Sequence[BenchmarkRecord], question: Question) -> dict[str, float]:
    found: dict[str, float] = {}
    for record in records:
        try:
            found[record.key] = answers(record, question)[0].accuracy
        except NasirError:  # E602: some architectures of a benchmark lack some numbers
            continue
    return found


def _best(store: BenchmarkStore, question: Question) -> float:
    """The highest accuracy that any architecture of the store has, as `answers` averages it."""
    places = [
        place
        for place, column in enumerate(store.columns)
        if (column.dataset, column.epochs, column.split)
        == (question.dataset, question.epochs, question.split)
        and column.after == column.epochs
    ]
    numbered = [place for place in places if store.columns[place].seed not in (MEAN, UNSTATED)]
    values = store.values()[:, numbered or places[:1]]
    return max(fmean(row[~np.isnan(row)]) for row in values if not np.isnan(row).all())
