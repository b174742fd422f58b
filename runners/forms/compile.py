"""Compiling a genotype end to end: a network, the files made of it, and how fast it is.

Importing this module does not import torch, and a wrong call fails before torch is imported.
"""

import re
from dataclasses import replace
from pathlib import Path

import nasir
from nasir.errors import NasirError, nearest, quoted
from nasir.passes import INFERENCE
from nasir.space import adopt
from nasir.wanted import checked
from runners.experiment.trained import find_trained
from runners.forms.outputs import Outputs
from runners.forms.progress import Clock, Progress, Silent
from runners.forms.report import Options, Report
from runners.inputs import named, read_named
from runners.machine.machine import check_alone

MOST_PICTURES = 1 << 16

QUANTISED = ("dynamic", "static")


@checked
def compile_genotype(
    genotype: nasir.Genotype | str | Path,
    options: Options | None = None,
    progress: Progress | None = None,
) -> Report:
    """Compile a genotype, or what `load_genotype` takes; write the files that `options` name.

    What the call says is checked before anything is written, and each file is written whole or
    not at all. Raises what reading and building raise, E112, E502 (device, memory), E728, E503
    (weights), E504 and E756 (a file differs from the network) and E505 (options).
    """
    check_alone()
    clock = Clock(progress or Silent())
    with clock.quick_stage("read the genotype"):
        options = options or Options()
        read = _read(genotype, options.space)
        options = _checked(_trained(genotype, options), read.name)
    with clock.quick_stage("build the graph"):
        graph = options.size.build(read)
    with clock.quick_stage("run the passes"):
        _, passes = nasir.run_passes(graph, INFERENCE)
    with clock.stage("load torch"):
        from runners.forms.work import Job, work
    return work(Job(read, graph, passes, options), clock)


def _read(genotype: nasir.Genotype | str | Path, space: str | Path | None) -> nasir.Genotype:
    if not isinstance(genotype, nasir.Genotype):
        return read_named(genotype, space)
    if space is not None:
        genotype = adopt(genotype, space)
    return named(genotype, genotype.space)


def _trained(genotype: nasir.Genotype | str | Path, options: Options) -> Options:
    """The options with what a training's run directory, or a weights file, says. Raises E755."""
    if isinstance(genotype, nasir.Genotype):
        genotype = ""
    found = find_trained(genotype, options.size, options.weights)
    return replace(
        options,
        size=found.size,
        weights=found.weights,
        data=options.data or found.data,
        recipe=options.recipe or found.recipe,
        limit=found.limit,
    )


def _checked(options: Options, name: str) -> Options:
    """The options with every output named. Raises E107, E112 and E505."""
    if not 1 <= options.batch <= MOST_PICTURES:
        raise NasirError("E107", f"batch must be 1 to {MOST_PICTURES}, not {options.batch}")
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", options.device):
        message = f"unknown device {quoted(options.device)}"
        raise NasirError("E505", message, hint=nearest(options.device, ("cpu", "cuda", "cuda:0")))
    if options.ship is not None and options.target is None:
        options = replace(options, target="auto")
    outputs = options.outputs
    if options.directory is not None:
        outputs = outputs.below(options.directory, name)
    if outputs.inline and outputs.onnx is None:
        raise NasirError(
            "E505", "'inline' says how ONNX is written, and none is", hint="add --onnx or -o"
        )
    if options.quantise is not None:
        outputs = _quantised(options, outputs)
    outputs.check()
    return replace(options, outputs=outputs)


def _quantised(options: Options, outputs: Outputs) -> Outputs:
    """With the file of 8-bit numbers beside the ONNX file. Raises E505."""
    if options.quantise not in QUANTISED:
        message = f"'quantise' is {quoted(str(options.quantise))}"
        raise NasirError("E505", message, hint=f"one of: {', '.join(QUANTISED)}")
    if outputs.onnx is None:
        raise NasirError("E505", "an ONNX file is quantised, and none is written", hint="--onnx")
    if options.data is None or not options.check:
        message = "quantising needs data: to find ranges on, and to say what it costs"
        raise NasirError("E505", message, hint="--data cifar10:PATH, or a run directory")
    return replace(outputs, int8=outputs.onnx.with_suffix(".int8.onnx"))
