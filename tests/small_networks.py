"""Small supernets and networks, what they read, and what can be done to a supernet."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import nasir
from nasir import Graph


def supernet(space: str = "darts") -> Graph:
    if space == "darts_rnn":
        return nasir.supernet(space, vocabulary=12, hidden=6)
    layers = 1 if space == "nasbench201" else 3
    return nasir.supernet(space, channels=4, layers=layers, resolution=8, classes=3)


def example(graph: Graph) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    if dict(graph.inputs).get("tokens"):
        tokens = torch.randint(12, (4, 3), generator=generator)
        return tokens, torch.rand(3, 6, generator=generator, dtype=torch.float64)
    return (torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64),)


def mixture(graph: Graph) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        choice.name: torch.rand(len(choice.options), generator=generator, dtype=torch.float64) + 0.1
        for choice in graph.choices
    }


def first_of(value: Any) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


VARIANTS: dict[str, Callable[[Graph], Graph]] = {
    "plain": lambda graph: graph,
    "partial": lambda graph: nasir.partial_channels(graph, 2),
    "weighed": lambda graph: nasir.edge_weights(graph, "darts"),
}

NETWORKS: dict[str, Callable[[], Graph]] = {
    "darts": supernet,
    "nasbench201": lambda: supernet("nasbench201"),
    "darts_v2": lambda: nasir.network("darts_v2", channels=4, layers=3, resolution=8, classes=3),
}
