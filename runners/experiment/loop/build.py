"""From a request to what a search needs: the space's supernet, the task, the place."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import nasir
from nasir import Choice, Graph, NasirError, Space
from nasir.space.skeletons import find_skeleton
from runners.experiment.combine import with_epochs
from runners.experiment.decided import Decided
from runners.experiment.loop.request import Request, Resolved, resolved
from runners.experiment.method import PARTS, Method, part_name
from runners.experiment.parts.select import Projection
from runners.experiment.recipe import Sizes
from runners.experiment.schedule import Plan, planned
from runners.experiment.search_hooks import stage_graph
from runners.experiment.settings import Settings
from runners.experiment.size import DATA
from runners.fields import values_of
from runners.folder.facts import FORMAT
from runners.folder.settings import space_hash
from runners.machine.machine import surroundings
from runners.machine.place import Place, find_place
from runners.task import Task
from runners.task.find import find_task
from runners.task.options import TaskOptions


@dataclass(frozen=True, slots=True)
class Built:
    """A request with everything that it names made; nothing is trained without a supernet."""

    request: Request
    space: Space
    method: Method
    settings: Settings
    supernet: Graph | None
    choices: tuple[Choice, ...]
    task: Task
    place: Place

    @property
    def plan(self) -> Plan:
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
            "data": {"text": self.request.data, "fingerprint": self.task.fingerprint},
            "seed": self.request.seed,
            "settings": _plain(self.settings),
            "request": self.request.facts(),
            "task": self.task.name,
            "metric": self.task.metric,
            "plan": self.plan.facts(),
            "choices": {choice.name: list(choice.options) for choice in self.choices},
            "genotype_space": self.space.name,
        }


def build(request: Request) -> Built:
    """Looks names up, reads the data, builds the supernet. Raises what each of these raises."""
    found = resolved(request)
    settings, space, method = found.settings, found.space, found.method
    place = find_place(request.device, request.precision, request.deterministic)
    options = TaskOptions(
        request.data,
        settings.train.batch,
        request.seed,
        request.split,
        request.shuffled,
        request.limit,
        settings.pictures.cutout,
    )
    task = find_task(space.skeleton, options, place)
    graph, choices = None, ()
    if settings.stages:
        graph = task.prepare(_supernet(space, settings, request, task.sizes))
        # All stages, because what cannot be is said at once; their choices are the same.
        graphs = [stage_graph(graph, method, each, {}, space) for each in settings.stages]
        choices = graphs[0].choices
        if isinstance(method.select, Projection) and settings.train.epochs is not None:
            method = _shared(found, method.select, settings.train.epochs, Decided(space, choices))
            settings = method.settings
    return Built(request, space, method, settings, graph, choices, task, place)


def _shared(found: Resolved, select: Projection, epochs: int, decided: Decided) -> Method:
    """The method where the search and the tuning between projections have so many epochs together.

    They share them as the method's own do, or an interval that is asked for leaves the search the
    rest. Raises E743 where too few are left.
    """
    rounds, stages = select.rounds(decided), len(found.settings.stages)
    tuning = select.length(rounds)
    if found.request.interval is None:
        share = round(epochs * tuning / (found.own_epochs + tuning))
        tuning = max(1, min(share, epochs - stages))
    if epochs < stages + tuning:
        message = f"{epochs} epochs are too few for the search and {rounds} projections"
        raise NasirError("E743", message, hint=f"--epochs {stages + tuning} or more")
    return replace(
        found.method,
        settings=with_epochs(found.settings, epochs - tuning),
        select=replace(select, epochs=tuning),
    )


def _supernet(space: Space, settings: Settings, request: Request, data: Mapping[str, int]) -> Graph:
    """The supernet in the sizes that the method, the data and the request say, the last wins."""
    skeleton = find_skeleton(space.skeleton)
    sizes = {**_chosen(settings.network), **data, **request.sizes}
    for name in DATA:
        if name in request.sizes and name in data and request.sizes[name] != data[name]:
            message = f"the data has {data[name]} {name}, not {request.sizes[name]}"
            raise NasirError("E743", message, hint=f"leave --{name.replace('_', '-')} out")
    known = {name: value for name, value in sizes.items() if name in skeleton.sizes}
    for name in request.sizes:
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


def _chosen(network: Sizes) -> dict[str, int]:
    """The sizes that are not the skeleton's own."""
    return {name: value for name, value in values_of(network).items() if value}


def _plain(value: Any) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(value)))
