"""Measures the distance of exported networks' results from the network's own."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nasir import Graph, NasirError, SequenceType, Type
from nasir.passes.rewriting import given_inputs
from nasir.types import TokenType, WeightsType

TOLERANCE = 1e-4
"""Tolerance of logits: absolute up to a magnitude of 1, relative to the largest beyond it."""

HALF_TOLERANCE = 1e-2
"""Tolerance of results that were computed in half precision."""

_STEPS = 3

Arrays = tuple[NDArray[np.float32], ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`difference` is the largest absolute one, `magnitude` torch's largest absolute output.

    `name` is what was compared with torch.

    `frozen`: the network draws fresh noise, so what was compared is a twin of the file in which
    the noise is fixed on both sides; the file itself was run, and its weights compared, as well.
    """

    difference: float
    magnitude: float
    batch: int
    frozen: bool = False
    name: str = "onnxruntime"
    tolerance: float = TOLERANCE

    @property
    def agrees(self) -> bool:
        """True if the difference is at most `tolerance` * max(1, magnitude); NaN never is."""
        return self.difference <= self.tolerance * max(1.0, self.magnitude)

    def require(self) -> "Comparison":
        """Returns self. Raises an error unless it agrees."""
        if not self.agrees:
            raise NasirError(
                "E504",
                f"{self.name} differs from torch by {self.difference:.3g} "
                f"where the largest output is {self.magnitude:.3g}",
                hint=f"more than {self.tolerance:g} of it is no rounding: please report it",
            )
        return self


def compared(expected: Arrays, actual: Arrays, batch: int) -> Comparison:
    """Distances of outputs from torch's."""
    differences = [float(np.abs(a - b).max()) for a, b in zip(actual, expected, strict=True)]
    magnitudes = [float(np.abs(b).max()) for b in expected]
    return Comparison(_largest(differences), _largest(magnitudes), batch)


def draw(graph: Graph, batch: int, seed: int) -> Mapping[str, Tensor]:
    """Inputs for a graph, by name, from N(0, 1) or the vocabulary."""
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


def evaluate(graph: Graph, module: nn.Module, inputs: Mapping[str, Tensor]) -> Arrays:
    """The outputs; a supernet takes the weights of its choices as one mixture."""
    weight = next(module.parameters(), torch.zeros(()))
    moved = {
        name: value.to(weight.device, weight.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }
    mixture = {choice.name: moved.pop(choice.name) for choice in graph.choices}
    values = [*moved.values(), *([mixture] if mixture else [])]
    with _evaluating(module) as evaluated, quietly():
        return arrays(evaluated(*values))


def arrays(results: Any) -> Arrays:
    """The tensors that a network returned, one or several."""
    rows = cast("tuple[Tensor, ...]", results if isinstance(results, tuple) else (results,))
    return tuple(row.float().cpu().numpy() for row in rows)


@contextmanager
def quietly() -> Generator[None]:
    """Disables gradients, uses one thread, and restores the CPU generator at the end.

    On a busy machine torch's threads, which wait for each other at every op, took forty times as
    long for a network of twenty cells.
    """
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    try:
        torch.set_num_threads(1)
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)


def _largest(numbers: list[float]) -> float:
    """The largest; NaN if one is NaN, which Python's max would lose."""
    return float(np.max(numbers))


@contextmanager
def _evaluating(module: nn.Module) -> Generator[nn.Module]:
    """The module in evaluation mode; then every mode is as it was."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield module.eval()
    finally:
        for part, training in modes:
            part.training = training
