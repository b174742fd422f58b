"""Networks of nnabla, DrNAS, pt.darts, TransNAS-Bench-101 and NATS-Bench, and five-node cells."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lowering
import nasir
from nasir import (
    Builder,
    CellGenotype,
    Edge,
    Genotype,
    ImageType,
    NasirError,
    cost,
    load_genotype,
    load_space,
    network,
)
from nasir.passes import expand
from tests.command_line import ROOT
from tests.refusals import fails_with

NNABLA = str(ROOT / "spaces" / "examples" / "DARTS_arch.json")


def pool_edges(name: str) -> int:
    """Batch-norm weights behind pools: 2C for each pool edge of each cell (C=36, 20 cells)."""
    genotype = load_genotype(name)
    count = 0
    for kind, cells in (("normal", {36: 6, 72: 6, 144: 6}), ("reduce", {72: 1, 144: 1})):
        pools = sum("pool" in e.op for edges in genotype.cell(kind).nodes for e in edges)
        count += pools * sum(2 * c * n for c, n in cells.items())
    return count


@pytest.mark.parametrize("name", ["darts_v1", "darts_v2", "pc_darts_cifar"])
def test_the_nnabla_network_differs_from_cifar_where_the_originals_do(name: str) -> None:
    ours = cost(network(name, auxiliary=True))
    theirs = cost(network(name, auxiliary=True, space="nnabla"))
    # The stem has 36 channels, not 108, and so have three inputs of the first two cells.
    stem = 72 * 27 + 2 * 72 + 3 * 72 * 36
    assert theirs.params == ours.params - stem + pool_edges(name)
    assert ours.auxiliary is not None
    assert theirs.auxiliary is not None
    assert theirs.auxiliary.params == ours.auxiliary.params - 10


def test_the_nnabla_network_has_a_stem_of_its_own_width_and_padded_reductions() -> None:
    graph = network(NNABLA, space="nnabla", auxiliary=True)
    assert graph.types["stem"] == ImageType(36, 32, 32)
    assert graph["c07/pre0"].op.name == "padded_factorized_reduce"
    assert dict(graph["aux"].attrs)["bias"] is False
    assert graph.about["skeleton"] == "nnabla"


def test_the_pools_of_nnabla_count_the_margin_and_are_normalised() -> None:
    build = Builder(x=ImageType(4, 8, 8)).know(load_space("nnabla").ops)
    graph = expand(build.graph(build("avg_pool_3x3", "x", name="m")))
    assert [node.op.name for node in graph] == ["avg_pool", "batch_norm"]
    assert dict(graph["m/pool"].attrs)["count_padding"] is True
    assert dict(graph["m/bn"].attrs)["affine"] is True


def test_drnas_normalises_pools_without_weights_when_evaluated_too() -> None:
    plain, drnas = network("darts_v1"), network("darts_v1", space="drnas")
    assert cost(plain).params == cost(drnas).params
    pools = [node for node in plain if "pool" in node.op.name]
    assert pools
    spelled = expand(drnas)
    for node in pools:
        norm = spelled[f"{node.name}/bn"]
        assert dict(norm.attrs)["affine"] is False
        assert norm.inputs == (f"{node.name}/pool",)


def test_a_padded_reduce_computes_what_the_unpadded_one_does_for_even_sizes() -> None:
    image = ImageType(4, 8, 6)
    modules = []
    for op in ("factorized_reduce", "padded_factorized_reduce"):
        build = Builder(image=image)
        graph = build.graph(build(op, "image", name="m", out=6))
        modules.append(lowering.to_torch(graph, seed=1).double().eval())
    x = torch.randn(2, *image.shape, dtype=torch.float64)
    assert torch.equal(modules[0](x), modules[1](x))


def test_a_padded_reduce_takes_odd_sizes_and_odd_channels() -> None:
    build = Builder(x=ImageType(4, 7, 5))
    assert build.type(build("padded_factorized_reduce", "x", out=5)) == ImageType(5, 4, 3)


def test_the_imagenet_search_stem_has_the_published_widths_and_sizes() -> None:
    graph = network("darts_v2", "imagenet_search")
    spelled = expand(graph)
    assert spelled.types["stem0a/bn"] == ImageType(24, 112, 112)
    assert spelled.types["stem0b/bn"] == ImageType(48, 56, 56)
    assert spelled.types["stem1/bn"] == ImageType(48, 28, 28)
    assert graph["c00/pre0"].op.name == "factorized_reduce"
    assert graph.types["c07/out"] == ImageType(256, 7, 7)
    assert spelled["head/pool"].op.name == "global_pool"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("('sep_conv_5x5', 1)", "('noise', 1)", "cannot apply 'noise' to node 1"),
        ("normal_concat=[2, 3", "normal_concat=[1, 3", "names node 1, which cannot leave it"),
    ],
)
def test_the_nasnet_space_says_why_a_genotype_is_not_in_it(old: str, new: str, reason: str) -> None:
    text = nasir.dump_genotype(load_genotype("NASNet"), "darts")
    if old not in text:
        text = text.replace("normal_concat=range(2, 7)", "normal_concat=[2, 3, 4, 5, 6]")
    assert old in text
    genotype = load_genotype(text.replace(old, new, 1), "nasnet")
    assert any(reason in each for each in load_space("nasnet").contains(genotype))


class _TransCell(nn.Module):
    """TransNAS-Bench-101's cell, by hand: one digit an edge, by node and source."""

    def __init__(self, digits: str, read: int, width: int) -> None:
        super().__init__()
        self.halves = read != width
        self.digits = dict(zip([(n, s) for n in (1, 2, 3) for s in range(n)], digits, strict=True))
        self.ops = nn.ModuleDict()
        for (node, source), digit in self.digits.items():
            entry = self.halves and source == 0
            size, stride = (read, 2) if entry else (width, 1)
            if digit in "23":
                kernel = 1 if digit == "2" else 3
                conv = nn.Conv2d(size, width, kernel, stride, kernel // 2, bias=False)
                self.ops[f"{node}{source}"] = nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(width))
            if digit == "1" and entry:
                self.ops[f"{node}{source}"] = nn.ModuleList(
                    [nn.Conv2d(size, width // 2, 1, 2, bias=False) for _ in range(2)]
                    + [nn.BatchNorm2d(width)]
                )

    def edge(self, node: int, source: int, x: Tensor) -> Tensor:
        digit = self.digits[node, source]
        entry = self.halves and source == 0
        if digit == "0":
            return torch.cat([x, x], 1)[..., ::2, ::2] * 0 if entry else x * 0
        if digit == "1" and not entry:
            return x
        op: Any = self.ops[f"{node}{source}"]
        if digit == "1":
            x = torch.relu(x)
            shifted = nn.functional.pad(x, (0, 1, 0, 1))[..., 1:, 1:]
            return op[2](torch.cat([op[0](x), op[1](shifted)], 1))
        return op(x)

    def forward(self, x: Tensor) -> Tensor:
        states = [x]
        for node in (1, 2, 3):
            edges = [self.edge(node, source, states[source]) for source in range(node)]
            states.append(sum(edges[1:], edges[0]))
        return states[3]


def _trans_network(digits: str, width: int, classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(3, width // 2, 3, 2, 1, bias=False), nn.BatchNorm2d(width // 2), nn.ReLU(),
        nn.Conv2d(width // 2, width, 3, 2, 1, bias=False), nn.BatchNorm2d(width),
    ]  # fmt: skip
    for module in "41414":
        wide = 2 * width if module == "4" else width
        layers += [_TransCell(digits, width, wide), _TransCell(digits, wide, wide)]
        width = wide
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


@pytest.mark.parametrize("digits", ["102333", "012312", "333333", "111011"])
def test_a_transnas_network_computes_what_its_description_says(digits: str) -> None:
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
    ops = iter(names[int(digit)] for digit in digits)
    nodes = tuple(tuple(Edge(next(ops), s) for s in range(n)) for n in (1, 2, 3))
    genotype = Genotype("transnasbench101", (CellGenotype("cell", 1, nodes, (3,)),))
    module = lowering.to_torch(network(genotype, channels=8, classes=5, resolution=64)).double()
    wanted = _trans_network(digits, 8, 5).double()
    found = [t for t in module.state_dict().values() if t.dim()]
    own = [t for t in wanted.state_dict().values() if t.dim()]
    assert [t.shape for t in found] == [t.shape for t in own]
    with torch.no_grad():
        for here, there in zip(own, found, strict=True):
            here.copy_(there)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(module(x), wanted(x), rtol=1e-9, atol=1e-9)


def test_the_own_size_of_a_transnas_network_is_the_published_one() -> None:
    graph = network(nasir.sample(load_space("transnasbench101"), 0))
    assert graph.types["stem1"] == ImageType(64, 64, 64)
    assert [graph.types[f"c0{i}/n3"].shape[0] for i in (1, 3, 5, 7, 9)] == [128, 128, 256, 256, 512]
    assert graph.types["c09/n3"] == ImageType(512, 8, 8)
    assert graph.types["head"].shape == (75,)
    assert nasir.size(load_space("transnasbench101")) == 4096
    with pytest.raises(NasirError, match="E302"):
        network(nasir.sample(load_space("transnasbench101"), 0), channels=5)


SHARED = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
"""The cell of NATS-Bench's size space."""


def _sized(*widths: int) -> nasir.Graph:
    sizes = tuple((f"stage{number}", width) for number, width in enumerate(widths, start=1))
    return network(SHARED, space=replace(load_space("natsbench_size"), size=sizes))


def test_stages_of_doubled_widths_are_the_nasbench201_network_of_one_cell_a_stage() -> None:
    usual = network(SHARED, layers=1)
    sized = _sized(16, 32, 32, 64, 64)
    assert cost(sized).params == cost(usual).params
    assert [(n.name, n.op.name, n.inputs) for n in sized] == [
        (n.name, n.op.name, n.inputs) for n in usual
    ]


def test_a_cell_that_changes_its_width_has_the_blocks_of_the_original() -> None:
    graph = _sized(64, 32, 48, 16, 8)
    assert [graph.types[f"c0{i}/n3"].shape[0] for i in range(3)] == [64, 48, 8]
    # Into 48 from 32 channels: 3x3 convolutions, and a bare 1x1 for the identity.
    assert graph["c01/n1.e0/nor_conv_3x3"].op.name == "relu_conv_bn"
    assert graph["c01/n3.e0/skip_connect"].op.name == "conv_bn"
    assert cost(graph).params == _by_hand(64, 32, 48, 16, 8)


def _by_hand(*widths: int) -> int:
    """Convolutions without bias, 2C a batch norm, and a linear map to ten classes."""

    def conv(kernel: int, read: int, out: int) -> int:
        return kernel**2 * read * out + 2 * out

    total, read = conv(3, 3, widths[0]), widths[0]
    for stage, out in enumerate(widths):
        if stage % 2:
            total += conv(3, read, out) + conv(3, out, out) + read * out
        else:
            total += 2 * conv(3, read, out) + 3 * conv(3, out, out)
            total += conv(1, read, out) if read != out else 0
        read = out
    return total + 2 * read + 10 * read + 10


def test_an_op_that_keeps_its_channels_is_refused_where_stages_change_them() -> None:
    cell = SHARED.replace("nor_conv_3x3~0|nor_conv", "avg_pool_3x3~0|nor_conv")
    with fails_with("E302") as caught:
        network(cell, space=replace(load_space("natsbench_size"), size=(("stage3", 8),)))
    assert "'avg_pool_3x3' cannot turn 64 channels into 8" in caught.value.message
