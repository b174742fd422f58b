"""From a request to what a training needs: the recipe, the network's graph, the task, the place."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import nasir
from nasir import Genotype, Graph, NasirError
from nasir.errors import nearest, quoted
from nasir.space import home_of
from nasir.space.skeletons import find_skeleton
from runners.experiment.inherit import SIZES, searched_sizes
from runners.experiment.recipe import Recipe, with_values
from runners.experiment.recipe_file import read_recipe
from runners.experiment.size import DATA, NetworkSize, size_facts
from runners.experiment.training.request import Training
from runners.fields import values_of
from runners.folder.facts import FORMAT
from runners.inputs import read_named
from runners.machine.machine import surroundings
from runners.machine.place import Place, find_place
from runners.task.dealt import Dealt
from runners.task.task import Training as TrainingTask
from runners.task.trained import training_task


@dataclass(frozen=True, slots=True)
class Built:
    """A request with everything that it names made; nothing is lowered yet."""

    request: Training
    recipe: Recipe
    genotype: Genotype
    graph: Graph
    task: TrainingTask
    place: Place

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the training."""
        cost = nasir.cost(self.graph)
        data = self.request.data or self.recipe.data
        return {
            **surroundings(str(self.place.device)),
            "format": FORMAT,
            "kind": "evaluate",
            "genotype": {"name": self.genotype.name, "text": nasir.dump_genotype(self.genotype)},
            "space": {"name": self.genotype.space},
            "recipe": self.recipe.facts(),
            "data": {"text": data, "fingerprint": self.task.fingerprint},
            "seed": self.request.seed,
            "size": size_facts(self.graph),
            "auxiliary": bool(self.recipe.train.auxiliary),
            "cost": {"params": cost.params, "macs": cost.macs},
            "plan": {"epochs": self.recipe.train.epochs},
            "request": self.request.facts(),
            "task": self.task.name,
            "metric": self.task.metric,
            "splits": list(self.task.splits),
        }


def build(request: Training) -> Built:
    """Looks names up, reads the data, builds the graph. Raises what each of these raises, E753."""
    recipe = with_values(read_recipe(request.recipe), request.values)
    genotype = read_named(request.genotype, request.space)
    place = find_place(request.device, recipe.run.precision, request.deterministic)
    size = _size(request, recipe, genotype)
    dealt = Dealt(_data(request, recipe), request.seed, request.limit)
    task = training_task(find_skeleton(size["skeleton"]).name, recipe, dealt, place)
    _check_measured(task, recipe)
    graph = _graph(genotype, {**size, **task.sizes}, _given(request, task.sizes), recipe)
    return Built(request, recipe, genotype, task.prepare(graph), task, place)


def _size(request: Training, recipe: Recipe, genotype: Genotype) -> dict[str, Any]:
    """Skeleton, channels, layers and hidden units: what was asked for (an option, or `--set
    network.layers=8`), else that of the search whose weights are inherited, else the space's own on
    its skeleton, else the recipe's.
    """
    space = home_of(genotype) or nasir.load_space(genotype.space)
    said = values_of(recipe.network)
    found: dict[str, Any] = {"skeleton": request.skeleton or said.pop("skeleton") or space.skeleton}
    found |= {name: said[name] for name in SIZES if said[name]}
    if found["skeleton"] == space.skeleton:
        found |= {name: value for name, value in space.size if name in SIZES}
    if request.inherit:
        found |= searched_sizes(request.inherit)
        found["skeleton"] = request.skeleton or space.skeleton
    asked = {
        name: said[name] for name in SIZES if said[name] and f"network.{name}" in request.values
    }
    return {**found, **asked, **request.sizes}


def _given(request: Training, data: Mapping[str, int]) -> dict[str, int]:
    """The sizes that were asked for. Raises E753 where the data has others, E505 where none is."""
    known = [field.name for field in fields(NetworkSize) if "int" in str(field.type)]
    for name, value in request.sizes.items():
        if name not in known:
            hint = nearest(name, known)
            raise NasirError("E505", f"a network has no size {quoted(name)}", hint=hint)
        if name in DATA and data.get(name, value) != value:
            message = f"the data has {data[name]} {name}, not {value}"
            raise NasirError("E753", message, hint=f"leave --{name.replace('_', '-')} out")
    return dict(request.sizes)


def _graph(
    genotype: Genotype, sizes: Mapping[str, Any], asked: Mapping[str, int], recipe: Recipe
) -> Graph:
    """The network; sizes that its skeleton lacks count where they were asked for (E505)."""
    skeleton = find_skeleton(sizes["skeleton"])
    known = {name: value for name, value in sizes.items() if name in skeleton.sizes}
    auxiliary = bool(recipe.train.auxiliary) or skeleton.name == "rnn"
    size = NetworkSize(skeleton.name, auxiliary=auxiliary, **{**known, **asked})
    graph = size.build(genotype)
    if not recipe.train.drop_path:
        return graph
    try:
        return nasir.drop_path(graph)
    except NasirError as error:
        message = f"the recipe drops paths, and {error.message}"
        raise NasirError("E753", message, hint="--set train.drop_path=0") from None


def _data(request: Training, recipe: Recipe) -> str:
    data = request.data or recipe.data
    if not data:
        message = f"the recipe '{recipe.name}' does not say where data lies"
        hint = "--data cifar10:PATH, imagefolder:PATH, text:PATH, …"
        raise NasirError("E753", message, hint=hint)
    return data


def _check_measured(task: TrainingTask, recipe: Recipe) -> None:
    """Raises E753 where there is nothing to measure on, or to choose by."""
    if not task.splits:
        message = "the data has no test pictures, and none are held out"
        raise NasirError("E753", message, hint="--set train.validation=0.1")
    for wanted, value in (
        ("train.keep", recipe.train.keep == "best"),
        ("optimizer.average_after", recipe.optimizer.average_after > 0),
    ):
        if value and "valid" not in task.splits:
            message = f"{wanted} asks for validation data, and none is held out"
            raise NasirError("E753", message, hint="--set train.validation=0.1")
