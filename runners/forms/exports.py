"""Files of a network on the CPU, each read back and compared with the network in eager torch."""

import io
from pathlib import Path

import torch
from torch import nn

import lowering
from lowering.onnx import TOLERANCE
from nasir import Graph, NasirError
from nasir.files import write_atomically
from nasir.types import TokenType
from runners.forms.report import Difference
from runners.task.measure import NOISE, draws_noise, evaluate, example, find_difference

PICTURES = 3
"""How many a file is compared on: another number than it was traced with."""


def compare_onnx(graph: Graph, module: nn.Module, path: Path) -> Difference:
    """The file in ONNX Runtime. Raises E504 when it differs by more than rounding."""
    name = "ONNX Runtime"
    try:
        found = lowering.compare(graph, module, path)
    except NasirError as error:
        if error.code != "E501":
            raise
        return Difference(name, None, None, f"{error.message}; {error.hint}")
    found.require()
    note = "with the noise fixed on both sides" if found.frozen else ""
    return Difference(name, found.difference, found.magnitude, note)


def export_program(graph: Graph, module: nn.Module, path: Path) -> Path:
    """The program of torch.export, for any number of pictures, as a .pt2 file.

    Of a language model it is one for STEPS tokens of any number of sequences, as the loop over
    time is written out. Raises E112 and E504.
    """
    batch = torch.export.Dim("batch")
    axes = [1 if isinstance(type_, TokenType) else 0 for _, type_ in graph.inputs]
    shapes = (tuple({axis: batch} for axis in axes),)
    content = io.BytesIO()
    try:
        program = torch.export.export(module, example(graph, 2), dynamic_shapes=shapes)
        torch.export.save(program, content)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise NasirError("E504", f"torch.export refuses the network: {reason}") from error
    return write_atomically(path, content.getvalue())


def compare_program(graph: Graph, module: nn.Module, path: Path) -> Difference:
    """The file of `export_program`, loaded again. Raises E504 when it differs."""
    return _compare("exported program", graph, module, torch.export.load(path).module())


def compare_python(graph: Graph, module: nn.Module, path: Path) -> Difference:
    """The stand-alone file with the weights beside it. Raises E504 when it differs."""
    return _compare("Python file", graph, module, lowering.load_python(path))


def _compare(name: str, graph: Graph, module: nn.Module, other: nn.Module) -> Difference:
    if draws_noise(module):
        return Difference(name, None, None, NOISE)
    inputs = example(graph, PICTURES)
    return require(find_difference(name, evaluate(module, inputs), evaluate(other, inputs)))


def require(found: Difference) -> Difference:
    """The difference itself. Raises E504 when it is more than rounding; NaN always is."""
    assert found.difference is not None
    assert found.magnitude is not None
    if found.difference <= TOLERANCE * max(1.0, found.magnitude):
        return found
    raise NasirError(
        "E504",
        f"the {found.name} differs from eager torch by {found.difference:.3g} "
        f"where the largest output is {found.magnitude:.3g}",
        hint="that is no rounding: please report it",
    )
