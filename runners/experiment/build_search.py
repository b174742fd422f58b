"""From an experiment to what a search needs: the space's supernet, the task, the place."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

import nasir
from nasir import Choice, Graph, NasirError, Space
from nasir.errors import quoted
from nasir.space.skeletons import find_skeleton
from runners.experiment.combine import checked, with_epochs, with_fraction, with_parts
from runners.experiment.decided import Decided
from runners.experiment.experiment import Experiment, Search
from runners.experiment.method import PARTS, Method, part_name
from runners.experiment.method_file import read_method
from runners.experiment.parts.regularise import KullbackLeibler
from runners.experiment.parts.select import BestOf, Projection
from runners.experiment.recipe import with_values
from runners.experiment.schedule import EpochPlan, planned
from runners.experiment.search_hooks import stage_graph
from runners.experiment.settings import Settings
from runners.experiment.size import asked_sizes
from runners.fields import code_for, values_of
from runners.folder.facts import FORMAT, space_hash
from runners.machine.device import Place, find_place
from runners.machine.machine import surroundings
from runners.task import Task
from runners.task.find import find_task
from runners.task.options import TaskOptions

DATA_SET = "digits"
"""What a search learns from where its experiment names no data."""


@dataclass(frozen=True, slots=True)
class BuiltSearch:
    """A search with everything that it names made; nothing is trained without a supernet."""

    experiment: Experiment
    space: Space
    method: Method
    settings: Settings
    supernet: Graph | None
    choices: tuple[Choice, ...]
    task: Task
    place: Place

    @property
    def search(self) -> Search:
        """The experiment's."""
        return self.experiment.searching

    @property
    def plan(self) -> EpochPlan:
        """What it will do."""
        return planned(self.settings, self.method.select, Decided(self.space, self.choices))

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the search."""
        return {
            **surroundings(str(self.place.device)),
            "format": FORMAT,
            "kind": "search",
            "method": {"name": self.method.name, "paper": self.method.paper, **_parts(self.method)},
            "space": {"name": self.space.name, "hash": space_hash(self.space)},
            "data": {
                "text": (self.experiment.data or DATA_SET),
                "fingerprint": self.task.fingerprint,
            },
            "seed": self.experiment.seed,
            "settings": _plain(self.settings),
            "experiment": self.experiment.facts(),
            "task": self.task.name,
            "metric": self.task.metric,
            "plan": self.plan.facts(),
            "choices": {choice.name: list(choice.options) for choice in self.choices},
            "genotype_space": self.space.name,
        }


def build(experiment: Experiment) -> BuiltSearch:
    """Looks names up, reads the data, builds the supernet. Raises what each of these raises."""
    space, method, own_epochs = resolved(experiment)
    settings, search, run = method.settings, experiment.searching, experiment.run
    place = find_place(run.device, run.precision or "float32", run.deterministic)
    data = experiment.data or DATA_SET
    options = TaskOptions(
        data,
        settings.train.batch,
        experiment.seed,
        search.split,
        search.shuffled,
        run.limit,
        settings.pictures.cutout,
    )
    task = find_task(space.skeleton, options, place)
    graph, choices = None, ()
    if settings.stages:
        graph = task.prepare(_supernet(space, settings, experiment, task.sizes))
        # All stages, because what cannot be is said at once; their choices are the same.
        graphs = [stage_graph(graph, method, each, {}, space) for each in settings.stages]
        choices = graphs[0].choices
        if isinstance(method.select, Projection) and settings.train.epochs is not None:
            decided = Decided(space, choices)
            method = _shared(method, method.select, search.interval, own_epochs, decided)
    return BuiltSearch(experiment, space, method, method.settings, graph, choices, task, place)


def _shared(
    method: Method, select: Projection, interval: int | None, own_epochs: int, decided: Decided
) -> Method:
    """The method where the search and the tuning between projections have all epochs together.

    They share them as the method's own do, or an interval that is asked for leaves the search the
    rest. Raises E743 where too few are left.
    """
    settings, epochs = method.settings, method.settings.train.epochs or 0
    rounds, stages = select.rounds(decided), len(settings.stages)
    tuning = select.length(rounds)
    if interval is None:
        share = round(epochs * tuning / (own_epochs + tuning))
        tuning = max(1, min(share, epochs - stages))
    if epochs < stages + tuning:
        message = f"{epochs} epochs are too few for the search and {rounds} projections"
        raise NasirError("E743", message, hint=f"--epochs {stages + tuning} or more")
    return replace(
        method,
        settings=with_epochs(settings, epochs - tuning),
        select=replace(select, epochs=tuning),
    )


def _supernet(
    space: Space, settings: Settings, experiment: Experiment, data: Mapping[str, int]
) -> Graph:
    """The supernet in the sizes that the method, the data and the experiment say, the last wins."""
    skeleton = find_skeleton(space.skeleton)
    asked = asked_sizes(settings.network, experiment.values, data, "E743")
    chosen = {name: value for name, value in values_of(settings.network).items() if value}
    sizes = {**chosen, **data, **asked}
    known = {name: value for name, value in sizes.items() if name in skeleton.sizes}
    for name in asked:
        if name not in known:
            message = f"the skeleton '{skeleton.name}' has no size '{name}'"
            raise NasirError("E505", message, hint=f"it has: {', '.join(skeleton.sizes)}")
    return nasir.supernet(
        space,
        channels=known.get("channels"),
        layers=known.get("layers"),
        classes=known.get("classes"),
        resolution=known.get("resolution"),
        in_channels=known.get("in_channels"),
        vocabulary=known.get("vocabulary"),
        hidden=known.get("hidden"),
        auxiliary=skeleton.name == "rnn",
    )


def _parts(method: Method) -> dict[str, str]:
    """The parts by kind, and the numbers that they have."""
    found: dict[str, Any] = {}
    for kind in PARTS:
        part = getattr(method, kind)
        found[kind] = "none" if part is None else part_name(kind, part)
        fields = {} if part is None else _plain(part)
        if fields:
            found[f"{kind}_values"] = fields
    return found


def _plain(value: Any) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(value)))


def resolved(experiment: Experiment) -> tuple[Space, Method, int]:
    """The space, the method with the settings that were asked for, and its own stages' epochs.

    Raises what reading them raises, and E743.
    """
    search = experiment.searching
    for name in ("recipe", "space", "inherit", "weights"):
        if getattr(experiment, name) is not None:
            raise NasirError("E743", f"a search has no `{name}`", hint="nasir evaluate takes it")
    space = nasir.load_space(experiment.of)
    method = with_parts(read_method(search.method, space.skeleton), search.parts)
    own = method.settings
    try:
        settings = _asked(own, experiment)
    except ValueError as error:
        raise NasirError(code_for(error, "E743"), str(error)) from None
    method = _bounded(method, search)
    if search.as_published:
        method = _as_published(method)
    return space, checked(replace(method, settings=settings)), own.epochs


def _asked(settings: Settings, experiment: Experiment) -> Settings:
    """The settings with the experiment's values. ValueError for one out of its range."""
    fraction = experiment.searching.channels_fraction
    if fraction is not None:
        settings = with_fraction(settings, _fraction(fraction))
    settings = with_values(settings, experiment.values, "a search", "E743")
    epochs = settings.train.epochs
    return settings if epochs is None else with_epochs(settings, epochs)


def _bounded(method: Method, search: Search) -> Method:
    """The method whose selection measures as much as is asked."""
    select = method.select
    if isinstance(select, BestOf):
        select = replace(
            select,
            count=search.candidates or select.count,
            batches=select.batches if search.batches is None else search.batches,
        )
    elif isinstance(select, Projection):
        select = replace(
            select,
            interval=search.interval or select.interval,
            batches=select.batches if search.batches is None else search.batches,
        )
    return replace(method, select=select)


def _as_published(method: Method) -> Method:
    """The method with the defects of its code that its parts have fields for."""
    select, regularise = method.select, method.regularise
    if isinstance(select, Projection):
        select = replace(select, candidates="all")
    if isinstance(regularise, KullbackLeibler):
        regularise = replace(regularise, options="all")
    return replace(method, select=select, regularise=regularise)


def _fraction(text: str) -> Fraction:
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        message = f"{quoted(text)} is no fraction of channels"
        raise NasirError("E743", message, hint="for example 1/4") from None
