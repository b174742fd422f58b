"""Scores of genotypes by zero-cost proxies, and their rank correlation with accuracies."""

import csv
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy import stats as untyped

import nasir
from nasir import Genotype, NasirError, Space, Where
from nasir.arguments import checked
from nasir.errors import Summarised, quoted
from nasir.files import read_source
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.space import home_of
from nasir.space.load import SpaceLike, as_space
from nasir.space.own_skeletons import find_skeleton
from runners.benchmarks import BenchmarkRecord, BenchmarkStore, Question, answers, open_benchmark
from runners.benchmarks.record import everything
from runners.data.name import parse_data
from runners.experiment.build import DATA_SET, check_sizes
from runners.experiment.proxies import joined, members, score_of
from runners.experiment.recipe import Recipe
from runners.experiment.sizes import NetworkSize
from runners.folder.display import Display
from runners.machine.device import find_place
from runners.task.task import Task, training_task

stats: Any = untyped  # scipy has no types

SPLIT, HEADER = "test", "architecture,accuracy"
RESAMPLES, CONFIDENCE = 1000, 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A coefficient with its bootstrap interval (percentiles); NaN where all scores are equal."""

    value: float
    low: float
    high: float


def estimated(
    value: float,
    samples: Sequence[Any],
    statistic: Callable[..., Any],
    seed: int = 0,
    **settings: Any,
) -> Estimate:
    """Returns a statistic's value with its interval; `settings` are those of scipy's bootstrap."""
    interval = stats.bootstrap(
        samples,
        statistic,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
        **settings,
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


@dataclass(frozen=True, slots=True)
class Agreement:
    """The rank correlation of a proxy with accuracy.

    `undefined` is the number of architectures without a score, which rank below all others.
    """

    proxy: str
    spearman: Estimate
    kendall: Estimate
    undefined: int


@dataclass(frozen=True, slots=True, repr=False)
class Correlation(Summarised):
    """Scores by proxy and accuracies (percent) of a sample of architectures, and their agreement.

    `networks` is the number of networks that were scored: one for equal functions.
    """

    space: str
    architectures: tuple[str, ...]
    accuracies: tuple[float, ...]
    scores: Mapping[str, Sequence[float]]
    networks: int
    rows: tuple[Agreement, ...]

    @property
    def _facts(self) -> Mapping[str, object]:
        found = {row.proxy: round(row.spearman.value, 3) for row in self.rows}
        return {"space": self.space, "architectures": len(self.architectures), **found}


@checked
def score(
    genotypes: Sequence[GenotypeLike],
    proxies: Sequence[str],
    *,
    data: str = DATA_SET,
    batch: int = 64,
    seed: int = 0,
    device: str = "cpu",
    display: Display | None = None,
    **size: Any,
) -> dict[str, list[float]]:
    """Returns scores of untrained networks by proxy, in the order of `genotypes`.

    Higher is better, -inf undefined; `runners.experiment.proxies.score_of` has the rules. The batch
    is the first one of a training with that seed, without augmentation. `size` are sizes of the
    network (`channels`, `layers`, …) and the skeleton; by default the space's own.
    """
    members(proxies)
    found = [as_genotype(each) for each in genotypes]
    if not found:
        raise NasirError("E505", "there is no genotype to score")
    task, own = task_of_proxies(skeleton_of(found[0], size), data, batch, seed, device, size)
    return score_of(proxies, found, task.train(0, 0), seed, own, display)


@checked
def correlate(
    space: SpaceLike,
    proxies: Sequence[str],
    table: str | Path,
    *,
    count: int = 1000,
    dataset: str | None = None,
    data: str = DATA_SET,
    batch: int = 64,
    seed: int = 0,
    device: str = "cpu",
    display: Display | None = None,
    **size: Any,
) -> Correlation:
    """Returns the rank correlation of proxies with accuracies, over a sample of a table.

    `table` is a CSV with the columns architecture and accuracy, or a benchmark (`nasir query`), of
    which `dataset` (by default that of `data`) has the test accuracy after the longest training.
    `count` of its architectures are drawn without repetition, all if there are fewer; if the table
    has all of a space, this is a sample of the space. Architectures with equal canonical ids are
    scored once, as the first of them by text. Other arguments are those of `score`.

    Raises an error for fewer than three architectures, and for one outside the space.
    """
    members(proxies)
    space, display = as_space(space), display or Display()
    rows = _read_table(Path(table), dataset or parse_data(data).kind)
    drawn = sorted(Random(seed).sample(rows, min(count, len(rows))))
    if len(drawn) < 3:
        message = f"a correlation needs three architectures, and there are {len(drawn)}"
        raise NasirError("E505", message, Where(str(table)))
    texts, accuracies = zip(*drawn, strict=True)
    genotypes = [_of_space(text, space, table) for text in texts]
    ids = list(map(nasir.canonical_id, genotypes))
    first = dict(reversed(list(zip(ids, genotypes, strict=True))))
    task, own = task_of_proxies(skeleton_of(genotypes[0], size), data, batch, seed, device, size)
    scored = list(first.values())
    found = score_of(members(proxies), scored, task.train(0, 0), seed, own, display)
    places = {ident: place for place, ident in enumerate(first)}
    scores = joined(
        proxies, {name: [row[places[ident]] for ident in ids] for name, row in found.items()}
    )
    with display.stage("resample the correlations"):
        agreed = tuple(_agreement(name, row, accuracies, seed) for name, row in scores.items())
    return Correlation(space.name, texts, accuracies, scores, len(first), agreed)


def skeleton_of(genotype: Genotype, size: Mapping[str, Any]) -> Any:
    """Returns the skeleton that is asked for, or that of the genotype's space."""
    home = home_of(genotype) or nasir.load_space(genotype.space)
    return find_skeleton(size.get("skeleton") or home.skeleton, home)


def task_of_proxies(
    skeleton: Any, data: str, batch: int, seed: int, device: str, size: Mapping[str, Any]
) -> tuple[Task, dict[str, Any]]:
    """Returns the task whose first batch proxies see, and keywords of `nasir.network` for it."""
    if skeleton.name == "rnn":
        message = "proxies score networks of images, and not recurrent ones"
        raise NasirError("E505", message)
    asked = NetworkSize(**size).model_dump(exclude={"auxiliary"}, exclude_none=True)
    recipe = Recipe().having(train={"batch": batch})
    task = training_task(skeleton.name, recipe, data, find_place(device), seed)
    check_sizes(asked, task.sizes, "E505")
    known = {name: value for name, value in task.sizes.items() if name in skeleton.sizes}
    return task, {**known, **asked}


def _of_space(text: str, space: Space, table: str | Path) -> Genotype:
    try:
        genotype = nasir.load_genotype(text, space)
    except NasirError as error:
        message = f"the architecture {quoted(text, 120)} cannot be read: {error.message}"
        raise NasirError(error.code, message, Where(str(table)), error.hint) from None
    for reason in space.contains(genotype):
        message = f"the architecture {quoted(text, 120)} is outside the space: {reason}"
        raise NasirError("E211", message, Where(str(table)))
    return genotype


def _read_table(path: Path, dataset: str) -> list[tuple[str, float]]:
    """Returns architectures as text and accuracies, in the table's order."""
    with suppress(OSError, UnicodeDecodeError), path.open(encoding="utf-8") as stream:
        if stream.read(len(HEADER)) == HEADER:
            return _read_csv(path)
    found = open_benchmark(path)
    if not found.kind.indexed:
        message = f"{found.kind.title} names architectures by hashes, of which none can be built"
        hint = f"a CSV that begins with {HEADER}"
        raise NasirError("E505", message, Where(str(path)), hint)
    records = _records(found)
    lengths = {
        column.epochs
        for record in records
        for column in record.values
        if (column.dataset.lower(), column.split) == (dataset.lower(), SPLIT)
    }
    question = Question(dataset, max(lengths, default=None), SPLIT)
    rows: list[tuple[str, float]] = []
    for record in records:
        try:
            rows.append((record.key, answers(record, question)[0].accuracy))
        except NasirError as error:
            if not lengths:
                hint = f"{error.hint}; choose with --dataset"
                raise NasirError(error.code, error.message, Where(str(path)), hint) from None
    return rows


def _records(found: Any) -> list[BenchmarkRecord]:
    if not isinstance(found, BenchmarkStore):
        return list(found.records(everything))
    records = (found.lookup(found.key_at(row)) for row in range(len(found)))
    return [record for record in records if record is not None]


def _read_csv(path: Path) -> list[tuple[str, float]]:
    rows = csv.DictReader(io.StringIO(read_source(path).text))
    found: dict[str, float] = {}
    for line, row in enumerate(rows, start=2):
        text, where = row["architecture"], Where(str(path), line)
        accuracy = math.nan
        with suppress(TypeError, ValueError):
            accuracy = float(row["accuracy"])
        if not math.isfinite(accuracy):
            message = f"an accuracy is {quoted(str(row['accuracy']))}, which is no number"
            raise NasirError("E109", message, where)
        if text in found:
            message = f"the architecture {quoted(text, 120)} occurs twice"
            raise NasirError("E104", message, where)
        found[text] = accuracy
    return list(found.items())


def _agreement(
    proxy: str, scores: Sequence[float], accuracies: Sequence[float], seed: int
) -> Agreement:
    ranks = stats.rankdata(scores)

    def estimate(coefficient: Callable[..., Any]) -> Estimate:
        def statistic(*sample: Any) -> float:
            return float(coefficient(*sample).statistic)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of samples with equal values, whose value is NaN
            value = statistic(ranks, accuracies)
            if math.isnan(value):
                return Estimate(value, value, value)
            settings: Any = {"paired": True, "vectorized": False, "n_resamples": RESAMPLES}
            return estimated(value, (ranks, accuracies), statistic, seed, **settings)

    undefined = sum(value == -math.inf for value in scores)
    return Agreement(proxy, estimate(stats.spearmanr), estimate(stats.kendalltau), undefined)
