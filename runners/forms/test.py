"""Measures a trained network, or its ONNX file, on held-out data."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

import lowering
import nasir
from nasir import Genotype, Graph, NasirError, Where
from runners.experiment.recipe import Recipe, Train, read_recipe
from runners.experiment.sizes import DATA, NetworkSize, size_facts
from runners.experiment.trained import Trained, find_trained
from runners.forms.compile import NetworkTest
from runners.forms.table import FORMS, FormSource
from runners.inputs import is_run, read_named
from runners.machine.device import Place, find_place, to_list
from runners.task.score import Network, answers, example, measure
from runners.task.task import training_task

LEAST, SLOWEST = 60.0, 1e8
"""Minimum time limit of an ONNX file per batch in seconds, and multiply-adds per further second."""


def run_test(asked: NetworkTest) -> dict[str, Any]:
    """Returns measures by split, the last split's confusion matrix, cost and latency.

    Raises an error, also of data and genotypes.
    """
    genotype = read_named(asked.genotype, asked.space)
    found = find_trained(asked.genotype, asked.size, asked.weights)
    graph = found.size.build(genotype)
    if found.weights is None and not asked.genotype.endswith(".onnx"):
        raise _no_weights(asked.genotype)
    place = find_place(asked.device, asked.precision)
    recipe = found.recipe or Recipe(train=Train(batch=asked.batch))
    if asked.recipe is not None:
        recipe = read_recipe(asked.recipe)
    data = asked.data or found.data
    if data is None:
        raise NasirError("E505", "no data is named", hint="--data cifar10:PATH, text:PATH, …")
    limit = asked.limit or found.limit
    task = training_task(graph.about["skeleton"], recipe, data, place, limit=limit)
    graph = _fitting(graph, found.size, genotype, task.sizes)
    task.prepare(graph)
    if not task.splits:
        raise NasirError("E505", "the data has no test images", hint="--recipe with validation")
    run = _run(asked, found, graph, place)
    with place.autocast():
        by_split = {split: answers(task, split, run) for split in task.splits}
    classes = task.classes
    inputs = tuple(
        x.to(place.device, place.dtype if x.is_floating_point() else None)
        for x in example(graph, 1)
    )
    cost, last = nasir.cost(graph), by_split[task.splits[-1]]
    return {
        "genotype": genotype.name,
        "size": size_facts(graph),
        "params": cost.params,
        "macs": cost.macs,
        **{split: dict(each.accuracy.measures) for split, each in by_split.items()},
        "counts": {split: each.accuracy.count for split, each in by_split.items()},
        "classes": list(classes),
        "confusion": to_list(last.confusion(len(classes))) if classes else [],
        "latency": {"one": measure({"one": run}, inputs)["one"].seconds},
    }


def _fitting(graph: Graph, size: NetworkSize, genotype: Genotype, data: Mapping[str, int]) -> Graph:
    """Returns the network with the data's sizes where the caller leaves them open."""
    for name in DATA:
        known = getattr(size, name)
        if known is not None and name in data and known != data[name]:
            message = f"the network has {known} {name}, the data has {data[name]}"
            raise NasirError("E505", message)
    about = graph.about
    open_ = {
        name: value
        for name, value in data.items()
        if name in about and int(about[name]) != value and getattr(size, name) is None
    }
    return size.having(**open_).build(genotype) if open_ else graph


def _run(asked: NetworkTest, found: Trained, graph: Graph, place: Place) -> Network:
    """Returns the network with its weights, or the ONNX file's."""
    module = lowering.to_torch(graph).eval()
    if found.weights is not None:
        lowering.load_weights(module, found.weights)
        return module.to(place.device, place.dtype)
    seconds = LEAST + asked.batch * nasir.cost(graph).macs / SLOWEST
    return _file(asked, FormSource(graph, module, asked.batch, seconds=seconds))


def _no_weights(argument: str) -> NasirError:
    message = "no weights are named: its predictions would be random"
    hint = "--weights FILE.safetensors, a run directory of `nasir evaluate`, or an ONNX file"
    if is_run(argument):
        message = "the run is a search, which trains no network of its genotype"
        hint = f"nasir evaluate {shlex.quote(argument)} trains one"
    return NasirError("E505", message, Where("" if "\n" in argument else argument), hint)


def _file(asked: NetworkTest, source: FormSource) -> Network:
    """Loads an ONNX file; checks its outputs and limits its time."""
    network, graph = FORMS["onnxruntime"].load(source, Path(asked.genotype)), source.graph
    shapes: list[tuple[int, ...]] = [graph.types[name].shape for name in graph.outputs]

    def answer(*inputs: Tensor) -> Any:
        found = cast("Tensor | tuple[Tensor, ...]", network(*inputs))
        values = [found] if isinstance(found, Tensor) else list(found)
        first = inputs[0].shape
        leads = ((first[0],),) if len(first) > 2 else (tuple(first), (first[1],))
        right = len(values) == len(shapes) and all(
            value.is_floating_point() and tuple(value.shape) in [(*lead, *shape) for lead in leads]
            for value, shape in zip(values, shapes, strict=True)
        )
        if not right:
            given = ", ".join(f"{value.dtype} {list(value.shape)}" for value in values[:8])
            message = f"the file's outputs are {given}, its network's {shapes} for each input"
            raise NasirError("E504", message, Where(asked.genotype))
        return found

    return answer
