"""What tells a genotype's value: a table, a short training, a proxy, or a supernet."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import nasir
from nasir import Genotype, NasirError, Space, Where
from nasir.errors import quoted
from runners.benchmarks import (
    Answer,
    BenchmarkRecord,
    BenchmarkStore,
    Question,
    answers,
    open_benchmark,
    records_of,
)
from runners.experiment.asking import Measures, Query, Teller, Told
from runners.experiment.experiment import Experiment
from runners.experiment.fields import AnyCount, Model, Share
from runners.machine.cluster import when_free

CIFAR10 = "cifar10"
"""CIFAR-10 in benchmarks, whose validation accuracies are those of `cifar10-valid`."""

LOWER = ("perplexity",)
"""Metrics of which less is better: their values are negative."""


class ValuePart(Model, ABC):
    """Tells values of genotypes; `of` is what follows the name in `--value NAME:OF`."""

    settings: ClassVar[str] = ""
    """Sections of settings that it reads from an experiment's `values`, for a hint."""

    of: str = ""

    @abstractmethod
    def open(self, experiment: Experiment, space: Space) -> Teller:
        """Opens what tells values, before a run starts. Raises its errors."""


class TableValue(ValuePart):
    """An accuracy of a benchmark, as `nasir query` reads it.

    That of `split` after the longest training, else after the one next to the query's share.
    `dataset` is by default that of `--data`, else CIFAR-10, else the first. A row has the test
    accuracy after the longest training, too.
    """

    dataset: str = ""
    split: str = "valid"

    def open(self, experiment: Experiment, space: Space) -> Teller:
        path = Path(self.of)
        found = open_benchmark(path)
        if isinstance(found, BenchmarkStore):
            fingerprint = found.header.checksum
        else:
            fingerprint = sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        records = records_of(found, path)
        dataset = self.dataset or (experiment.data or "").partition(":")[0]
        _refuse(experiment.values, self)

        def answer(query: Query, _: Path) -> Told:
            return self._answer(records(query.genotype), dataset, query.share)

        return Teller(answer, fingerprint, "accuracy")

    def _answer(self, record: BenchmarkRecord, dataset: str, share: float) -> Told:
        rows = answers(record, Question(dataset or None, split=self.split))
        names = [row.dataset for row in rows]
        name = next((name for name in names if name.removesuffix("-valid") == CIFAR10), names[0])
        rows = [row for row in rows if row.dataset == name]
        longest = max(row.epochs for row in rows)
        if share < 1 and len(rows) == 1:
            message = f"the table has {name}'s {self.split} accuracies"
            message = f"{message} after {longest} epochs alone, and shorter trainings are asked for"
            raise NasirError("E601", message, Where(self.of), "--ask evolution, or another value")
        row = min(rows, key=lambda row: (abs(row.epochs - share * longest), row.epochs))
        measures: dict[str, object] = {self.split: {"accuracy": row.accuracy}}
        measures.setdefault("test", {"accuracy": _test(record, name.removesuffix("-valid"))})
        return Told(row.accuracy, measures)


class RecipeValue(ValuePart):
    """The held-out metric after a training by a recipe (`nasir evaluate`), greater being better.

    The experiment's settings are the recipe's (`--epochs 10`, `--channels 8`); the share of a query
    is that of the epochs. If the recipe holds no images out, `validation` of them are.
    """

    settings = "those of nasir evaluate"
    validation: Share = 0.1

    def open(self, experiment: Experiment, space: Space) -> Teller:
        from runners.experiment.build import build_training
        from runners.experiment.fields import with_values
        from runners.experiment.recipe import read_recipe

        recipe = with_values(read_recipe(self.of or "cifar10"), experiment.values)
        held_out = {} if recipe.train.validation else {"train.validation": self.validation}

        def training(genotype: Genotype, share: float) -> Experiment:
            epochs = max(1, round(recipe.train.epochs * share))
            return Experiment(
                of=nasir.dump_genotype(genotype),
                space=experiment.of,
                recipe=self.of or None,
                data=experiment.data,
                seed=experiment.seed,
                values={**held_out, **experiment.values, "train.epochs": epochs},
                run=experiment.run.having(track="none"),
            )

        task = build_training(training(nasir.sample(space, 0), 1.0)).task
        split = task.splits[0]

        def answer(query: Query, folder: Path) -> Told:
            summary = _trained(training(query.genotype, query.share), folder)
            if summary is None:
                return Told(-math.inf)
            measures = {name: summary[name] for name in task.splits}
            return Told(_valued(summary[split], task.metric), measures)

        return Teller(answer, task.fingerprint, task.metric, repeats=task.repeats)


class ProxyValue(ValuePart):
    """A zero-cost proxy (`nasir score`) on the first batch of the data. No shares.

    An ensemble by rank has values among all queries so far, as in the search of AZ-NAS,
    arXiv:2403.19232: each query changes those of the others.
    """

    settings = "sizes of the network, and train.batch"

    def open(self, experiment: Experiment, space: Space) -> Teller:
        from runners.experiment.build import DATA_SET
        from runners.experiment.proxies import each_score, joined, members
        from runners.experiment.scoring import skeleton_of, task_of_proxies

        names = members([self.of])
        single = names == (self.of,)
        given = dict(experiment.values)
        batch = int(given.pop("train.batch", 64))
        size: dict[str, Any] = {}
        for name in list(given):
            if name.startswith("network."):
                size[name.removeprefix("network.")] = given.pop(name)
        _refuse(given, self)
        task, size = task_of_proxies(
            skeleton_of(nasir.sample(space, 0), size),
            experiment.data or DATA_SET,
            batch,
            experiment.seed,
            experiment.run.device,
            size,
        )
        first = task.train(0, 0)

        def answer(query: Query, _: Path) -> Told:
            genotype = _whole(query, self).genotype
            scores = next(each_score([self.of], [genotype], first, experiment.seed, size))
            return Told(scores[self.of]) if single else Told(0.0, {"scores": scores})

        def ranking(rows: Sequence[Measures]) -> Sequence[float]:
            scores = [_finite(row["scores"]) for row in rows]
            columns = {name: [row[name] for row in scores] for name in names}
            return joined([self.of], columns)[self.of]

        return Teller(
            answer,
            task.fingerprint,
            self.of,
            repeats=task.repeats,
            ranking=None if single else ranking,
        )


class SupernetValue(ValuePart):
    """The score with the weights of a search's run directory, on `batches` held-out batches."""

    batches: AnyCount = 0

    def open(self, experiment: Experiment, space: Space) -> Teller:
        from runners.experiment.search import load_supernet

        _refuse(experiment.values, self)
        supernet = load_supernet(Path(self.of))
        if supernet.space.name != space.name:
            message = f"the supernet is one of '{supernet.space.name}', not of '{space.name}'"
            raise NasirError("E505", message, Where(self.of))
        task = supernet.task

        def answer(query: Query, _: Path) -> Told:
            score = supernet.score_of(_whole(query, self).genotype, self.batches)
            measures = dict(score.measures)
            return Told(_valued(measures, task.metric), {"valid": measures})

        return Teller(answer, task.fingerprint, task.metric, repeats=task.repeats)


def _valued(measures: Mapping[str, float], metric: str) -> float:
    value = float(measures[metric])
    return -value if metric in LOWER else value


def _refuse(values: Mapping[str, object], value: ValuePart) -> None:
    """Raises an error for settings that a value does not read."""
    if values:
        name = next(iter(values))
        hint = f"it has {value.settings}" if value.settings else "it has none"
        raise NasirError("E505", f"{quoted(name)} is no setting of the search's value", hint=hint)


def _finite(scores: Mapping[str, float | None]) -> Mapping[str, float]:
    """Returns scores with -inf for null, as which it stands in a run's rows."""
    return {name: -math.inf if value is None else value for name, value in scores.items()}


def _whole(query: Query, value: ValuePart) -> Query:
    """Raises an error for a query after a part of the training."""
    if query.share < 1:
        message = f"'{value.of}' has one value for a genotype, and shorter trainings are asked for"
        raise NasirError("E505", message, hint="--value recipe:NAME")
    return query


def _test(record: BenchmarkRecord, dataset: str) -> float | None:
    """Returns the test accuracy after the longest training, if the table has it."""
    try:
        found: Sequence[Answer] = answers(record, Question(dataset, split="test"))
    except NasirError:
        return None
    return max(found, key=lambda row: row.epochs).accuracy


def _trained(experiment: Experiment, folder: Path) -> Mapping[str, Any] | None:
    """Returns the summary of a training in a folder; goes on with one that is there.

    None if its loss was not finite.
    """
    from runners.experiment.train import evaluate, resume
    from runners.folder.display import Display

    def work() -> Mapping[str, Any]:
        begun = (folder / "run.json").is_file()
        found = resume(folder, {}, Display()) if begun else evaluate(experiment, folder, Display())
        return found.summary

    try:
        return when_free(work)
    except NasirError as error:
        if error.code != "E741":
            raise
        return None
