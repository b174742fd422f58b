"""The true accuracy of the search's choice over epochs, from a benchmark."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import nasir
from nasir import Genotype, NasirError
from nasir.errors import shortened
from runners.benchmarks import BenchmarkStore, Question, answers, import_benchmark, open_benchmark
from runners.benchmarks.query import BestEntry, best_of
from runners.plot.curves import BLUE, GREEN, ORANGE, finish, log_ticks, sheet
from runners.plot.run import ArchitectureRow, NothingToDrawError, PlottedRun

DRAWS = 100

SPLIT = "test"

_ERROR_FLOOR = 0.01

Band = tuple[float, ...]
"""Minimum, quartiles and maximum of accuracies in percent."""


@dataclass(frozen=True, slots=True)
class Truth:
    """Accuracies in percent: of the epochs' genotypes, of sampled architectures, and the best."""

    title: str
    chosen: Mapping[int, float]
    bands: Mapping[int, Band]
    best: BestEntry


def truth(run: PlottedRun) -> Figure:
    """Plots the accuracy of each epoch's genotype, with the range of sampled architectures.

    The y axis is logarithmic in the error, since good architectures differ in tenths.
    """
    if run.benchmark is None:
        raise NothingToDrawError("no benchmark was given (--benchmark)")
    found = look_up(run, run.benchmark)
    figure = sheet(run.description, "True accuracy of the search's choice", 7.2, 4.8)
    axes = figure.subplots()
    if found.bands:
        epochs, rows = list[float](found.bands), [*map(_errors, found.bands.values())]
        if len(rows) == 1:
            epochs, rows = [epochs[0] - 0.3, epochs[0] + 0.3], rows * 2
        least, lower, median, upper, most = zip(*rows, strict=True)
        look: dict[str, Any] = {"color": ORANGE, "linewidth": 0}
        label = f"{DRAWS} drawn architectures: all"
        axes.fill_between(epochs, least, most, **look, alpha=0.18, label=label)
        axes.fill_between(epochs, lower, upper, **look, alpha=0.38, label="the middle half of them")
        axes.plot(epochs, median, color="#9A6A00", linewidth=1.2, label="their median")
    errors, label = _errors(found.chosen.values()), "genotype of the epoch"
    look = {"color": BLUE, "linewidth": 2.2, "marker": "o", "markersize": 3.5}
    axes.plot(list(found.chosen), errors, **look, label=label)
    best, label = found.best, f"best of {found.title}: {found.best.accuracy:.2f} %"
    axes.axhline(*_errors([best.accuracy]), color=GREEN, linewidth=1.4, dashes=(4, 2), label=label)
    axes.set(yscale="log", ylabel=f"{SPLIT} accuracy (%), log of error")
    axes.invert_yaxis()
    log_ticks(axes.yaxis, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
    axes.yaxis.set_major_formatter(lambda error, _: f"{100 - error:.4g}")
    about = f"{shortened(best.dataset)}, after {best.epochs} epochs of training"
    axes.set_title(about, loc="left", pad=16)
    return finish(figure, [axes], run.metrics)


def _errors(accuracies: Iterable[float]) -> list[float]:
    return [max(_ERROR_FLOOR, 100.0 - accuracy) for accuracy in accuracies]


def look_up(run: PlottedRun, path: Path) -> Truth:
    """Looks up the run's accuracies in the benchmark at `path`. Raises errors of importing it.

    They are test accuracies on the run's data set (CIFAR-10 if the benchmark does not have it)
    after the longest training, averaged over seeds if there are several.
    """
    with TemporaryDirectory() as folder:
        found = open_benchmark(path)
        if not isinstance(found, BenchmarkStore):
            found = import_benchmark(path, Path(folder) / "store")
        return _truth(run, found)


def _truth(run: PlottedRun, store: BenchmarkStore) -> Truth:
    kind, genotypes, drawn = store.kind, run.genotypes, dict[int, list[str]]()
    if not genotypes:
        raise NothingToDrawError("the run has no genotypes")
    tested = [each for each in best_of(store) if each.split == SPLIT]
    if not tested:
        raise NothingToDrawError("the benchmark has no accuracies on test images")
    names = {each.dataset.lower(): each.dataset for each in tested}
    data = run.facts.data.text.partition(":")[0].lower() if run.facts else ""
    name = names.get(data, names.get("cifar10", tested[0].dataset))
    best = max((each for each in tested if each.dataset == name), key=lambda each: each.epochs)
    try:
        chosen = {epoch: kind.key(genotype) for epoch, genotype in genotypes.items()}
    except NasirError as error:
        message = f"the run's genotypes are not of {kind.title}: {error.message}"
        raise NothingToDrawError(message) from None
    with suppress(NasirError):  # the space is not here, or the row lacks a choice
        drawn = {
            row.epoch: [kind.key(each) for each in draw_genotypes(run, row, DRAWS)]
            for row in run.architecture
        }
    known: dict[str, float] = {}
    for key in {*chosen.values(), *(key for row in drawn.values() for key in row)}:
        record = store.lookup(key)
        with suppress(NasirError):  # E601: some architectures of a benchmark lack some values
            if record is not None:
                question = Question(name, best.epochs, SPLIT)
                known[key] = answers(record, question)[0].accuracy
    missing = next((key for key in chosen.values() if key not in known), None)
    if missing is not None:
        raise NothingToDrawError(f"the benchmark has no result for {missing}")
    rows = {epoch: [known[key] for key in row if key in known] for epoch, row in drawn.items()}
    return Truth(
        kind.title,
        {epoch: known[key] for epoch, key in chosen.items()},
        {epoch: band_of(values) for epoch, values in rows.items() if len(values) > 1},
        best,
    )


def band_of(values: list[float]) -> Band:
    """Returns minimum, quartiles and maximum."""
    return tuple(map(float, np.percentile(values, [0, 25, 50, 75, 100])))


def draw_genotypes(run: PlottedRun, row: ArchitectureRow, count: int) -> list[Genotype]:
    """Samples genotypes by the weights of the epoch's choices (`nasir.draw_genotype`).

    Samples depend only on the run's seed and the epoch. Raises errors of reading the space, and one
    if the row lacks a choice.
    """
    assert run.facts is not None, "a log has no weights"
    random = Random(f"{run.facts.seed} architectures of epoch {row.epoch}")
    space = nasir.load_space(run.facts.space.name)
    weights = {name: np.nan_to_num(values).tolist() for name, values in row.weights.items()}
    seeds = [random.getrandbits(32) for _ in range(count)]
    return [nasir.draw_genotype(space, weights, seed) for seed in seeds]
