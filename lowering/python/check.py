"""Running a stand-alone file and comparing it with the graph it was written from."""

import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lowering.agreement import arrays, compared, draw, quietly
from lowering.torch.sampled import SampledGraph
from lowering.torch.store import resolve
from nasir import Graph, NasirError, Where, run_passes
from nasir.passes import EVALUATION, PLAIN
from nasir.passes.dropping import given_inputs
from nasir.source import is_there, not_there
from nasir.wanted import checked

_BATCH = 2


@checked
def load_python(path: str | Path) -> nn.Module:
    """The network of a stand-alone file, with the weights beside it, in evaluation mode.

    Raises E101 where there is none, and E504 where the file fails.
    """
    if not is_there(str(path)):
        raise not_there(str(path))
    path = Path(path)
    loader = SourceFileLoader(f"nasir_{path.stem}", str(path))
    spec = importlib.util.spec_from_file_location(loader.name, path, loader=loader)
    assert spec is not None, path
    module: Any = importlib.util.module_from_spec(spec)
    try:
        loader.exec_module(module)
        network: nn.Module = module.load()
    except Exception as error:
        raise _failed(path, error) from error
    return network.eval()


def check(graph: Graph, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises E504 unless the file computes in evaluation what the graph does with these weights.

    The rules for torch are called node by node. What draws fresh noise is run, and not compared.
    """
    plain, _ = run_passes(replace(graph, auxiliary=()), (*PLAIN, *EVALUATION))
    plain = replace(plain, inputs=given_inputs(plain), choices=())
    with quietly():
        network = load_python(path).float()
        inputs = tuple(draw(plain, _BATCH, 0).values())
        try:
            found = arrays(network(*inputs))
        except Exception as error:
            raise _failed(path, error) from error
        if any(node.has("random") for node in plain):
            return
        known = {ref.key: resolve(ref, weights).cpu().float() for ref in plain.params}
        run = SampledGraph(plain, plain.outputs, {}, training=False)
        expected = arrays(run(known.__getitem__, inputs))
    replace(compared(expected, found, _BATCH), name="the Python file").require()


def _failed(path: Path, error: Exception) -> NasirError:
    message = f"the Python file fails: {type(error).__name__}: {error}"
    hint = "that is a fault of nasir: please report it"
    return NasirError("E504", message, Where(path.name), hint)
