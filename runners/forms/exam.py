"""Measuring a trained network, or its ONNX file, on held-out data."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, cast

from torch import Tensor

import lowering
import nasir
from nasir import Genotype, Graph, NasirError, Where
from runners.experiment.fields import BatchSize, Limit, Ranged
from runners.experiment.recipe import Recipe, Train, read_recipe
from runners.experiment.size import DATA, NetworkSize, size_facts
from runners.experiment.trained import Trained, find_trained
from runners.forms.table import FORMS, FormSource
from runners.inputs import is_run, read_named
from runners.machine.device import Place, find_place, listed
from runners.task import measure
from runners.task.score import Answers, Network, answers
from runners.task.task import TaskOptions, training_task

LEAST, SLOWEST = 60.0, 1e8
"""Seconds that an ONNX file may take for a batch, and multiply-adds that it does in one beyond."""


@dataclass(frozen=True, slots=True)
class Exam(Ranged):
    """A network to measure. What is None is the run's, the weights file's, or the data's own.

    `genotype` is what `nasir.load_genotype` takes, a training's run directory, or an ONNX file,
    which runs in ONNX Runtime where no `weights` are named. `recipe` says how data is normalised.
    """

    code: ClassVar[str] = "E753"

    genotype: str
    weights: Path | None = None
    data: str | None = None
    recipe: str | None = None
    size: NetworkSize = field(default_factory=NetworkSize)
    space: str | None = None
    batch: BatchSize = 100
    limit: Limit | None = None
    device: str = "cpu"
    precision: str = "float32"


@dataclass(frozen=True, slots=True)
class TestResult:
    """What it reached by split, how classes were confused on the last one, cost and latency."""

    genotype: Genotype
    size: Mapping[str, str | int]
    params: int
    macs: int
    measures: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    classes: tuple[str, ...]
    confusion: list[list[int]]
    latency: float

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "genotype": self.genotype.name,
            "size": dict(self.size),
            "params": self.params,
            "macs": self.macs,
            **{split: dict(found) for split, found in self.measures.items()},
            "counts": dict(self.counts),
            "classes": list(self.classes),
            "confusion": self.confusion,
            "latency": {"one": self.latency},
        }


def examine(request: Exam) -> TestResult:
    """Measures a network. Raises E753, E755, E503, and what data and genotypes raise."""
    genotype = read_named(request.genotype, request.space)
    found = find_trained(request.genotype, request.size, request.weights)
    if found.weights is None and not request.genotype.endswith(".onnx"):
        raise _no_weights(request.genotype)
    place = find_place(request.device, request.precision)
    recipe = _recipe(request, found)
    data = request.data or found.data
    if data is None:
        raise NasirError("E753", "no data is named", hint="--data cifar10:PATH, text:PATH, …")
    graph = found.size.build(genotype)
    task = training_task(
        graph.about["skeleton"],
        recipe,
        TaskOptions(data, limit=request.limit or found.limit),
        place,
    )
    graph = _fitting(graph, found.size, genotype, task.sizes)
    task.prepare(graph)
    if not task.splits:
        raise NasirError("E753", "the data has no test images", hint="--recipe with validation")
    run = _run(request, found, graph, place)
    with place.autocast():
        all_answers = {split: answers(task, split, run) for split in task.splits}
    return _tested(genotype, graph, run, all_answers, (task.classes, place))


def _recipe(request: Exam, found: Trained) -> Recipe:
    if request.recipe is not None:
        return read_recipe(request.recipe)
    return found.recipe or Recipe("", train=Train(batch=request.batch))


def _fitting(graph: Graph, size: NetworkSize, genotype: Genotype, data: Mapping[str, int]) -> Graph:
    """The network of the data's sizes, where the caller leaves them open. Raises E753."""
    about = graph.about
    open_ = {
        name: value
        for name, value in data.items()
        if name in about and int(about[name]) != value and getattr(size, name) is None
    }
    for name in DATA:
        known = getattr(size, name)
        if known is not None and name in data and known != data[name]:
            message = f"the network has {known} {name}, and the data {data[name]}"
            raise NasirError("E753", message)
    if not open_:
        return graph
    from dataclasses import replace

    return replace(size, **open_).build(genotype)


def _run(request: Exam, found: Trained, graph: Graph, place: Place) -> Network:
    """The network with its weights, or the ONNX file itself."""
    module = lowering.to_torch(graph).eval()
    if found.weights is not None:
        lowering.load_weights(module, found.weights)
        return module.to(place.device, place.dtype)
    seconds = LEAST + request.batch * nasir.cost(graph).macs / SLOWEST
    return _file(request, FormSource(graph, module, request.batch, seconds=seconds))


def _no_weights(argument: str) -> NasirError:
    message = "no weights are named: the network would answer at random"
    hint = "--weights FILE.safetensors, a run directory of `nasir evaluate`, or an ONNX file"
    if is_run(argument):
        message = "the run is a search, which trains no network of its genotype"
        hint = f"nasir evaluate {shlex.quote(argument)} trains one"
    return NasirError("E753", message, Where("" if "\n" in argument else argument), hint)


def _file(request: Exam, source: FormSource) -> Network:
    """An ONNX file, held to the outputs of its genotype's network and to a bound on its time."""
    network, graph = FORMS["onnxruntime"].load(source, Path(request.genotype)), source.graph
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
            raise NasirError("E504", message, Where(request.genotype))
        return found

    return answer


def _tested(
    genotype: Genotype,
    graph: Graph,
    run: Network,
    found: Mapping[str, Answers],
    about: tuple[tuple[str, ...], Place],
) -> TestResult:
    classes, place = about
    inputs = tuple(
        x.to(place.device, place.dtype if x.is_floating_point() else None)
        for x in measure.example(graph, 1)
    )
    cost = nasir.cost(graph)
    last = list(found.values())[-1]
    return TestResult(
        genotype,
        size_facts(graph),
        cost.params,
        cost.macs,
        {split: each.accuracy.measures for split, each in found.items()},
        {split: each.accuracy.count for split, each in found.items()},
        classes,
        listed(last.confusion(len(classes))) if classes else [],
        measure.measure({"one": run}, inputs)["one"].seconds,
    )
