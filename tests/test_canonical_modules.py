"""Canonical ids of cells with ops on nodes."""

from itertools import permutations

import pytest
import torch
from hypothesis import given

import lowering
import nasir
from nasir import CellGenotype, Genotype, nasbench101_hash
from nasir.space.nasbench101 import Module, cell_of, live_cell, module_of
from tests.node_cells import node_genotypes


def renamed(cell: CellGenotype) -> list[CellGenotype]:
    """The cell with its live vertices in every order that keeps edges forward."""
    module = module_of(live_cell(cell))
    size = len(module.ops)
    found: list[CellGenotype] = []
    for inner in permutations(range(1, size - 1)):
        order = (0, *inner, size - 1)
        matrix = tuple(tuple(module.matrix[x][y] for y in order) for x in order)
        if all(not matrix[x][y] for x in range(size) for y in range(x + 1)):
            found.append(cell_of(Module(matrix, tuple(module.ops[v] for v in order)), cell.kind))
    return found


@given(node_genotypes(4))
def test_renaming_vertices_keeps_the_id_where_the_output_is_read_in_the_same_order(
    genotype: Genotype,
) -> None:
    expected = nasir.canonical_id(genotype)
    for cell in renamed(genotype.cells[0]):
        other = Genotype(genotype.space, (cell,))
        pairs = nasir.correspondence(genotype, other)
        if nasir.canonical_id(other) == expected:
            assert pairs is not None
        else:
            assert len(cell.output) > 1


@given(node_genotypes())
def test_what_is_pruned_does_not_change_the_id(genotype: Genotype) -> None:
    live = Genotype(genotype.space, (live_cell(genotype.cells[0]),))
    assert nasir.canonical_id(live) == nasir.canonical_id(genotype)


def test_ids_never_join_modules_of_different_hashes() -> None:
    space = nasir.load_space("nasbench101")
    hashes: dict[str, str] = {}
    for index in range(3364):
        genotype = nasir.unrank(space, index)
        name = nasbench101_hash(genotype)
        assert hashes.setdefault(nasir.canonical_id(genotype), name) == name
    assert len(set(hashes.values())) == 2532
    assert len(hashes) >= 2532


@pytest.mark.parametrize("seed", range(6))
def test_equal_modules_compute_the_same_with_weights_carried(seed: int) -> None:
    space = nasir.load_space("nasbench101")
    genotype = nasir.sample(space, seed)
    expected = nasir.canonical_id(genotype)
    image = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    first = lowering.to_torch(_small(genotype)).double()
    compared = 0
    for cell in renamed(genotype.cells[0])[:8]:
        other = Genotype("nasbench101", (cell,))
        if nasir.canonical_id(other) != expected:
            continue
        found = nasir.correspondence(genotype, other)
        assert found is not None
        (pairs,) = found
        second = lowering.to_torch(_small(other), seed=9).double()
        second.load_state_dict(_carried(first.state_dict(), pairs.edges))
        torch.testing.assert_close(second(image), first(image), rtol=1e-9, atol=1e-9)
        compared += 1
    assert compared


def _small(genotype: Genotype) -> nasir.Graph:
    return nasir.network(genotype, channels=10, layers=1, resolution=16)


def _carried(
    state: dict[str, torch.Tensor], edges: tuple[tuple[tuple[int, int], tuple[int, int]], ...]
) -> dict[str, torch.Tensor]:
    """The state with the weights of each node under the name of the node it corresponds to."""
    names = {f"n{a}": f"n{b}" for (a, _), (b, _) in edges}
    found: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        cell, slash, rest = key.partition("/")
        head = rest.split("/")[0].split(".")[0]
        moved = rest.replace(head, names[head], 1) if head in names else rest
        found[f"{cell}{slash}{moved}" if slash else key] = value
    return found
