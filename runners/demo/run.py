"""Compiling and running the demonstration's cases."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lowering
import nasir
from nasir.errors import NasirError
from nasir.formats import FORMATS
from runners.demo.apart import run_file
from runners.demo.cases import Case
from runners.demo.pictures import as_input, pictures, varied
from runners.experiment.size import NetworkSize
from runners.forms.compile import compile_genotype
from runners.forms.outputs import Outputs, file_stem
from runners.forms.progress import Prefixed, Progress
from runners.forms.report import Options, Report
from runners.inputs import read_named
from runners.task.measure import evaluate, find_difference

CALIBRATION_STEPS = 20


@dataclass(frozen=True, slots=True)
class Run:
    """The logits of the pictures by one way to run the network; None where `reason` says why not.

    `difference` is the largest absolute one from eager torch.
    """

    name: str
    logits: tuple[tuple[float, ...], ...] | None
    difference: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case.

    `published` is the cost in the skeleton's own size; `returned`, whether the ONNX file gave its
    genotype back; `texts`, the genotype in every format, or why a format cannot hold it.
    """

    case: Case
    report: Report
    published: nasir.Cost
    runs: tuple[Run, ...]
    returned: bool
    texts: dict[str, str]


def run_case(case: Case, directory: Path, progress: Progress, *, fast: bool = True) -> Result:
    """Compile a case into `directory` and run what was made; `fast`: with torch.compile."""
    progress = Prefixed(case.title, progress)
    genotype = read_named(case.genotype)
    graph = case.size.build(genotype)
    images = as_input(pictures())
    weights = directory / "calibrated.safetensors"
    with progress.stage("calibrate batch norms on the pictures"):
        module = _calibrated(graph, images)
        lowering.save_weights(module, weights)
    stem = directory / file_stem(genotype.name)
    outputs = Outputs(export=stem.with_suffix(".pt2"))
    options = Options(
        case.size, weights=weights, compile=fast, outputs=outputs, directory=directory
    )
    report = compile_genotype(genotype, options, progress)
    with progress.stage("run the files on the pictures"):
        runs = _runs(module, images, stem)
    return Result(
        case,
        report,
        nasir.cost(NetworkSize().build(genotype)),
        runs,
        nasir.load_genotype(stem.with_suffix(".onnx")) == genotype,
        _texts(genotype),
    )


def _calibrated(graph: nasir.Graph, images: Tensor) -> lowering.Network:
    """The network with random weights whose batch norms know the pictures.

    Without this their statistics are 0 and 1, and 20 layers let nearly nothing through.
    """
    module = lowering.to_torch(graph, seed=0).train()
    with torch.no_grad():
        for batch in varied(images, CALIBRATION_STEPS):
            module(batch)
    return module.eval()


def _runs(module: lowering.Network, images: Tensor, stem: Path) -> tuple[Run, ...]:
    """The pictures through the network, and through each of its files."""
    expected = evaluate(module, images)
    python, onnx = stem.with_suffix(".py"), stem.with_suffix(".onnx")
    program = torch.export.load(stem.with_suffix(".pt2")).module()
    return (
        Run("eager torch", _rows(expected)),
        _run(f"{python.name}, in a process of its own", expected, run_file(python, images)),
        _run(f"{stem.name}.pt2, torch.export", expected, evaluate(program, images)),
        _run_onnx(f"{onnx.name}, ONNX Runtime", onnx, expected, images),
    )


def _run(name: str, expected: Tensor, logits: Tensor) -> Run:
    return Run(name, _rows(logits), find_difference(name, expected, logits).difference)


def _run_onnx(name: str, path: Path, expected: Tensor, images: Tensor) -> Run:
    if importlib.util.find_spec("onnxruntime") is None:
        return Run(name, None, reason="onnxruntime is not installed")
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    logits: Any = session.run(None, {"image": images.numpy()})[0]
    return _run(name, expected, torch.tensor(logits))


def _rows(logits: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in logits)


def _texts(genotype: nasir.Genotype) -> dict[str, str]:
    """The genotype in every format that is written, or the reason why it is not."""
    texts: dict[str, str] = {}
    for name, row in FORMATS.items():
        if row.dump is None:
            continue
        try:
            texts[name] = nasir.dump_genotype(genotype, name).strip()
        except NasirError as error:
            texts[name] = f"({error.message})"
    return texts
