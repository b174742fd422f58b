"""Example inputs, outputs and latencies of networks in torch."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasir import Graph, Type, run_passes
from nasir.passes import EVALUATION
from nasir.passes.draws import DRAW
from nasir.passes.dropping import given_inputs
from nasir.types import TokenType

WARM_UP = 3
MOST_RUNS = 50
LEAST_RUNS = 5
SECONDS = 3.0

STEPS = 5
"""Of each sequence of tokens that is measured."""

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """The time of one call: the median and the lowest of interleaved runs after a warm-up."""

    seconds: float
    lowest: float
    runs: int


def example(graph: Graph, batch: int) -> Inputs:
    """The network's inputs, the same every time.

    Images (batch, C, H, W) and states (batch, c) are drawn from N(0, 1), tokens (STEPS, batch)
    from the vocabulary.
    """
    generator = torch.Generator().manual_seed(0)
    return tuple(_draw(type_, batch, generator) for _, type_ in given_inputs(graph))


def _draw(type_: Type, batch: int, generator: torch.Generator) -> Tensor:
    if isinstance(type_, TokenType):
        return torch.randint(type_.vocabulary, (STEPS, batch), generator=generator)
    return torch.randn((batch, *type_.shape), generator=generator)


def evaluate(module: Callable[..., Any], inputs: Inputs | Tensor) -> Inputs:
    """All outputs, without gradients; the first are logits or log-probabilities."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else inputs
    with torch.inference_mode():
        outputs: Any = module(*inputs)
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def draws_noise(module: nn.Module) -> bool:
    """Whether two calls with one input differ in evaluation: the genotype has the op `noise`."""
    graph: Any = getattr(module, "graph", None)
    if not isinstance(graph, Graph):
        return False
    left = run_passes(graph, EVALUATION)[0]
    given = any(name.endswith(DRAW) and left.readers[name] for name, _ in left.inputs)
    return given or any(node.has("random") for node in left)


def measure(modules: Mapping[str, Callable[..., Any]], inputs: Inputs) -> dict[str, Latency]:
    """The time of each network, interleaved so that what else the machine does hits all alike.

    After WARM_UP rounds, as many as fit into SECONDS, at least LEAST_RUNS and at most MOST_RUNS.
    """
    for _ in range(WARM_UP):
        for module in modules.values():
            _time(module, inputs)
    times: dict[str, list[float]] = {name: [] for name in modules}
    start = time.perf_counter()
    for number in range(MOST_RUNS):
        if number >= LEAST_RUNS and time.perf_counter() - start > SECONDS:
            break
        for name, module in modules.items():
            times[name].append(_time(module, inputs))
    return {
        name: Latency(statistics.median(found), min(found), len(found))
        for name, found in times.items()
    }


def _time(module: Callable[..., Any], inputs: Inputs) -> float:
    """Seconds until the device has done what one call gave it."""
    _wait(inputs[0])
    start = time.perf_counter()
    evaluate(module, inputs)
    _wait(inputs[0])
    return time.perf_counter() - start


def _wait(value: Tensor) -> None:
    if value.is_cuda:
        torch.cuda.synchronize(value.device)
