"""Random small spaces, and what a supernet computes, for laws about supernets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
import torch
from torch import Tensor

import lowering
import nasir
from nasir import Space
from nasir.space.decisions import SpaceCell, SpaceEdge
from nasir.space.layout import Layout
from nasir.space.load import catalog
from tests.command_line import ROOT
from tests.gate import gated

OPS = (
    "none",
    "skip_connect",
    "max_pool_3x3",
    "avg_pool_3x3",
    "sep_conv_3x3",
    "dil_conv_3x3",
    "nor_conv_1x1",
)


@st.composite
def small_spaces(draw: st.DrawFn) -> Space:
    """Spaces of one or two kinds of cell with one to three nodes, and any layout of them.

    Some have a third kind of cell that is an option of edges.
    """
    kinds = ("normal", "reduce")[: draw(st.integers(1, 2))]
    blocks = ("block",) if draw(st.integers(0, 3)) == 3 else ()
    cells = tuple(draw(_cells(kind, inputs=2, blocks=blocks)) for kind in kinds)
    if blocks:
        cells = (replace(draw(_cells("block", inputs=1)), join="sum"), *cells)
    some = st.lists(st.sampled_from(kinds), max_size=2, unique=True).map(tuple)
    pattern = kinds + tuple(draw(st.lists(st.sampled_from(kinds), max_size=1)))
    layout = Layout(pattern, (), draw(some), draw(some))
    return Space("random", "", "", "cifar", cells, layout=layout)


@st.composite
def _cells(draw: st.DrawFn, kind: str, inputs: int, blocks: tuple[str, ...] = ()) -> SpaceCell:
    nodes = range(inputs, inputs + draw(st.integers(1, 3)))
    ops = st.lists(st.sampled_from((*OPS, *blocks)), min_size=1, max_size=3, unique=True).map(tuple)
    edges = tuple(
        SpaceEdge(source, node, draw(ops))
        for node in nodes
        for source in sorted(draw(st.sets(st.integers(0, node - 1), min_size=1)))
    )
    keep = draw(st.sampled_from((None, 1)))
    output = draw(st.lists(st.sampled_from(nodes), min_size=1, unique=True))
    return SpaceCell(
        kind,
        inputs,
        len(nodes),
        edges,
        keep=keep,
        exclude=(),
        output=tuple(output),
        combine="sum" if keep else draw(st.sampled_from(("sum", "mean"))),
        normalise=draw(st.sampled_from(((), ("max_pool_3x3", "avg_pool_3x3")))),
    )


def shipped(space: str) -> nasir.Graph:
    """The smallest supernet with every kind of cell of a shipped space."""
    skeleton = nasir.load_space(space).skeleton
    if skeleton == "rnn":
        return nasir.supernet(space, vocabulary=7, hidden=3)
    if skeleton == "natsbench_size":
        return nasir.supernet(space, classes=3, resolution=8)
    layers = 3 if skeleton not in ("nasbench201", "transnasbench101") else 1
    return nasir.supernet(space, channels=2, layers=layers, classes=3, resolution=8)


PARTIAL = (
    *("darts", "drnas", "nasnet", "nnabla", "s1", "s2", "s3", "s4"),
    *("nasbench201", "nasbench201_connect", "nasbench201_darts", "nasbench201_s10"),
    *("nasbench1shot1_1", "nasbench1shot1_2", "nasbench1shot1_3"),
    str(ROOT / "spaces" / "examples" / "mobile.yaml"),
)
"""Spaces whose supernets have partial channels."""


def small(space: str, channels: int = 8) -> nasir.Graph:
    layers = 1 if "nasbench201" in space else 3
    return nasir.supernet(space, channels=channels, layers=layers, resolution=8)


def with_parts(space: str) -> nasir.Graph:
    """Partial channels, and edge weights where the space has ops on edges."""
    graph = nasir.partial_channels(small(space), 2)
    return graph if "nasbench1shot1" in space else nasir.edge_weights(graph, space)


SUPERNETS: dict[str, Callable[[], nasir.Graph]] = {
    **{
        name: lambda name=name: shipped(name)
        for name, space in catalog().items()
        if space.skeleton != "nasbench101"
    },
    **{f"{Path(name).stem}, partial": lambda name=name: with_parts(name) for name in PARTIAL},
}
FAST = (
    *("s4", "nasbench201", "darts_rnn", "natsbench_size", "nasbench1shot1_2"),
    *("s1, partial", "nasbench201, partial", "nasbench1shot1_2, partial"),
)
NOISY = ("s4", "nasbench201_s4", "s4, partial")
"""Those with noise, which differs from call to call."""
each_supernet = pytest.mark.parametrize("name", gated(SUPERNETS, FAST))


@dataclass(frozen=True)
class Outcome:
    """What one call of a network computes, and what it leaves behind."""

    outputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    statistics: Mapping[str, Tensor]


def graph_of(space: Space) -> nasir.Graph:
    return nasir.supernet(space, channels=2, layers=3, classes=3, resolution=8)


def mixture_of(graph: nasir.Graph, seed: int = 0) -> dict[str, Tensor]:
    """Learned weights of each choice, none of them 0."""
    generator = torch.Generator().manual_seed(seed)
    return {
        choice.name: torch.rand(len(choice.options), generator=generator, dtype=torch.float64)
        .add_(0.1)
        .requires_grad_()
        for choice in graph.choices
    }


def inputs_of(graph: nasir.Graph, seed: int = 0, batch: int = 4) -> tuple[Tensor, ...]:
    """What the graph reads beside the mixture."""
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for _, type_ in graph.inputs:
        if isinstance(type_, nasir.TokenType):
            found.append(torch.randint(0, type_.vocabulary, (3, batch), generator=generator))
        elif not isinstance(type_, nasir.WeightsType):
            shape = (batch, *type_.shape)
            found.append(torch.randn(shape, generator=generator, dtype=torch.float64))
    return tuple(found)


def outcome(
    module: lowering.Network, inputs: Sequence[Tensor], mixture: Mapping[str, Tensor]
) -> Outcome:
    """Of a call in training; its random draws are the same each time."""
    torch.manual_seed(3)
    results = module(*inputs, mixture)
    results = results if isinstance(results, tuple) else (results,)
    loss = sum((result.square().sum() for result in results), start=torch.zeros(()))
    learned = [*module.leaves, *mixture.values()]
    gradients = torch.autograd.grad(loss, learned, materialize_grads=True)
    own = module.by_key(gradients[: -len(mixture)] if mixture else gradients)
    return Outcome(
        results,
        (*(own[key] for key in module.keys), *gradients[len(gradients) - len(mixture) :]),
        {key: value.clone() for key, value in module.named_buffers()},
    )


def check_close(one: Sequence[Tensor], other: Sequence[Tensor], tolerance: float = 1e-9) -> None:
    """Each tensor differs by less than that share of its norm."""
    for ours, theirs in zip(one, other, strict=True):
        assert (ours - theirs).norm() <= tolerance * theirs.norm() + 1e-12


def check_same(one: Outcome, other: Outcome) -> None:
    check_close(one.outputs, other.outputs)
    check_close(one.gradients, other.gradients)
    assert one.statistics.keys() == other.statistics.keys()
    check_close(tuple(one.statistics.values()), tuple(other.statistics.values()))
