"""Makes the forms of a network: writes, loads, compares, measures and reports them."""

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import Tensor

import lowering
import nasir
from lowering.agreement import arrays, compared
from nasir.errors import NasirError, json_text
from nasir.files import write_atomically
from nasir.pictures import cell_pictures
from runners.experiment.recipe import Recipe, Train
from runners.experiment.sizes import size_facts
from runners.forms.compile import AUTO, Options
from runners.forms.report import Clock, FormResult, Report, html_page
from runners.forms.table import FORMS, Form, FormSource, Run, find_forms, ship
from runners.machine.device import Place, find_device
from runners.machine.machine import find_machine
from runners.task import score
from runners.task.score import draws_noise, evaluate, example, measure
from runners.task.task import Task, training_task

IMAGES = 3
"""Batch size of comparisons; not the one used for tracing."""

NOISE = "the network samples noise at every call"
FROZEN = "with the same noise on both sides"


def make_forms(
    genotype: nasir.Genotype,
    graph: nasir.Graph,
    passes: tuple[nasir.PassRecord, ...],
    options: Options,
    clock: Clock,
) -> Report:
    """Lowers, writes, compares and measures every form; returns the report."""
    find_device(options.device)
    module = _lower(graph, options, clock)
    task = _task(graph, options, clock)
    source = FormSource(graph, module, options.batch, options.device, options.onnx_options, task)
    drawn: tuple[Path, ...] = ()
    if options.draw is not None:
        with clock.stage("draw the cells"):
            pictures = cell_pictures(genotype).items()
            drawn = tuple(each.save(options.draw / f"{stem}.svg") for stem, each in pictures)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results, runs = _make_each(source, options, folder, clock)
        results = _with_latencies(source, results, runs, clock)
        report = Report(
            nasir=nasir.__version__,
            genotype=nasir.dump_genotype(genotype),
            name=genotype.name,
            space=genotype.space,
            size=size_facts(graph),
            auxiliary=options.size.auxiliary,
            seed=options.seed,
            weights=str(options.weights or ""),
            batch=options.batch,
            cost=nasir.cost(graph),
            passes=passes,
            stages=(),
            output=tuple(evaluate(module, example(graph, options.batch))[0].shape),
            forms=tuple(results.values()),
            machine=find_machine(options.device),
            target=_selected(results, options) if options.target else "",
            files=(*drawn, *(path for each in results.values() for path in each.files)),
        )
        if options.ship is not None:
            with clock.stage("ship"):
                shipped = _ship_files(source, report, folder, options.ship)
            report = replace(report, files=(*report.files, *shipped))
    return _write_report(replace(report, stages=tuple(clock.stages)), options.report)


def _lower(graph: nasir.Graph, options: Options, clock: Clock) -> lowering.Network:
    """Lowers the network to torch, on the CPU, in evaluation mode."""
    with clock.stage("lower to torch"):
        try:
            module = lowering.to_torch(graph, seed=options.seed).eval()
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error) and not isinstance(error, MemoryError):
                raise
            params = nasir.cost(graph).params
            raise NasirError(
                "E502",
                f"the memory is not enough for {params:,} parameters",
                hint="use a smaller size",
            ) from None
    if options.weights is not None:
        with clock.stage("load the weights"):
            lowering.load_weights(module, options.weights, head=not options.without_head)
    return module


def _task(graph: nasir.Graph, options: Options, clock: Clock) -> Task | None:
    """Reads the held-out data for the forms, if any, before the other work."""
    if options.data is None or not options.check:
        return None
    with clock.stage("read the data"):
        recipe = options.recipe or Recipe(train=Train(batch=100))
        skeleton = graph.about["skeleton"]
        # The vocabulary of a text depends on all of its tokens, so all are read.
        limit = options.limit if skeleton == "rnn" else options.check
        task = training_task(skeleton, recipe, options.data, Place(), limit=limit)
        task.prepare(graph)
    if not task.splits:
        message = "the data has no test images to compare answers on"
        raise NasirError("E505", message, hint="--check 0, or data with test images")
    return task


def _wanted_forms(options: Options) -> tuple[Form, ...]:
    """Returns the forms to make, in the table's order."""
    names = {"eager", "folded", *options.files()}
    if options.compile:
        names.add("compiled")
    if options.target is not None:
        found = find_forms(options.target, options.device, options.compile)
        names |= {form.name for form in found}
    return tuple(form for form in FORMS.values() if form.name in names)


def _make_each(
    source: FormSource, options: Options, folder: Path, clock: Clock
) -> tuple[dict[str, FormResult], dict[str, Run]]:
    """Writes, loads and compares each form; a file that differs is not kept.

    Raises an error if outputs differ by more than rounding, or predictions differ.
    """
    results: dict[str, FormResult] = {}
    runs: dict[str, Run] = {}
    first: score.Answers | None = None
    for form in _wanted_forms(options):
        place = options.files().get(form.name)
        result, run = _make_form(form, source, folder, place, clock)
        if run is not None:
            runs[form.name] = run
            if source.task and not (form.fixed and source.recurrent):
                with clock.stage(f"test {form.name}"):
                    split, here = source.task.splits[-1], _on_cpu(form, source, run)
                    answers = score.answers(source.task, split, here, options.check)
                first = first or answers
                found = score.compared(first, answers)
                if _is_exact(form, options) and not draws_noise(source.module):
                    score.require(form.name, first, found)
                result = replace(result, accuracy=found if answers is not first else first.accuracy)
        if place is not None:
            files = [write_atomically(place.parent / f.name, f.read_bytes()) for f in result.files]
            result = replace(result, files=tuple(files))
        results[form.name] = result
    return results, runs


def _make_form(
    form: Form, source: FormSource, folder: Path, place: Path | None, clock: Clock
) -> tuple[FormResult, Run | None]:
    """Writes a form below `folder`, under the name of `place`, loads and compares it.

    The result lists the files only if `place` is set.
    """
    result = FormResult(form.name, note=form.missing(source.device))
    path = folder / form.name / (place.name if place else f"network{form.suffix}")
    if place is not None or not (form.memory or result.note):
        with clock.stage(f"write {form.name}"):
            path.parent.mkdir()
            files = tuple(form.write(source, path))
        result = replace(result, files=files if place else ())
    if result.note:
        return result, None
    with clock.stage(f"{'make' if form.memory else 'compare'} {form.name}"):
        try:
            run = form.load(source, path)
        except lowering.CompileWarning as reason:
            return replace(result, note=str(reason)), None
        difference, note = _difference(form, source, run, path)
    return replace(result, difference=difference, note=note), run


def _difference(
    form: Form, source: FormSource, run: Run, path: Path
) -> tuple[lowering.Comparison | None, str]:
    """Returns the difference from the network in eager torch, and a note on it."""
    if form.compare is not None:
        found = form.compare(source, path)
    elif run is source.module:
        return None, ""
    elif draws_noise(source.module):
        return None, NOISE
    else:
        inputs = example(source.graph, source.batch if form.fixed == "batch" else IMAGES)
        eager = FORMS["eager"].load(source, path) if form.memory else source.module
        first, other = (arrays(evaluate(_on_cpu(form, source, x), inputs)) for x in (eager, run))
        found = compared(first, other, len(inputs[0]))
    found = replace(found, name=f"the form '{form.name}'")
    return found.require() if form.exact else found, FROZEN if found.frozen else ""


def _on_cpu(form: Form, source: FormSource, run: Run) -> Run:
    """Returns the form as a function of CPU tensors."""
    if source.device == "cpu" or not form.memory:
        return run

    def call(*inputs: Any) -> Any:
        found: Any = run(*(x.to(source.device) for x in inputs))
        return found.cpu() if isinstance(found, Tensor) else tuple(x.cpu() for x in found)

    return call


def _with_latencies(
    source: FormSource, results: dict[str, FormResult], runs: dict[str, Run], clock: Clock
) -> dict[str, FormResult]:
    """Adds the latencies of forms that run on the device."""
    inputs = tuple(x.to(source.device) for x in example(source.graph, source.batch))
    here = {n: run for n, run in runs.items() if FORMS[n].memory or source.device == "cpu"}
    with clock.stage("measure"):
        found = measure(here, inputs)
    return {name: replace(each, latency=found.get(name)) for name, each in results.items()}


def _selected(results: dict[str, FormResult], options: Options) -> str:
    """Returns the requested form, or the fastest exact one."""
    target = str(options.target)
    seconds = {n: each.latency.seconds for n, each in results.items() if each.latency}
    if target == AUTO:
        exact = (name for name in seconds if _is_exact(FORMS[name], options))
        return min(exact, key=lambda name: seconds[name])
    if target not in seconds:
        raise NasirError(
            "E502", f"the target '{target}' is not available here: {results[target].note}"
        )
    return target


def _is_exact(form: Form, options: Options) -> bool:
    """Whether the form differs from the network by float32's rounding only."""
    return form.exact and not (options.half and form.name == "onnxruntime")


def _ship_files(source: FormSource, report: Report, folder: Path, out: Path) -> tuple[Path, ...]:
    """Ships the selected form with its program; `folder` has the files written before."""
    form = FORMS[report.target]
    made = folder / form.name
    if not made.exists():
        made.mkdir()
        form.write(source, made / f"network{form.suffix}")
    facts = {
        "target": form.name,
        "network": report.name,
        "batch": report.batch,
        "seconds": {each.form: each.latency.seconds for each in report.forms if each.latency},
        "machine": asdict(report.machine),
    }
    return ship(form, source, sorted(made.iterdir()), f"{json_text(facts, indent=2)}\n", out)


def _write_report(report: Report, path: Path | None) -> Report:
    """Writes the report, which also lists its own file."""
    if path is None:
        return report
    report = replace(report, files=(*report.files, path))
    if path.suffix == ".html":
        text = html_page((report,), path.parent)
    else:
        text = json_text(report.facts(), indent=2) + "\n"
    write_atomically(path, text.encode())
    return report
