"""A network as one readable Python file, and its weights beside it."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

import nasir
from lowering.python.check import check
from lowering.python.file import write_file
from lowering.python.keys import WeightPath
from lowering.python.prepare import kinds_of, prepare
from lowering.torch.store import resolve
from lowering.torch.weights import pack
from nasir import Graph, NasirError, Where, run_passes
from nasir.files import write_atomically
from nasir.ops.choice import DROP_PATH
from nasir.passes import PASSES, PLAIN
from nasir.wanted import checked


@checked
def to_python(graph: Graph, module: nn.Module, path: str | Path) -> tuple[Path, Path]:
    """Writes `net.py`, which needs only torch, and `net.safetensors`, with the module's weights.

    The network is an ordinary module, with one class for each kind of cell, and can be trained.
    The weights stand under their stable keys, so that other tools read them; those that no output
    needs are kept. The same network gives the same bytes. Nothing is written unless the file, run
    here, computes what the module does. Returns both paths. Raises E112, E504 and, when the module
    lacks a weight or the path does not end in .py, E503 and E505.
    """
    path = Path(path)
    if path.suffix != ".py":
        hint = f"write to {path.with_suffix('.py').name}"
        raise NasirError("E505", "a Python file's name ends in .py", Where(str(path)), hint)
    weights = module.state_dict()
    prepared = prepare(graph)
    dtype = next((v.dtype for v in weights.values() if v.is_floating_point()), torch.float32)
    plain, _ = run_passes(graph, (*PLAIN, PASSES["dead-code"]))
    dropped = [node.name for node in plain if node.op is DROP_PATH]
    text, places = write_file(prepared, kinds_of(graph), path.stem, dtype, dropped)
    content = pack(_weights(graph, places, weights), _about(graph))
    with TemporaryDirectory() as folder:
        tried = Path(folder) / "network.py"
        tried.write_text(text, encoding="utf-8")
        tried.with_suffix(".safetensors").write_bytes(content)
        check(graph, weights, tried)
    # The weights first: a network without them is of no use.
    written = write_atomically(path.with_suffix(".safetensors"), content)
    return write_atomically(path, text.encode()), written


def _weights(
    graph: Graph, places: tuple[WeightPath, ...], weights: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """What the file's layers need, and the weights of dead nodes that the module has."""
    found = {place.key: resolve(place.ref, weights) for place in places}
    for ref in run_passes(graph, PLAIN)[0].params:
        if ref.key in weights and not ref.parts:
            found.setdefault(ref.key, weights[ref.key])
    return found


def _about(graph: Graph) -> dict[str, str]:
    return {"version": nasir.__version__, **graph.about}
