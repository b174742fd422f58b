"""Equal ids mean equal networks: weights follow the correspondence, results stay what they were."""

import re
from collections import defaultdict
from collections.abc import Mapping
from random import Random

import hypothesis.strategies as st
import torch
from hypothesis import given

import lowering
import nasir
from nasir import Builder, CellGenotype, Edge, Genotype, Graph, ImageType, load_space
from nasir.canonical.terms import Place
from nasir.space.skeletons import add_cell
from tests.strategies import darts_cells, examples, relabelled

Weights = dict[str, torch.Tensor]

EDGE = re.compile(r"(c\d*/n\d+\.e\d+/[^/]+)/")
"""The keys of an edge's weights, by the edge's name."""


def edge_names(cell: CellGenotype) -> dict[Place, str]:
    """The name of each edge's macro below its cell's, as skeletons give it."""
    names: dict[Place, str] = {}
    for state, edges in enumerate(cell.nodes, start=cell.inputs):
        seen: dict[Edge, int] = defaultdict(int)
        for slot, edge in enumerate(edges):
            twins = f"#{seen[edge] + 1}" if seen[edge] else ""
            names[state, slot] = f"n{state}.e{edge.source}/{edge.op}{twins}"
            seen[edge] += 1
    return names


def random_weights(module: torch.nn.Module, seed: int) -> Weights:
    """Weights and statistics of no special value."""
    generator = torch.Generator().manual_seed(seed)
    found: Weights = {}
    for key, value in module.state_dict().items():
        drawn = torch.rand(value.shape, generator=generator, dtype=torch.float64)
        found[key] = drawn + 0.5 if key.endswith("running_var") else drawn - 0.5
    return found


def carried(weights: Weights, renamed: Mapping[str, str], target: torch.nn.Module) -> Weights:
    """The weights for `target`: an edge's by `renamed`, as far as they fit; all others by key.

    What is left is random: weights that no output needs, and what a zero input made unimportant,
    as the kernels of convolutions.
    """
    found = random_weights(target, 99)
    for key, value in weights.items():
        edge = EDGE.match(key)
        if edge is None:
            found[key] = value
        elif edge[1] in renamed:
            name = renamed[edge[1]] + key[edge.end(1) :]
            if name in found and found[name].shape == value.shape:
                found[name] = value
    return found


def renamings(
    first: Genotype, second: Genotype, cells: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, tuple[int, ...]]]:
    """Prefix to prefix for each instance of a cell, and by kind how the outputs go."""
    pairs = nasir.correspondence(first, second)
    assert pairs is not None
    names: dict[str, str] = {}
    for pair in pairs:
        one, two = edge_names(first.cell(pair.kind)), edge_names(second.cell(pair.kind))
        for instance, kind in cells.items():
            if kind == pair.kind:
                names |= {f"{instance}/{one[a]}": f"{instance}/{two[b]}" for a, b in pair.edges}
    return names, {pair.kind: pair.outputs for pair in pairs}


def results(graph: Graph, weights: Weights, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """What a network computes in inference and in training, in double precision."""
    module = lowering.to_torch(graph, optimise=False).double()
    module.load_state_dict(weights)
    return [module.eval()(*inputs), module.train()(*inputs)]


def module_of(graph: Graph) -> torch.nn.Module:
    return lowering.to_torch(graph, optimise=False).double()


def tiny(genotype: Genotype) -> Graph:
    """A network of three cells."""
    return nasir.network(genotype, channels=4, layers=1, classes=3, resolution=8)


def classes(random: Random) -> list[list[Genotype]]:
    """Drawn cells of NAS-Bench-201 that are not alone in their class."""
    found: dict[str, list[Genotype]] = defaultdict(list)
    for index in random.sample(range(15_625), 1200):
        genotype = nasir.unrank(load_space("nasbench201"), index)
        found[nasir.canonical_id(genotype)].append(genotype)
    return [members for members in found.values() if len(members) > 1]


def test_members_of_nasbench201_classes_are_one_network() -> None:
    random = Random(0)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for members in random.sample(classes(random), 15):
        first, second = random.sample(members, 2)
        one, two = tiny(first), tiny(second)
        weights = random_weights(module_of(one), 1)
        names, _ = renamings(first, second, {f"c{i:02d}": "cell" for i in range(3)})
        other = carried(weights, names, module_of(two))
        for a, b in zip(results(one, weights, image), results(two, other, image), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def cell_graph(cell: CellGenotype) -> Graph:
    """A cell alone, its edges from its inputs strided if it reduces."""
    size = ImageType(4, 8, 8)
    builder = Builder(**{f"x{i}": size for i in range(cell.inputs)})
    inputs = [f"x{i}" for i in range(cell.inputs)]
    return builder.graph(
        add_cell(
            builder, "c", cell.kind, {cell.kind: cell}, inputs, 2 if cell.kind == "reduce" else 1
        )
    )


def assert_one_cell(first: CellGenotype, second: CellGenotype) -> None:
    """The two compute the same but for the order of the output's parts."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 4, 8, 8, generator=generator, dtype=torch.float64) for _ in range(2)]
    one, two = cell_graph(first), cell_graph(second)
    weights = random_weights(module_of(one), 1)
    names, outputs = renamings(Genotype("x", (first,)), Genotype("x", (second,)), {"c": first.kind})
    other = carried(weights, names, module_of(two))
    for a, b in zip(results(one, weights, *inputs), results(two, other, *inputs), strict=True):
        parts = b.split(4, dim=1)
        moved = torch.cat([parts[place] for place in outputs[first.kind]], dim=1)
        torch.testing.assert_close(a, moved, rtol=1e-9, atol=1e-9)


@given(data=st.data(), kind=st.sampled_from(("normal", "reduce")))
@examples(25)
def test_a_relabelled_cell_computes_the_same(data: st.DataObject, kind: str) -> None:
    cell = data.draw(darts_cells(kind))
    assert_one_cell(cell, data.draw(relabelled(cell)))


DARTS = {"c00": "normal", "c01": "reduce", "c02": "reduce"}
"""The cells of a network of three, in the cifar skeleton."""


@given(data=st.data())
@examples(6)
def test_a_network_of_relabelled_cells_computes_the_same(data: st.DataObject) -> None:
    """What reads a cell has its weights reordered as the parts of the cell's output are."""
    first = nasir.sample(load_space("darts"), data.draw(st.integers(0, 99)))
    second = Genotype("darts", tuple(data.draw(relabelled(cell)) for cell in first.cells))
    one, two = (
        nasir.network(g, channels=2, layers=3, classes=3, resolution=8) for g in (first, second)
    )
    weights = random_weights(module_of(one), 1)
    names, outputs = renamings(first, second, DARTS)
    other = carried(weights, names, module_of(two))
    for read, readers in READERS.items():
        for key in other:
            if key.startswith(readers) and key.endswith(READING):
                parts = other[key].chunk(4, dim=1)
                places = outputs[DARTS[read]]
                moved = [parts[places.index(place)] for place in range(4)]
                other[key] = torch.cat(moved, dim=1)
    image = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    for a, b in zip(results(one, weights, image), results(two, other, image), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


READERS = {"c00": ("c01/pre1/", "c02/pre0/"), "c01": ("c02/pre1/",), "c02": ("head/",)}
READING = ("conv.weight", "conv1.weight", "conv2.weight", "linear.weight")
