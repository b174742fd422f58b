"""Running an exported file in onnxruntime and comparing it with the network in torch."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lowering.onnx.export import encode
from lowering.onnx.session import open_session
from lowering.torch import to_torch
from nasir import Graph, NasirError, SequenceType, Type, Where, run_passes
from nasir.passes import EVALUATION, PASSES, PLAIN
from nasir.passes.dropping import given_inputs
from nasir.types import TokenType, WeightsType

TOLERANCE = 1e-4
"""Of logits: absolute up to a magnitude of 1, relative to the largest beyond it."""

_STEPS = 3

Arrays = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`difference` is the largest absolute one, `magnitude` torch's largest absolute output.

    `frozen`: the network draws fresh noise, so what was compared is a twin of the file in which
    the noise is fixed on both sides; the file itself was run, and its weights compared, as well.
    """

    difference: float
    magnitude: float
    batch: int
    frozen: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the difference is at most TOLERANCE * max(1, magnitude); NaN never is."""
        return self.difference <= TOLERANCE * max(1.0, self.magnitude)

    def require(self) -> "Comparison":
        """Itself. Raises E504 unless it agrees."""
        if not self.agrees:
            raise NasirError(
                "E504",
                f"onnxruntime differs from torch by {self.difference:.3g} "
                f"where the largest output is {self.magnitude:.3g}",
                hint=f"more than {TOLERANCE:g} of it is no rounding: please report it",
            )
        return self


def compare(
    graph: Graph, module: nn.Module, path: str | Path, *, batch: int = 2, seed: int = 0
) -> Comparison:
    """The largest difference of the file in onnxruntime from the module in evaluation mode.

    `graph` and `module` are what was exported; the module is left unchanged. The input is drawn
    from N(0, 1) with that seed. Raises E101, E501; with noise E503 and E504 too.
    """
    content = _read(Path(path))
    inputs = _draw(graph, batch, seed)
    actual = _run(content, inputs)
    plain, _ = run_passes(graph, (*PLAIN, *EVALUATION))
    random = any(node.has("random") for node in plain)
    if random:
        module, content = _twins(plain, module, content)
        actual = _run(content, inputs)
    expected = _evaluate(graph, module, inputs)
    differences = [float(np.abs(a - b).max()) for a, b in zip(actual, expected, strict=True)]
    magnitudes = [float(np.abs(b).max()) for b in expected]
    return Comparison(_largest(differences), _largest(magnitudes), batch, random)


def _largest(numbers: list[float]) -> float:
    """The largest; NaN if one is NaN, which Python's max would lose."""
    return float(np.max(numbers))


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise NasirError("E101", f"there is no file '{path}'", Where(str(path)))
    return path.read_bytes()


def _draw(graph: Graph, batch: int, seed: int) -> Mapping[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: _example(type_, batch, generator) for name, type_ in given_inputs(graph)}


def _example(type_: Type, batch: int, generator: torch.Generator) -> Tensor:
    """A batch; sequences have three steps."""
    if isinstance(type_, TokenType):
        return torch.randint(type_.vocabulary, (_STEPS, batch), generator=generator)
    if isinstance(type_, WeightsType):
        return torch.randn(type_.shape, generator=generator)
    shape = (batch, *type_.shape)
    steps = (_STEPS,) if isinstance(type_, SequenceType) else ()
    return torch.randn((*steps, *shape), generator=generator)


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


def _evaluate(graph: Graph, module: nn.Module, inputs: Mapping[str, Tensor]) -> Arrays:
    """The outputs; a supernet takes the weights of its choices as one mixture."""
    weight = next(module.parameters(), torch.zeros(()))
    moved = {
        name: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }
    mixture = {choice.name: moved.pop(choice.name) for choice in graph.choices}
    values = [*moved.values(), *([mixture] if mixture else [])]
    with _evaluating(module) as evaluated, torch.inference_mode():
        results: Any = evaluated(*values)
    rows = cast("tuple[Tensor, ...]", results if isinstance(results, tuple) else (results,))
    return tuple(row.float().cpu().numpy() for row in rows)


def _run(content: bytes, inputs: Mapping[str, Tensor]) -> Arrays:
    feed = {name: value.numpy() for name, value in inputs.items()}
    return tuple(open_session(content).run(None, feed))


@contextmanager
def _evaluating(module: nn.Module) -> Generator[nn.Module, None, None]:
    """The module in evaluation mode, on one thread; then every mode is as it was.

    On a busy machine torch's threads, which wait for each other at every op, took forty times as
    long for a network of twenty cells.
    """
    modes = [(part, part.training) for part in module.modules()]
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield module.eval()
    finally:
        torch.set_num_threads(threads)
        for part, training in modes:
            part.training = training
