"""Networks of cells with ops on nodes: widths, published sizes, and values against a reference."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

import lowering
import nasir
from nasir import CellGenotype, Genotype
from nasir.space.builders import node_widths
from nasir.space.nasbench101 import OPS, live_cell, module_of
from tests.node_cells import INCEPTION, node_cell, node_cells, one_shot_genotypes
from tests.refusals import fails_with
from tests.strategies import examples

CONV3, CONV1, POOL = OPS
MIXED = node_cell([[0], [0, 1], [1], [1, 3]], [0, 2, 3, 4], [POOL, CONV3, CONV1, POOL])
"""Divides its channels among three nodes, and truncates, projects and adds the input."""


def genotype(cell: CellGenotype) -> Genotype:
    return Genotype("nasbench101", (cell,))


def test_the_readmes_cell_has_the_published_number_of_parameters() -> None:
    """NAS-Bench-101 answers trainable_parameters: 2694282."""
    assert nasir.cost(nasir.network(INCEPTION)).params == 2_694_282


def test_the_bare_module_is_a_projection() -> None:
    """Derived by hand: a stem, nine 1x1 convolutions with batch norm, a classifier."""
    bare = genotype(CellGenotype("cell", 1, (), (0,)))
    pairs = [(128, 128)] * 3 + [(128, 256)] + [(256, 256)] * 2 + [(256, 512)] + [(512, 512)] * 2
    expected = 27 * 128 + 2 * 128 + sum(i * o + 2 * o for i, o in pairs) + 5130
    assert nasir.cost(nasir.network(bare)).params == expected


@pytest.mark.parametrize(
    ("cell", "channels", "widths"),
    [
        (INCEPTION.cells[0], 128, (32, 32, 32, 32, 32)),
        (MIXED, 128, (43, 43, 43, 42)),
        (MIXED, 256, (86, 86, 85, 85)),
        (node_cell([[0], [1], [1]], [2, 3], [CONV3] * 3), 7, (4, 4, 3)),
        (node_cell([[0], [1], [2]], [3], [CONV3] * 3), 7, (7, 7, 7)),
        (node_cell([[0], [1]], [0, 2], [CONV3] * 2), 7, (7, 7)),
    ],
)
def test_widths_follow_the_graph(
    cell: CellGenotype, channels: int, widths: tuple[int, ...]
) -> None:
    assert node_widths(cell, channels) == widths


@given(node_cells(5), st.integers(6, 40))
def test_a_node_is_never_wider_than_what_it_reads(cell: CellGenotype, channels: int) -> None:
    live = live_cell(cell)
    widths = (channels, *node_widths(live, channels))
    for width, sources in zip(widths[1:], live.sources, strict=True):
        assert all(widths[source] >= width for source in sources if source)
    fed = [widths[state] for state in live.output if state]
    assert sum(fed) == channels or live.output == (0,)


def test_too_few_channels_are_refused() -> None:
    with fails_with("E302", "2 channels cannot be divided among the 4"):
        nasir.network(INCEPTION, channels=2)


@pytest.mark.parametrize(
    ("given_", "skeleton", "message"),
    [
        (INCEPTION, "nasbench201", "on nodes, not on edges"),
        (
            nasir.load_genotype("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"),
            "nasbench101",
            "on edges, not on nodes",
        ),
    ],
)
def test_a_skeleton_takes_ops_on_edges_or_on_nodes(
    given_: Genotype, skeleton: str, message: str
) -> None:
    with fails_with("E505", message):
        nasir.network(given_, skeleton)


def block(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Convolution, batch norm in training, ReLU."""
    weight = state[f"{name}/conv.weight"]
    x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
    scale, shift = state[f"{name}/bn.weight"], state[f"{name}/bn.bias"]
    return F.relu(F.batch_norm(x, None, None, scale, shift, training=True))


def module_value(state: Mapping[str, Tensor], name: str, cell: CellGenotype, x: Tensor) -> Tensor:
    """A module as the benchmark's text describes it, from its matrix."""
    module = module_of(cell)
    last = len(module.ops) - 1
    values: list[Tensor] = [x]
    for vertex in range(1, last):
        key = f"{name}/n{vertex}/{module.ops[vertex]}"
        read = [values[v] for v in range(1, vertex) if module.matrix[v][vertex]]
        if module.matrix[0][vertex]:
            read.append(block(state, f"{name}/n{vertex}.e0/conv_bn_relu", x))
        width = min(value.shape[1] for value in read)
        if f"{key}/conv.weight" in state:
            width = state[f"{key}/conv.weight"].shape[1]
        total = torch.stack([value[:, :width] for value in read]).sum(0)
        pooled = F.max_pool2d(total, 3, 1, 1)
        values.append(pooled if module.ops[vertex] == POOL else block(state, key, total))
    fed = [values[v] for v in range(1, last) if module.matrix[v][last]]
    out = torch.cat(fed, 1) if fed else None
    if module.matrix[0][last]:
        added = block(state, f"{name}/out.e0/conv_bn_relu", x)
        out = added if out is None else out + added
    assert out is not None
    return out


@examples(25)
@given(node_cells(5), st.integers(5, 9), st.integers(8, 9))
def test_a_network_computes_what_the_benchmark_describes(
    cell: CellGenotype, channels: int, pixels: int
) -> None:
    # Where widths differ by one, a maximum may drop a channel, which no weight of it says.
    assume(POOL not in cell.ops or channels % max(len(live_cell(cell).output) - 1, 1) == 0)
    assume(POOL not in cell.ops or channels % max(len(live_cell(cell).output), 1) == 0)
    graph = nasir.network(genotype(cell), channels=channels, layers=1, resolution=pixels)
    network = lowering.to_torch(graph, seed=1).double()
    state = network.state_dict()
    image = torch.randn(2, 3, pixels, pixels, dtype=torch.float64)
    live = live_cell(cell)
    x = block(state, "stem", image)
    for number in range(3):
        x = F.max_pool2d(x, 2, 2, ceil_mode=True) if number else x
        x = module_value(state, f"c{number:02d}", live, x)
    expected = F.linear(x.mean((2, 3)), state["head/linear.weight"], state["head/linear.bias"])
    torch.testing.assert_close(network(image), expected, rtol=1e-9, atol=1e-9)


@examples(15)
@given(one_shot_genotypes())
def test_a_discrete_1shot1_network_is_the_one_shot_model_with_hard_choices(one: Genotype) -> None:
    """The model's cell: nodes of equal width, weighted by 0 and 1, each with a projected input."""
    graph = nasir.network(one, channels=2, layers=1, resolution=8)
    network = lowering.to_torch(graph, seed=2).double()
    state = network.state_dict()
    (cell,) = one.cells
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    x = F.max_pool2d(block(state, "stem", image), 2, 2, 1)
    needed = set(cell.output)
    for node in range(len(cell.nodes), 0, -1):
        needed |= set(cell.sources[node - 1]) if node in needed else set()
    values: dict[int, Tensor] = {}
    for node in sorted(needed - {0}):
        op, sources = cell.ops[node - 1], cell.sources[node - 1]
        read = [values[source] for source in sources if source]
        if 0 in sources:
            read.append(block(state, f"c00/n{node}.e0/conv_bn_relu", x))
        total = torch.stack(read).sum(0)
        pooled = F.max_pool2d(total, 3, 1, 1)
        values[node] = pooled if op == POOL else block(state, f"c00/n{node}/{op}", total)
    nodes = range(1, len(cell.nodes) + 1)
    zero = torch.zeros_like(next(iter(values.values())))
    joined = torch.cat([values[n] if n in cell.output else zero for n in nodes], 1)
    if 0 in cell.output:
        joined = joined + block(state, "c00/out.e0/conv_bn_relu", x)
    x = F.conv2d(F.relu(joined), state["tail/conv.weight"])
    x = F.batch_norm(x, None, None, None, None, training=True).mean((2, 3))
    expected = F.linear(x, state["head/linear.weight"], state["head/linear.bias"])
    torch.testing.assert_close(network(image), expected, rtol=1e-9, atol=1e-9)


def test_the_pools_of_1shot1_make_17_and_9_pixels_of_32() -> None:
    text = dict(nasir.network(INCEPTION, "nasbench1shot1").types)
    assert [text[f"pool{i:02d}"].shape[1:] for i in (3, 6)] == [(17, 17), (9, 9)]


@pytest.mark.parametrize("skeleton", ["nasbench101", "nasbench1shot1"])
def test_an_onnx_file_gives_its_module_back(skeleton: str, tmp_path: Path) -> None:
    graph = nasir.network(genotype(MIXED), skeleton, channels=7, layers=3, resolution=16)
    path = lowering.to_onnx(graph, lowering.to_torch(graph), tmp_path / "net.onnx")
    assert nasir.load_genotype(path) == genotype(MIXED)
