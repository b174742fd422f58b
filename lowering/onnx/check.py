"""Running an exported file in onnxruntime and comparing it with the network in torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
from torch import Tensor, nn

from lowering.agreement import Arrays, Comparison, compared, draw, evaluate
from lowering.onnx.export import encode
from lowering.onnx.session import open_session
from lowering.torch import to_torch
from nasir import Graph, NasirError, Where, run_passes
from nasir.errors import quoted
from nasir.passes import EVALUATION, PASSES, PLAIN
from nasir.source import is_file
from nasir.wanted import checked


@checked
def compare(
    graph: Graph, module: nn.Module, path: str | Path, *, batch: int = 2, seed: int = 0
) -> Comparison:
    """The largest difference of the file in onnxruntime from the module in evaluation mode.

    `graph` and `module` are what was exported; the module is left unchanged. The input is drawn
    from N(0, 1) with that seed. Raises E101, E501; with noise E503 and E504 too.
    """
    content = _read(Path(path))
    inputs = draw(graph, batch, seed)
    actual = _run(content, inputs)
    plain, _ = run_passes(graph, (*PLAIN, *EVALUATION))
    random = any(node.has("random") for node in plain)
    if random:
        module, content = _twins(plain, module, content)
        actual = _run(content, inputs)
    return replace(compared(evaluate(graph, module, inputs), actual, batch), frozen=random)


def _read(path: Path) -> bytes:
    if not is_file(path):
        raise NasirError("E101", f"there is no file {quoted(str(path))}", Where(str(path)))
    return path.read_bytes()


def _twins(graph: Graph, module: nn.Module, content: bytes) -> tuple[nn.Module, bytes]:
    """The module and its file with fixed noise, once the file is known to be the module's."""
    weights = module.state_dict()
    inline = not onnx.load_model_from_string(content).functions
    if content != encode(graph, weights, inline=inline):
        raise NasirError(
            "E504", "the file is not what this network exports to", hint="export it again"
        )
    frozen, _ = run_passes(graph, (PASSES["freeze-noise"],))
    twin = to_torch(frozen)
    twin.load_state_dict(weights, strict=False)
    return twin, encode(frozen, twin.state_dict(), inline=inline)


def _run(content: bytes, inputs: Mapping[str, Tensor]) -> Arrays:
    session = open_session(content)
    names = [each.name for each in session.get_inputs()]
    feed = {name: x.numpy() for name, x in zip(names, inputs.values(), strict=True)}
    return tuple(session.run(None, feed))
