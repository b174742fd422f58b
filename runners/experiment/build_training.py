"""From an experiment to what a training needs: recipe, graph, task, place."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import nasir
from nasir import Genotype, Graph, NasirError
from nasir.space import home_of
from nasir.space.skeletons import find_skeleton
from runners.experiment.experiment import Experiment
from runners.experiment.inherit import SIZES, searched_sizes
from runners.experiment.recipe import Recipe, with_values
from runners.experiment.recipe_file import read_recipe
from runners.experiment.size import NetworkSize, asked_sizes, size_facts
from runners.fields import values_of
from runners.folder.facts import FORMAT
from runners.inputs import read_named
from runners.machine.device import Place, find_place
from runners.machine.machine import surroundings
from runners.task.dealt import Dealt
from runners.task.task import TrainingTask
from runners.task.trained import training_task


@dataclass(frozen=True, slots=True)
class BuiltTraining:
    """An evaluation with everything that it names made; nothing is lowered yet."""

    experiment: Experiment
    recipe: Recipe
    genotype: Genotype
    graph: Graph
    task: TrainingTask
    place: Place

    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the training."""
        cost = nasir.cost(self.graph)
        data = self.experiment.data or self.recipe.data
        return {
            **surroundings(str(self.place.device)),
            "format": FORMAT,
            "kind": "evaluate",
            "genotype": {"name": self.genotype.name, "text": nasir.dump_genotype(self.genotype)},
            "space": {"name": self.genotype.space},
            "recipe": self.recipe.facts(),
            "data": {"text": data, "fingerprint": self.task.fingerprint},
            "seed": self.experiment.seed,
            "size": size_facts(self.graph),
            "auxiliary": bool(self.recipe.train.auxiliary),
            "cost": {"params": cost.params, "macs": cost.macs},
            "plan": {"epochs": self.recipe.train.epochs},
            "experiment": self.experiment.facts(),
            "task": self.task.name,
            "metric": self.task.metric,
            "splits": list(self.task.splits),
        }


def build(experiment: Experiment) -> BuiltTraining:
    """Looks names up, reads the data, builds the graph. Raises what each of these raises, E753."""
    run = experiment.run
    if experiment.search is not None or run.memory != "none":
        name = "run.memory" if experiment.search is None else "search"
        hint = "nasir search runs searches"
        raise NasirError("E753", f"an evaluation has no `{name}`", hint=hint)
    recipe = with_values(read_recipe(experiment.recipe or "cifar10"), experiment.values)
    if run.precision is not None:
        recipe = replace(recipe, run=replace(recipe.run, precision=run.precision))
    genotype = read_named(experiment.of, experiment.space)
    place = find_place(run.device, recipe.run.precision, run.deterministic)
    size = _size(experiment, recipe, genotype)
    dealt = Dealt(_data(experiment, recipe), experiment.seed, run.limit)
    task = training_task(find_skeleton(size["skeleton"]).name, recipe, dealt, place)
    _check_measured(task, recipe)
    asked = asked_sizes(recipe.network, experiment.values, task.sizes, "E753")
    graph = _graph(genotype, {**size, **task.sizes}, asked, recipe)
    return BuiltTraining(experiment, recipe, genotype, task.prepare(graph), task, place)


def _size(experiment: Experiment, recipe: Recipe, genotype: Genotype) -> dict[str, Any]:
    """Skeleton, channels, layers and hidden units: those of the experiment's values, else those of
    the search whose weights are inherited, else the space's own on its skeleton, else the recipe's.
    """
    space = home_of(genotype) or nasir.load_space(genotype.space)
    said, values = values_of(recipe.network), experiment.values
    found: dict[str, Any] = {"skeleton": said["skeleton"] or space.skeleton}
    found |= {name: said[name] for name in SIZES if said[name]}
    if found["skeleton"] == space.skeleton:
        found |= {name: value for name, value in space.size if name in SIZES}
    if experiment.inherit:
        found |= searched_sizes(experiment.inherit)
        found["skeleton"] = values.get("network.skeleton") or space.skeleton
    return {**found, **{name: said[name] for name in SIZES if f"network.{name}" in values}}


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


def _data(experiment: Experiment, recipe: Recipe) -> str:
    data = experiment.data or recipe.data
    if not data:
        message = f"the recipe '{recipe.name}' does not say where data lies"
        hint = "--data cifar10:PATH, imagefolder:PATH, text:PATH, …"
        raise NasirError("E753", message, hint=hint)
    return data


def _check_measured(task: TrainingTask, recipe: Recipe) -> None:
    """Raises E753 where there is nothing to measure on, or to choose by."""
    if not task.splits:
        message = "the data has no test images, and none are held out"
        raise NasirError("E753", message, hint="--set train.validation=0.1")
    for wanted, value in (
        ("train.keep", recipe.train.keep == "best"),
        ("optimizer.average_after", recipe.optimizer.average_after > 0),
    ):
        if value and "valid" not in task.splits:
            message = f"{wanted} asks for validation data, and none is held out"
            raise NasirError("E753", message, hint="--set train.validation=0.1")
