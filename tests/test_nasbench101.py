"""NAS-Bench-101's modules: hash, pruning, limits; how many there are, and those of 1Shot1."""

from collections import Counter
from itertools import permutations
from random import Random

import pytest
from hypothesis import given

import nasir
from nasir import CellGenotype, Genotype, nasbench101_hash
from nasir.space.nasbench101 import (
    OPS,
    Module,
    cell_of,
    limits_broken,
    live_cell,
    module_hash,
    module_of,
    pruned,
)
from tests.node_cells import (
    INCEPTION,
    node_cell,
    node_cells,
    node_genotypes,
    one_shot_genotypes,
    one_shot_module,
)

CONV3, CONV1, POOL = OPS
BARE = CellGenotype("cell", 1, (), (0,))


def genotype(cell: CellGenotype) -> Genotype:
    return Genotype("nasbench101", (cell,))


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (INCEPTION.cells[0], "28cfc7874f6d200472e1a9dcd8650aa0"),
        (BARE, "043721b9c7fe8c5fad811d47d83132ec"),
        (node_cell([[0]], [1], [CONV3]), "b49ac8c578b4561d79ac7087988f1c61"),
        (node_cell([[0]], [0, 1], [CONV3]), "d32d0b26d534203b48d866facd98cc3e"),
    ],
)
def test_a_module_has_the_benchmarks_hash(cell: CellGenotype, name: str) -> None:
    assert nasir.nasbench101_hash(genotype(cell)) == name


def test_the_module_that_the_benchmark_stores_is_the_readmes_by_its_hash() -> None:
    """The answer to a query has the vertices in another order."""
    stored = node_cell([[0], [0], [0], [0], [4]], [1, 2, 3, 5], [CONV3, CONV1, POOL, CONV3, CONV3])
    assert nasbench101_hash(genotype(stored)) == nasbench101_hash(INCEPTION)


@given(node_cells(4))
def test_the_hash_does_not_depend_on_the_order_of_vertices(cell: CellGenotype) -> None:
    module = module_of(live_cell(cell))
    names: set[str] = set()
    size = len(module.ops)
    for inner in permutations(range(1, size - 1)):
        order = (0, *inner, size - 1)
        rows = tuple(tuple(module.matrix[x][y] for y in order) for x in order)
        if all(not rows[x][y] for x in range(size) for y in range(x + 1)):
            names.add(module_hash(Module(rows, tuple(module.ops[v] for v in order))))
    assert len(names) == 1


@given(node_cells())
def test_pruning_leaves_what_lies_on_a_path_and_the_hash_alone(cell: CellGenotype) -> None:
    live = live_cell(cell)
    readers = (*live.sources, live.output)
    assert all(any(state in row for row in readers) for state in range(len(live.nodes) + 1))
    assert live_cell(live) == live
    if not limits_broken(module_of(cell)):
        assert nasbench101_hash(genotype(cell)) == nasbench101_hash(genotype(live))


@given(node_cells())
def test_a_cell_is_the_cell_of_its_module(cell: CellGenotype) -> None:
    assert cell_of(module_of(cell)) == cell


def test_limits_hold_after_pruning() -> None:
    ring = [[0], [1], [2], [3], [4], [5]]
    loose = node_cell(ring, [5], [CONV3] * 6)
    assert limits_broken(module_of(loose)) == ()
    longer = node_cell(ring, [6], [CONV3] * 6)
    assert limits_broken(module_of(longer)) == ("it has 8 vertices, and at most 7 are allowed",)
    dense = node_cell([[0], [0, 1], [0, 1, 2], [0, 1, 2]], [3, 4], [CONV3] * 4)
    assert limits_broken(module_of(dense)) == ("it has 11 edges, and at most 9 are allowed",)
    other = node_cell([[0]], [1], ["nor_conv_3x3"])
    assert limits_broken(module_of(other)) == ("the op 'nor_conv_3x3' is not allowed",)


def test_there_are_as_many_modules_as_published() -> None:
    """1, 6, 84 and 2441 of them with up to three nodes, which are more where they are labelled."""
    space = nasir.load_space("nasbench101")
    assert nasir.size(space) == 1_293_208
    few = [nasir.unrank(space, index) for index in range(3364)]
    assert Counter(len(one.cells[0].nodes) for one in few) == {0: 1, 1: 6, 2: 90, 3: 3267}
    sizes = {nasbench101_hash(one): len(one.cells[0].nodes) for one in few}
    assert Counter(sizes.values()) == {0: 1, 1: 6, 2: 84, 3: 2441}


@pytest.mark.slow
def test_there_are_423624_modules() -> None:
    assert len(set(map(nasbench101_hash, nasir.enumerate_genotypes("nasbench101")))) == 423_624


@pytest.mark.parametrize(
    ("number", "raw", "distinct"),
    [
        (1, 14_580, 2_685),
        (2, 29_160, 7_773),
        pytest.param(3, 1_312_200, 55_854, marks=pytest.mark.slow),
    ],
)
def test_the_spaces_of_1shot1_are_as_large_as_published(
    number: int, raw: int, distinct: int
) -> None:
    space = nasir.load_space(f"nasbench1shot1_{number}")
    assert nasir.size(space) == raw
    assert len(set(map(nasbench101_hash, nasir.enumerate_genotypes(space)))) == distinct


def test_samples_are_uniform_over_the_labelled_cells() -> None:
    text = (
        "nasir: 1\nspace: s\nskeleton: nasbench101\ncells:\n  cell:\n    node_ops: [maxpool3x3]\n"
    )
    space = nasir.load_space(f"{text}    most_nodes: 2\n    most_edges: 9\n")
    random, draws = Random(0), 13_000
    found = Counter(nasir.sample(space, random) for _ in range(draws))
    assert len(found) == nasir.size(space) == 13
    assert all(abs(count - draws / 13) < 150 for count in found.values())


@given(one_shot_genotypes())
def test_a_cell_of_1shot1_has_the_name_of_the_module_that_its_code_asks_for(
    one: Genotype,
) -> None:
    module = one_shot_module(one.cells[0])
    assert len(module.matrix) == 7
    live = pruned(module)
    assert live is not None
    assert module_hash(live) == nasbench101_hash(one)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (node_cell([[0]], [1], [CONV3]), "cell 'cell' has 1 nodes, not 4"),
        (
            node_cell([[0], [1], [0, 1], [0, 1]], [0, 1], [CONV3] * 4),
            "node 2 of cell 'cell' reads 1 nodes, not 2",
        ),
        (
            node_cell([[0], [0, 1], [0, 1], [0, 1]], [0, 1, 2], [CONV3] * 4),
            "the output of cell 'cell' reads 3 nodes, not 2",
        ),
        (
            node_cell([[0], [0, 1], [0, 1], [0, 1]], [0, 1], [CONV3] * 3 + ["noise"]),
            "node 4 of cell 'cell' cannot apply 'noise'",
        ),
    ],
)
def test_a_space_of_1shot1_says_why_a_cell_is_not_in_it(cell: CellGenotype, reason: str) -> None:
    assert reason in nasir.load_space("nasbench1shot1_1").contains(genotype(cell))


@given(node_genotypes())
def test_what_has_a_hash_is_in_the_space_of_the_benchmark(one: Genotype) -> None:
    inside = nasir.load_space("nasbench101").contains(one) == ()
    assert inside == (not limits_broken(module_of(one.cells[0])))


def test_ops_on_edges_are_outside_spaces_of_ops_on_nodes_and_the_other_way_round() -> None:
    string = nasir.load_genotype("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    reasons = nasir.load_space("nasbench101").contains(string)
    assert reasons == ("cell 'cell': its ops stand on edges, not on nodes",)
    reasons = nasir.load_space("nasbench201").contains(INCEPTION)
    assert reasons == ("cell 'cell': its ops stand on nodes, not on edges",)
