"""Builds an experiment: looks up names, reads data, builds the graph."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import nasir
from nasir import Choice, Genotype, Graph, NasirError, Space
from nasir.space import home_of
from nasir.space.layout import DEPTHS, OWN
from nasir.space.own_skeletons import find_skeleton
from nasir.space.skeletons import Skeleton
from runners.experiment.architect import BestOf, KullbackLeibler, Projection
from runners.experiment.asking import Asker, RandomQueries
from runners.experiment.experiment import Experiment, RunOptions
from runners.experiment.fields import with_values
from runners.experiment.method import (
    PARTS,
    Method,
    part_name,
    read_method,
    with_epochs,
    with_fraction,
    with_parts,
)
from runners.experiment.recipe import Recipe, Settings, Stage, read_recipe
from runners.experiment.sizes import DATA, Sizes, size_facts
from runners.experiment.supernet import Decisions
from runners.experiment.trained import SIZES, searched_sizes
from runners.folder.facts import FORMAT, Kind, space_hash
from runners.inputs import read_named
from runners.machine.device import Place, find_place
from runners.machine.machine import surroundings
from runners.task.task import Task, search_task, training_task

DATA_SET = "digits"
"""The default data of a search."""

VALUES = "--value table:FILE, recipe:NAME, proxy:NAME or supernet:RUN"
"""Hint of searches without a supernet."""

QUERIES = 150
"""The default number of values that a search without a supernet asks for."""

Kept = Mapping[str, tuple[int, ...]]
"""The remaining options of pruned choices."""


@dataclass(frozen=True, slots=True)
class Built:
    """An experiment with its data and graph; nothing is lowered yet."""

    kind: ClassVar[Kind]
    compared: ClassVar[tuple[str, ...]]
    """The facts that must be equal when a run is resumed."""
    batch_option: ClassVar[str]
    memory_hint: ClassVar[str]

    experiment: Experiment
    data: str
    place: Place
    batch: int
    task: Task

    @property
    def together(self) -> bool:
        """Whether batch norms use the statistics of all processes' batches."""
        return self.experiment.run.sync_batch_norm and self.place.ranks.count > 1

    def facts(self) -> dict[str, Any]:
        """Returns the content of `run.json`."""
        return {
            **surroundings(str(self.place.device), self.place.ranks.count),
            "format": FORMAT,
            "kind": self.kind,
            "data": {"text": self.data, "fingerprint": self.task.fingerprint},
            "seed": self.experiment.seed,
            "experiment": self.experiment.facts(),
            "task": self.task.name,
            "metric": self.task.metric,
            **({} if self.task.repeats else {"repeats": False}),
        }


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """Epochs of stages, of tuning in `rounds` of projection, and final candidates of a search.

    A search without a supernet has `queries` instead.
    """

    stages: tuple[int, ...]
    tuning: int = 0
    rounds: int = 0
    candidates: int = 0
    queries: int = 0

    @property
    def epochs(self) -> int:
        """The total; a query counts as one."""
        return sum(self.stages) + self.tuning + self.queries

    @property
    def words(self) -> str:
        """The plan as one line of text."""
        if self.queries:
            return f"{self.queries:,} queries"
        parts: list[str] = []
        if len(self.stages) > 1:
            parts.append(f"stages of {', '.join(map(str, self.stages))}")
        if self.rounds:
            parts.append(f"{sum(self.stages)} of search")
            parts.append(f"{self.tuning} of tuning between {self.rounds} projections")
        total = f"{self.epochs} epochs" + (f" ({'; '.join(parts)})" if parts else "")
        last = f", then the best of {self.candidates:,} candidates" if self.candidates else ""
        return f"{total}{last}"

    def facts(self) -> dict[str, Any]:
        """Returns plain data."""
        return {"epochs": self.epochs, **asdict(self)}


@dataclass(frozen=True, slots=True)
class BuiltSearch(Built):
    """A search; only a method that trains has a supernet."""

    kind = "search"
    compared = ("space", "data", "seed", "settings", "method")
    batch_option = "--batch "
    memory_hint = "--memory states keeps less"

    space: Space
    method: Method
    supernet: Graph | None = None
    choices: tuple[Choice, ...] = ()

    @property
    def plan(self) -> EpochPlan:
        """The search's epochs."""
        stages = tuple(stage.epochs for stage in self.method.stages)
        select = self.method.select
        if self.method.value is not None:
            return EpochPlan((), queries=self.experiment.searching.queries or QUERIES)
        if isinstance(select, Projection):
            rounds = select.rounds(Decisions(self.space, self.choices))
            return EpochPlan(stages, select.length(rounds), rounds)
        return EpochPlan(stages, candidates=select.count if isinstance(select, BestOf) else 0)

    def facts(self) -> dict[str, Any]:
        """Returns the content of `run.json`."""
        method = self.method
        return {
            **Built.facts(self),
            "method": {"name": method.name, "paper": method.paper, **_parts(method)},
            "space": {"name": self.space.name, "hash": space_hash(self.space)},
            "settings": method.model_dump(mode="json", include=set(Settings.model_fields)),
            "plan": self.plan.facts(),
            "choices": {choice.name: list(choice.options) for choice in self.choices},
            "genotype_space": self.space.name,
        }


@dataclass(frozen=True, slots=True)
class BuiltTraining(Built):
    """An evaluation: the training of a genotype's network."""

    kind = "evaluate"
    compared = ("genotype", "data", "seed", "recipe", "size")
    batch_option = "--set train.batch="
    memory_hint = "train.accumulate splits a batch"

    recipe: Recipe
    genotype: Genotype
    graph: Graph

    def facts(self) -> dict[str, Any]:
        """Returns the content of `run.json`."""
        cost = nasir.cost(self.graph)
        return {
            **Built.facts(self),
            "genotype": {"name": self.genotype.name, "text": nasir.dump_genotype(self.genotype)},
            "space": {"name": self.genotype.space},
            "recipe": self.recipe.facts(),
            "size": size_facts(self.graph),
            "auxiliary": bool(self.recipe.train.auxiliary),
            "cost": {"params": cost.params, "macs": cost.macs},
            "plan": {"epochs": self.recipe.train.epochs},
            "splits": list(self.task.splits),
        }


def build_search(experiment: Experiment) -> BuiltSearch:
    """Looks up names, reads the data and builds the supernet. Raises their errors."""
    search, run = experiment.searching, experiment.run
    for name in ("recipe", "space", "inherit", "weights", "without_head"):
        if getattr(experiment, name) not in (None, False):
            raise NasirError("E505", f"a search has no `{name}`", hint="nasir evaluate accepts it")
    space = nasir.load_space(experiment.of)
    named = with_parts(read_method(search.method, space.skeleton), search.parts)
    if named.ask is not None and (
        named.value is not None or not isinstance(named.ask, RandomQueries)
    ):
        return _build_queries(experiment, space, named)
    if search.queries is not None or search.together is not None:
        message = f"method '{named.name}' has no value to ask for"
        raise NasirError("E505", message, hint=VALUES)
    experiment = experiment.having(data=experiment.data or DATA_SET)
    method = _with_asked(named, experiment)
    batch = method.train.batch
    place = _place(run, run.precision or "float32")
    data = experiment.data or DATA_SET
    task = search_task(space.skeleton, data, experiment, method, place)
    if not method.stages:
        return BuiltSearch(experiment, data, place, batch, task, space, method)
    skeleton = find_skeleton(space.skeleton, space)
    left = dict(space.size + space.largest)  # these are the supernet's, not the method's
    own = {name: value for name, value in method.network if value and name not in left}
    sizes = _sizes(skeleton, own, method.network, experiment, task, "E505")
    graph = task.prepare(nasir.supernet(space, auxiliary=skeleton.name == "rnn", **sizes))
    # All stages, so that an impossible one fails now; their choices are the same.
    graphs = [stage_graph(graph, method, each, {}, space) for each in method.stages]
    choices = graphs[0].choices
    if isinstance(method.select, Projection) and method.train.epochs is not None:
        rounds = method.select.rounds(Decisions(space, choices))
        method = _divide_epochs(method, method.select, search.interval, named.epochs, rounds)
    return BuiltSearch(experiment, data, place, batch, task, space, method, graph, choices)


def _build_queries(experiment: Experiment, space: Space, method: Method) -> BuiltSearch:
    """Opens what tells the values of a search without a supernet; it reads the settings."""
    if method.value is None or method.ask is None:
        message = f"method '{method.name}' asks for values of genotypes, and nothing tells them"
        raise NasirError("E505", message, hint=VALUES)
    run, asker = experiment.run, _with_together(method.ask, experiment.searching.together)
    place = find_place(run.device, run.precision or "float32", run.deterministic)
    task = method.value.open(experiment, space)
    task.repeats = task.repeats and asker.repeats
    return BuiltSearch(
        experiment, experiment.data or "", place, 1, task, space, method.having(ask=asker)
    )


def _with_together(asker: Asker, together: int | None) -> Asker:
    """Returns the asker with that number of queries at a time."""
    if together is None:
        return asker
    if "together" not in type(asker).model_fields:
        message = f"{type(asker).__name__} has its own number of queries at a time"
        raise NasirError("E505", message, hint="leave --together out")
    return asker.having(together=together)


def build_training(experiment: Experiment) -> BuiltTraining:
    """Looks up names, reads the data and builds the graph. Raises their errors."""
    run = experiment.run
    if experiment.search is not None or run.memory != "none":
        name = "run.memory" if experiment.search is None else "search"
        hint = "nasir search runs searches"
        raise NasirError("E505", f"an evaluation has no `{name}`", hint=hint)
    if experiment.without_head and experiment.weights is None:
        raise NasirError("E505", "`without_head` needs weights", hint="--weights FILE")
    recipe = with_values(read_recipe(experiment.recipe or "cifar10"), experiment.values)
    if run.precision is not None:
        recipe = recipe.having(run={"precision": run.precision})
    genotype = read_named(experiment.of, experiment.space)
    place = _place(run, recipe.run.precision)
    size = _training_size(experiment, recipe, genotype)
    data = experiment.data or recipe.data
    if not data:
        message = f"the recipe '{recipe.name}' does not name its data"
        hint = "--data cifar10:PATH, imagefolder:PATH, text:PATH, …"
        raise NasirError("E505", message, hint=hint)
    skeleton = find_skeleton(size.pop("skeleton"), home_of(genotype))
    task = training_task(skeleton.name, recipe, data, place, experiment.seed, run.limit)
    _check_measured(task, recipe)
    sizes = _sizes(skeleton, size, recipe.network, experiment, task, "E505")
    auxiliary = bool(recipe.train.auxiliary) or skeleton.name == "rnn"
    graph = nasir.network(genotype, skeleton.name, auxiliary=auxiliary, **sizes)
    if recipe.train.drop_path:
        try:
            graph = nasir.drop_path(graph)
        except NasirError as error:
            message = f"the recipe drops paths, and {error.message}"
            raise NasirError("E505", message, hint="--set train.drop_path=0") from None
    batch, graph = recipe.train.batch, task.prepare(graph)
    return BuiltTraining(experiment, data, place, batch, task, recipe, genotype, graph)


def _place(run: RunOptions, precision: str) -> Place:
    """Returns the place of a run, joined to its other processes."""
    return find_place(run.device, precision, run.deterministic, together=True, workers=run.workers)


def stage_graph(supernet: Graph, method: Method, stage: Stage, kept: Kept, space: Space) -> Graph:
    """Returns the supernet of a stage. Raises an error if the space does not support it."""
    graph = supernet
    if kept:
        graph, _ = nasir.run_passes(nasir.restrict(graph, kept), (nasir.PASSES["dead-code"],))
    if stage.parts > 1:
        graph = nasir.partial_channels(graph, stage.parts)
    weighs = method.edges is not None and method.edges.ranks
    if weighs and not any(choice.kind == "op on node" for choice in supernet.choices):
        graph = nasir.edge_weights(graph, space)
    if method.train.drop_path:
        graph = nasir.drop_path(graph)
    return graph


def _sizes(
    skeleton: Skeleton,
    own: Mapping[str, int],
    network: Sizes,
    experiment: Experiment,
    task: Task,
    code: str,
) -> dict[str, Any]:
    """Returns the network's sizes: the experiment's values, else the data's, else `own`.

    A requested size is kept even if the skeleton lacks it: the network's builder raises the error.
    Raises `code` if the data has another size than requested.
    """
    data = task.sizes
    asked = {
        name: value
        for name, value in network
        if f"network.{name}" in experiment.values and name != "skeleton"
    }
    check_sizes(asked, data, code)
    known = {name: value for name, value in {**own, **data}.items() if name in skeleton.sizes}
    return {**known, **asked}


def check_sizes(asked: Mapping[str, Any], data: Mapping[str, int], code: str) -> None:
    """Raises `code` if the data has other classes, channels or words than asked for."""
    for name in DATA:
        if name in asked and data.get(name, asked[name]) != asked[name]:
            message = f"the data has {data[name]} {name}, not {asked[name]}"
            raise NasirError(code, message, hint=f"leave --{name.replace('_', '-')} out")


def _training_size(experiment: Experiment, recipe: Recipe, genotype: Genotype) -> dict[str, Any]:
    """Returns skeleton, channels, layers and hidden units.

    Sources, first to last: the experiment's values, the search whose weights are inherited, the
    genotype and the space (on its skeleton), the recipe. A space's own skeleton comes before a
    recipe's.
    """
    space = home_of(genotype) or nasir.load_space(genotype.space)
    named, values = dict(recipe.network), experiment.values
    found: dict[str, Any] = {"skeleton": named["skeleton"] or space.skeleton}
    found |= {name: named[name] for name in SIZES if named[name]}
    if space.network and "network.skeleton" not in values and named["skeleton"] != OWN:
        found = {"skeleton": OWN}  # the recipe's numbers are those of another skeleton
    if found["skeleton"] == space.skeleton:
        own = {**dict(space.size), **dict(genotype.size)}
        found |= {name: value for name, value in own.items() if name in SIZES}
        if any(name in own for name in DEPTHS):
            found.pop("layers", None)  # each stage has its own
    if experiment.inherit:
        found |= searched_sizes(experiment.inherit)
        found["skeleton"] = values.get("network.skeleton") or space.skeleton
    return {**found, **{name: named[name] for name in SIZES if f"network.{name}" in values}}


def _check_measured(task: Task, recipe: Recipe) -> None:
    """Raises an error without data to measure on, or to choose by."""
    if not task.splits:
        message = "the data has no test images, and none are held out"
        raise NasirError("E505", message, hint="--set train.validation=0.1")
    for wanted, value in (
        ("train.keep", recipe.train.keep == "best"),
        ("optimizer.average_after", recipe.optimizer.average_after > 0),
    ):
        if value and "valid" not in task.splits:
            message = f"{wanted} requires validation data, and none is held out"
            raise NasirError("E505", message, hint="--set train.validation=0.1")


def _with_asked(method: Method, experiment: Experiment) -> Method:
    """Returns the method with the experiment's values."""
    search = experiment.searching
    if search.channels_fraction is not None:
        method = with_fraction(method, search.channels_fraction)
    method = with_values(method, experiment.values, "a search", "E505")
    if method.train.epochs is not None:
        method = with_epochs(method, method.train.epochs)
    bounds: dict[str, Any] = {
        "count": search.candidates,
        "interval": search.interval,
        "batches": search.batches,
    }
    if search.as_published and isinstance(method.select, Projection):
        bounds["candidates"] = "all"
    if search.as_published and isinstance(method.regularise, KullbackLeibler):
        method = method.having(regularise=method.regularise.having(options="all"))
    fields = type(method.select).model_fields
    bounds = {name: each for name, each in bounds.items() if each is not None and name in fields}
    return method.having(select=method.select.having(**bounds))


def _divide_epochs(
    method: Method, select: Projection, interval: int | None, own_epochs: int, rounds: int
) -> Method:
    """Returns the method with its epochs divided between the search and the projections.

    The proportion is the method's own; with an explicit interval the search has the rest. Raises an
    error if too few epochs are left.
    """
    epochs = method.train.epochs or 0
    stages, tuning = len(method.stages), select.length(rounds)
    if interval is None:
        share = round(epochs * tuning / (own_epochs + tuning))
        tuning = max(1, min(share, epochs - stages))
    if epochs < stages + tuning:
        message = f"{epochs} epochs are too few for the search and {rounds} projections"
        raise NasirError("E505", message, hint=f"--epochs {stages + tuning} or more")
    return with_epochs(method, epochs - tuning).having(select=select.having(epochs=tuning))


def _parts(method: Method) -> dict[str, Any]:
    """Returns the parts by kind, with their fields."""
    found: dict[str, Any] = {}
    for kind in PARTS:
        part = getattr(method, kind)
        found[kind] = "none" if part is None else part_name(kind, part)
        if part is not None and (fields := part.model_dump(mode="json")):
            found[f"{kind}_values"] = fields
    return found
