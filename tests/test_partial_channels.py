"""Partial channels and edge weights of supernets."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import lowering
import nasir
from nasir import Builder, Cell, Choice, Graph, ImageType, NasirError
from nasir.node import Slot
from nasir.passes import expand
from nasir.space.cells import add_op
from nasir.space.tree import Choose, Option
from tests.gate import gated
from tests.refusals import fails_with
from tests.supernets import PARTIAL, small, with_parts

EXAMPLES = Path(__file__).resolve().parent.parent / "spaces" / "examples"

PARAMETERS: list[tuple[str, str, int, int, int, int]] = [
    ("darts", "cifar", 16, 8, 4, 299_578),
    ("darts", "imagenet_search", 16, 8, 2, 956_512),
    ("drnas", "cifar", 36, 20, 6, 2_221_750),
    ("drnas", "cifar", 36, 20, 4, 2_986_462),
    ("drnas", "imagenet_search", 48, 14, 6, 3_642_896),
    ("drnas", "imagenet_search", 48, 14, 3, 5_739_344),
]
"""Of PC-DARTS and DrNAS: space, skeleton, channels, layers, parts, parameters."""


def named(space: str) -> str:
    return Path(space).stem


def softmaxes(graph: Graph) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        choice.name: torch.softmax(
            torch.randn(len(choice.options), generator=generator, dtype=torch.float64), 0
        )
        for choice in graph.choices
    }


def images(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def one_edge(stride: int) -> Graph:
    """An edge with four ops of different kinds on an image of 8 channels."""
    b = Builder(image=ImageType(8, 6, 6))

    def apply(op: str, name: str) -> str:
        value = b(op, "image", name=name, stride=stride, affine=False)
        if op == "max_pool_3x3":
            return b("batch_norm", value, name=f"{name}/norm", affine=False)
        return value

    ops = ("none", "max_pool_3x3", "skip_connect", "nor_conv_3x3")
    return b.graph(mixture(b, ops, apply))


def mixture(b: Builder, ops: tuple[str, ...], apply: Callable[[str, str], str]) -> str:
    """The mixture `edge` of an edge of the cell c00."""
    b.cell = Cell("normal", "c00")
    slot = Slot("normal", "op on edge", 2, 0)
    return add_op(b, Choose(slot, tuple(map(Option, ops)), mixed=ops), "edge", apply)


def norm(x: Tensor) -> Tensor:
    """Batch norm without weights, in training."""
    mean = x.mean((0, 2, 3), keepdim=True)
    variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def reference(x: Tensor, alpha: Tensor, stride: int, state: Mapping[str, Tensor]) -> Tensor:
    """The mixed op of PC-DARTS at K = 4, as its formula says."""
    first, rest = x[:, :2], x[:, 2:]
    relu = first.clamp(min=0)
    skip = first
    if stride == 2:
        one = F.conv2d(relu, state["edge/skip_connect/conv1.weight"], stride=2)
        two = F.conv2d(relu[:, :, 1:, 1:], state["edge/skip_connect/conv2.weight"], stride=2)
        skip = norm(torch.cat([one, two], 1))
        rest = rest.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    conv = F.conv2d(relu, state["edge/nor_conv_3x3/conv.weight"], stride=stride, padding=1)
    pool = norm(F.max_pool2d(first, 3, stride, 1))
    mixed = alpha[1] * pool + alpha[2] * skip + alpha[3] * norm(conv)
    joined = torch.cat([mixed, rest], 1)
    images, channels, height, width = joined.shape
    groups = joined.view(images, 4, channels // 4, height, width)
    return groups.transpose(1, 2).reshape(images, channels, height, width)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("optimise", [True, False])
def test_a_partial_mixture_computes_the_published_formula(stride: int, optimise: bool) -> None:
    graph = nasir.partial_channels(one_edge(stride), 4)
    module = lowering.to_torch(graph, optimise=optimise).double()
    x, mixture = images(3, 8, 6, 6), softmaxes(graph)
    expected = reference(x, mixture["normal/n2.e0"], stride, module.state_dict())
    torch.testing.assert_close(module(x, mixture), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("space", "skeleton", "channels", "layers", "parts", "parameters"),
    gated(PARAMETERS, PARAMETERS[1:3]),
)
def test_partial_supernets_have_the_published_numbers_of_parameters(
    space: str, skeleton: str, channels: int, layers: int, parts: int, parameters: int
) -> None:
    graph = nasir.supernet(space, skeleton, channels=channels, layers=layers)
    partial = nasir.partial_channels(graph, parts)
    assert nasir.cost(partial).params == parameters
    assert nasir.cost(nasir.edge_weights(partial, space)).params == parameters


@pytest.mark.parametrize("space", PARTIAL, ids=named)
def test_only_what_the_options_compute_has_fewer_channels(space: str) -> None:
    graph = small(space)
    partial = nasir.partial_channels(graph, 2)
    mixes = tuple(f"{node.name}/" for node in graph if f"{node.name}.mix" in partial)
    assert mixes
    for node in graph:
        before, after = graph.types[node.name], partial.types[node.name]
        if node.name.startswith(mixes):
            assert (after.shape[0], after.shape[1:]) == (before.shape[0] // 2, before.shape[1:])
        else:
            assert after == before


@pytest.mark.parametrize("space", PARTIAL, ids=named)
def test_weights_keep_their_keys(space: str) -> None:
    whole = {ref.key: ref for ref in expand(small(space)).params}
    partial = expand(with_parts(space)).params
    assert [ref.key for ref in partial] == list(whole)
    for ref in partial:
        assert ref.name == whole[ref.key].name
        assert all(a <= b for a, b in zip(ref.shape, whole[ref.key].shape, strict=True))


@pytest.mark.parametrize("optimise", [True, False])
def test_a_weighed_node_is_the_weighted_sum_of_its_edges(optimise: bool) -> None:
    graph = nasir.edge_weights(small("nasbench201"), "nasbench201")
    names = ["c00/n3.e0", "c00/n3.e1", "c00/n3.e2", "c00/n3"]
    module = lowering.to_torch(graph.with_nodes(graph.nodes, outputs=names), optimise=optimise)
    mixture = softmaxes(graph)
    *edges, node = module.double()(images(2, 3, 8, 8), mixture)
    beta = mixture["cell/n3"]
    expected = edges[0] * beta[0] + edges[1] * beta[1] + edges[2] * beta[2]
    torch.testing.assert_close(node, expected, rtol=1e-12, atol=1e-12)


def test_the_choice_of_a_node_stands_behind_those_of_its_edges() -> None:
    graph = nasir.edge_weights(small("darts"), "darts")
    names = [choice.name for choice in graph.choices]
    assert names[:8] == [
        "normal/n2.e0", "normal/n2.e1", "normal/n2",
        "normal/n3.e0", "normal/n3.e1", "normal/n3.e2", "normal/n3",
        "normal/n4.e0",
    ]  # fmt: skip
    assert len(names) == 2 * (14 + 4)
    assert [name for name, _ in graph.inputs] == ["image", *names]
    assert graph.choices[6] == Choice("normal/n3", "edge into node", ("0", "1", "2"), 2)


def test_nodes_that_are_means_of_their_edges_stay_means() -> None:
    space = EXAMPLES / "three_kinds.yaml"
    graph = nasir.edge_weights(nasir.supernet(space, channels=4, layers=5), space)
    found = {choice.name for choice in graph.choices if choice.kind == "edge into node"}
    assert found == {"far/n2", "reduce/n2", "reduce/n3"}


@pytest.mark.parametrize(("channels", "parts"), [(9, 2), (8, 3)])
def test_parts_that_do_not_divide_the_channels_are_refused(channels: int, parts: int) -> None:
    with fails_with("E302") as caught:
        nasir.partial_channels(small("nasbench201", channels), parts)
    assert caught.value.message == (
        f"the {channels} channels of 'stem' cannot be divided by {parts}"
    )
    assert caught.value.where.file == "node c00/n1.e0"


def test_options_that_cannot_be_built_at_a_part_are_refused_with_their_name() -> None:
    with pytest.raises(NasirError, match="edge/skip_connect: E302 a factorized reduce needs an"):
        nasir.partial_channels(one_edge(2), 8)


@pytest.mark.parametrize("parts", [0, -2])
def test_fewer_than_one_part_is_refused(parts: int) -> None:
    with pytest.raises(
        NasirError, match=f"E107 the number of parts must be 1 or more, not {parts}"
    ):
        nasir.partial_channels(small("nasbench201"), parts)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (lambda: nasir.supernet("darts_rnn"), "recurrent cells have vectors"),
        (lambda: nasir.network("darts_v2"), "it takes a supernet"),
        (lambda: nasir.partial_channels(small("darts"), 2), "divided by 2 already"),
        (lambda: lone(small("darts")), "the options of 'c00/n2.e0' read 2 values from outside"),
    ],
)
def test_a_graph_without_choices_of_whole_images_is_refused(graph: Any, message: str) -> None:
    with fails_with("E505", message):
        nasir.partial_channels(graph(), 2)


def lone(graph: Graph) -> Graph:
    """A supernet where one option reads another value than the rest."""
    return graph.rewire("c00/n2.e0/skip_connect", {"c00/pre0": "c00/pre1"})


def test_channels_of_an_odd_image_pass_by_ops_that_halve_it() -> None:
    graph = nasir.supernet("nnabla", channels=8, layers=3, resolution=15)
    parts = nasir.partial_channels(graph, 2)
    (pool, *_) = (node for node in parts if node.name.endswith(".pool"))
    assert parts.types[pool.name].shape[1:] == (8, 8)


def test_options_that_change_the_channels_are_refused() -> None:
    b = Builder(image=ImageType(8, 6, 6))
    wide = partial(b, "conv_bn", "image", out=8, kernel=1)
    graph = b.graph(mixture(b, ("wide",), lambda _, name: wide(name=name)))
    with fails_with("E302", "the options of 'edge' change the number"):
        nasir.partial_channels(graph, 2)


@pytest.mark.parametrize("space", ["darts_rnn", "nasbench1shot1_1"])
def test_edge_weights_of_cells_without_sums_of_edges_are_refused(space: str) -> None:
    with fails_with("E505", "no sum of edges into a node"):
        nasir.edge_weights(nasir.supernet(space), space)


def test_edge_weights_of_another_space_are_refused() -> None:
    with fails_with("E505", "in the space 'mobile' from: none"):
        nasir.edge_weights(small("darts"), EXAMPLES / "mobile.yaml")
