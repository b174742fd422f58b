"""The part of a compilation that needs torch: the network, its files, its speed."""

import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import lowering
import nasir
from nasir.draw import draw
from nasir.errors import NasirError
from nasir.files import write_atomically
from nasir.quoting import json_text
from runners.experiment.recipe import Recipe, Train
from runners.experiment.size import size_facts
from runners.forms import exports, targets
from runners.forms.progress import Clock
from runners.forms.quantise import quantise
from runners.forms.report import Accuracy, Difference, Latency, Options, Report
from runners.forms.ship import Shipped, ship
from runners.machine.machine import find_machine
from runners.machine.place import Place, find_device
from runners.task import measure
from runners.task.accuracy import Run, answers, compared, require
from runners.task.dealt import Dealt
from runners.task.task import Training
from runners.task.trained import training_task


@dataclass(frozen=True, slots=True)
class Job:
    """A genotype with its graph, and what to do with it."""

    genotype: nasir.Genotype
    graph: nasir.Graph
    passes: tuple[nasir.Record, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class Speed:
    """What running the network showed."""

    output: tuple[int, ...]
    latencies: tuple[Latency, ...]
    differences: tuple[Difference, ...]
    modules: Mapping[str, lowering.Network]


def work(job: Job, clock: Clock) -> Report:
    """Lower, write the files, measure, and report."""
    find_device(job.options.device)
    module = _lower(job, clock)
    task = _task(job, clock)
    files, differences = _export(job, module, clock)
    speed = _measure(job, module, clock)
    options = job.options
    accuracies: tuple[Accuracy, ...] = ()
    if task is not None:
        if options.outputs.int8 is not None:
            files = (*files, _quantise(job, module, task, clock))
        accuracies = _accuracies(job, speed.modules, task, clock)
    picked = _targets(job, module, clock) if options.target else Picked()
    report = Report(
        nasir=nasir.__version__,
        genotype=nasir.dump_genotype(job.genotype),
        name=job.genotype.name,
        space=job.genotype.space,
        size=size_facts(job.graph),
        auxiliary=options.size.auxiliary,
        seed=options.seed,
        weights=str(options.weights or ""),
        batch=options.batch,
        cost=nasir.cost(job.graph),
        passes=job.passes,
        stages=tuple(clock.stages),
        output=speed.output,
        latencies=speed.latencies,
        differences=(*speed.differences, *differences),
        machine=find_machine(options.device),
        accuracies=accuracies,
        targets=picked.latencies,
        target=picked.name,
        files=(*files, *picked.files),
    )
    return _written(report, options.outputs.report)


def _lower(job: Job, clock: Clock) -> lowering.Network:
    """The network in torch, on the CPU, in evaluation mode. Raises E502, E503."""
    with clock.stage("lower to torch"):
        try:
            module = lowering.to_torch(job.graph, seed=job.options.seed).eval()
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            params = nasir.cost(job.graph).params
            raise NasirError(
                "E502",
                f"the memory is not enough for {params:,} parameters",
                hint="give a smaller size",
            ) from None
    if job.options.weights is not None:
        with clock.stage("load the weights"):
            lowering.load_weights(module, job.options.weights)
    return module


def _export(
    job: Job, module: lowering.Network, clock: Clock
) -> tuple[tuple[Path, ...], tuple[Difference, ...]]:
    """The files written, and how far each is from the network.

    A file gets its place once it was compared: one that differs is left nowhere.
    """
    outputs, graph = job.options.outputs, job.graph
    files: list[Path] = []
    found: list[Difference] = []
    if outputs.draw is not None:
        with clock.stage("draw the cells"):
            files += draw(job.genotype, outputs.draw)
    to_onnx = partial(lowering.to_onnx, inline=outputs.inline)
    rows = (
        ("ONNX", "ONNX Runtime", outputs.onnx, to_onnx, exports.compare_onnx),
        ("Python", "the Python file", outputs.python, lowering.to_python, exports.compare_python),
        (
            "the exported program",
            "the exported program",
            outputs.export,
            exports.export_program,
            exports.compare_program,
        ),
    )
    for name, run, path, write, compare in rows:
        if path is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            tried = Path(folder) / path.name
            with clock.stage(f"write {name}"):
                made = write(graph, module, tried)
            with clock.stage(f"compare {run}"):
                found.append(compare(graph, module, tried))
            for each in made if isinstance(made, tuple) else (made,):
                files.append(write_atomically(path.parent / each.name, each.read_bytes()))
    return tuple(files), tuple(found)


@dataclass(frozen=True, slots=True)
class Picked:
    """The targets' times, the one that was picked, and the files of it."""

    latencies: tuple[Latency, ...] = ()
    name: str = ""
    files: tuple[Path, ...] = ()


def _targets(job: Job, module: lowering.Network, clock: Clock) -> Picked:
    """Measures the targets that were asked for, each checked, picks one, and ships it."""
    options = job.options
    assert options.target is not None
    found = targets.find_targets(options.target, options.device, options.compile)
    with tempfile.TemporaryDirectory() as folder:
        source = targets.Source(
            job.graph, module.cpu(), Path(folder), options.batch, options.device
        )
        with clock.stage("make the targets"):
            runs = {target.name: target.make(source) for target in found}
        inputs = tuple(x.to(options.device) for x in measure.example(job.graph, options.batch))
        with clock.stage("measure the targets"):
            logits = {name: measure.evaluate(run, inputs) for name, run in runs.items()}
            for name, value in logits.items():
                if not measure.draws_noise(module):
                    exports.require(measure.find_difference(name, logits[found[0].name], value))
            latencies = measure.measure(runs, inputs)
        seconds = {each.name: each.seconds for each in latencies}
        chosen = targets.fastest(seconds, found) if options.target == targets.AUTO else found[-1]
        files: tuple[Path, ...] = ()
        if options.ship is not None:
            facts = {
                "target": chosen.name,
                "network": job.genotype.name,
                "batch": options.batch,
                "seconds": seconds,
                "machine": asdict(find_machine(options.device)),
            }
            with clock.stage("ship"):
                files = ship(source, Shipped(chosen, facts), options.ship)
    return Picked(latencies, chosen.name, files)


def _task(job: Job, clock: Clock) -> Training | None:
    """What the network and its files are asked, where there is data; read before all work."""
    options = job.options
    if options.data is None or not options.check:
        return None
    with clock.stage("read the data"):
        recipe = options.recipe or Recipe("", train=Train(batch=100))
        skeleton = job.graph.about["skeleton"]
        # Of a text the vocabulary is that of all tokens, so it is read as it was.
        limit = options.limit if skeleton == "rnn" else options.check
        task = training_task(skeleton, recipe, Dealt(options.data, 0, limit), Place())
        task.prepare(job.graph)
    if not task.splits:
        message = "the data has no test pictures to compare answers on"
        raise NasirError("E753", message, hint="--check 0, or data with test pictures")
    return task


def _quantise(job: Job, module: lowering.Network, task: Training, clock: Clock) -> Path:
    """The file of 8-bit numbers."""
    path, kind = job.options.outputs.int8, job.options.quantise
    assert path is not None
    with clock.stage("quantise"):
        return quantise(job.graph, module, path, "static" if kind == "static" else "dynamic", task)


def _accuracies(
    job: Job, modules: Mapping[str, lowering.Network], task: Training, clock: Clock
) -> tuple[Accuracy, ...]:
    """The network's answers and its files', all on the same held-out data. Raises E756."""
    outputs, split = job.options.outputs, task.splits[-1]
    runs: dict[str, Run] = dict(modules)
    if outputs.onnx is not None and find_spec("onnxruntime"):
        runs["ONNX Runtime"] = lowering.OnnxNetwork(outputs.onnx)
    if outputs.python is not None:
        runs["Python file"] = lowering.load_python(outputs.python)
    with clock.stage("compare accuracies"):
        most = job.options.check
        first = answers(task, split, "torch", runs.pop("eager"), most)
        found = [first.accuracy]
        for name, run in runs.items():
            other = compared(first, answers(task, split, name, run, most))
            found.append(other if measure.draws_noise(modules["eager"]) else require(first, other))
        if outputs.int8 is not None:
            name = f"int8, {job.options.quantise}"
            run = lowering.OnnxNetwork(outputs.int8)
            found.append(compared(first, answers(task, split, name, run, most)))
    return tuple(found)


def _measure(job: Job, module: lowering.Network, clock: Clock) -> Speed:
    """Run the network: as it is, folded, and compiled from the folded one."""
    device = job.options.device
    with clock.stage("fold batch norms"):
        modules: dict[str, lowering.Network] = {
            "eager": module.to(device),
            "folded": lowering.to_inference(job.graph, module).to(device),
        }
    inputs = tuple(value.to(device) for value in measure.example(job.graph, job.options.batch))
    reason = "not asked for"
    if job.options.compile:
        with clock.stage("torch.compile"):
            compiled, reason = _compile(modules["folded"], inputs)
        if not reason:
            modules["compiled"] = compiled
    with clock.stage("measure"):
        logits = {name: measure.evaluate(each, inputs) for name, each in modules.items()}
        latencies = measure.measure(modules, inputs)
    found: list[Difference] = []
    for name in ("folded", "compiled"):
        if name not in modules:
            found.append(Difference(name, None, None, reason))
        elif measure.draws_noise(module):
            found.append(Difference(name, None, None, measure.NOISE))
        else:
            found.append(measure.find_difference(name, logits["eager"], logits[name]))
    return Speed(tuple(logits["eager"].shape), latencies, tuple(found), modules)


def _compile(module: lowering.Network, inputs: measure.Inputs) -> tuple[lowering.Network, str]:
    """The compiled network after its first call, and why it is not compiled, if so."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = lowering.compile(module)
        measure.evaluate(compiled, inputs)
    reasons = [str(w.message) for w in caught if issubclass(w.category, lowering.CompileWarning)]
    return compiled, reasons[0] if reasons else ""


def _written(report: Report, path: Path | None) -> Report:
    """The report, which is written last and names itself among its files."""
    if path is None:
        return report
    report = replace(report, files=(*report.files, path))
    text = json_text(report.facts(), indent=2) + "\n"
    write_atomically(path, text.encode())
    return report
