"""Laws of computing with spaces, over every shipped space."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given

import nasir
from nasir import CellGenotype, Edge, Genotype, Space
from nasir.space import catalog
from nasir.space.layout import DEPTHS
from tests.strategies import examples, spaces

SPACES = pytest.mark.parametrize("space", catalog().values(), ids=catalog())
WITH_NEIGHBOURS = pytest.mark.parametrize(
    "space", [pytest.param(s, id=s.name) for s in catalog().values() if nasir.size(s) > 1]
)
SEEDS = st.integers(0, 2**64)


@st.composite
def members(draw: st.DrawFn, space: Space) -> Genotype:
    return nasir.unrank(space, draw(st.integers(0, nasir.size(space) - 1)))


@SPACES
@given(data=st.data())
@examples(50)
def test_rank_inverts_unrank(space: Space, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, nasir.size(space) - 1))
    genotype = nasir.unrank(space, index)
    assert nasir.rank(space, genotype) == index
    assert space.contains(genotype) == ()


@WITH_NEIGHBOURS
@given(data=st.data(), seed=SEEDS)
@examples(25)
def test_a_mutant_is_in_the_space_and_differs_in_one_decision(
    space: Space, data: st.DataObject, seed: int
) -> None:
    genotype = data.draw(members(space))
    mutant = nasir.mutate(space, genotype, seed)
    assert space.contains(mutant) == ()
    if space.cells[0].node_ops:
        _differs_in_one_node_or_edge(genotype.cells[0], mutant.cells[0])
        return
    if space.open_size:
        assert len(set(genotype.size) - set(mutant.size)) == 1
        assert genotype.cells == mutant.cells
        return
    gone, come = _edges(genotype) - _edges(mutant), _edges(mutant) - _edges(genotype)
    pairs = zip(genotype.cells, mutant.cells, strict=True)
    outputs = sorted(len(set(one.output) ^ set(other.output)) for one, other in pairs)
    if any(outputs):
        assert outputs == [*[0] * (len(outputs) - 1), 1]
        assert not gone
        assert not come
        return
    ((kind, node, old),), ((other_kind, other_node, new),) = gone, come
    assert (kind, node) == (other_kind, other_node)
    if old.source != new.source and old.op != new.op:
        assert not _ops(space, kind, node, old) & _ops(space, kind, node, new)


def _differs_in_one_node_or_edge(first: CellGenotype, second: CellGenotype) -> None:
    rows, others = (*first.sources, first.output), (*second.sources, second.output)
    if len(rows) != len(others):
        assert abs(len(rows) - len(others)) == 1
        return
    changes = sum(a != b for a, b in zip(first.ops, second.ops, strict=True))
    edges = [set(a) ^ set(b) for a, b in zip(rows, others, strict=True)]
    changed = [row for row in edges if row]
    assert changes + len(changed) == 1
    assert not changed or len(changed[0]) <= 2


@WITH_NEIGHBOURS
@given(data=st.data())
@examples(8)
def test_being_neighbours_is_mutual(space: Space, data: st.DataObject) -> None:
    genotype = data.draw(members(space))
    found = list(nasir.neighbours(space, genotype))
    assert genotype not in found
    assert len(set(found)) == len(found)
    other = data.draw(st.sampled_from(found))
    assert genotype in nasir.neighbours(space, other)


@SPACES
@given(data=st.data(), seed=SEEDS)
@examples(25)
def test_a_child_is_in_the_space_and_has_its_edges_from_its_parents(
    space: Space, data: st.DataObject, seed: int
) -> None:
    first, second = data.draw(members(space)), data.draw(members(space))
    child = nasir.crossover(space, first, second, seed)
    assert space.contains(child) == ()
    assert set(_edges(child)) <= set(_edges(first)) | set(_edges(second))
    assert set(child.size) <= set(first.size) | set(second.size)
    assert nasir.crossover(space, first, first, seed) == first


@given(space=spaces())
@examples(40)
def test_a_space_with_open_numbers_is_what_is_listed(space: Space) -> None:
    found = list(nasir.enumerate_genotypes(space))
    assert len(set(found)) == len(found) == nasir.size(space)
    assert [nasir.rank(space, genotype) for genotype in found] == list(range(len(found)))
    for genotype in found[::7]:
        assert space.contains(genotype) == ()
        near = list(nasir.neighbours(space, genotype))
        assert set(near) <= set(found) - {genotype}
        assert all(genotype in nasir.neighbours(space, other) for other in near[:3])
        apart = sum(other.size != genotype.size for other in near)
        assert apart == sum(len(numbers) - 1 for _, numbers in space.open_size)
        assert nasir.load_genotype(nasir.dump_genotype(genotype)) == genotype
    same = [g for g in found if g.cells == found[0].cells]
    assert len({nasir.canonical_id(genotype) for genotype in same}) == len(same)


@given(space=spaces(), data=st.data())
@examples(20)
def test_a_network_has_the_numbers_of_its_genotype(space: Space, data: st.DataObject) -> None:
    genotype = data.draw(members(space))
    graph = nasir.network(genotype, resolution=8)
    size = {"channels": 16, "layers": 5, **dict(space.size), **dict(genotype.size)}
    depths = [size.get(name, size["layers"]) for name in DEPTHS]
    assert len(graph.cells) == sum(depths)
    assert graph.types["stem"].shape[0] == size["channels"]
    assert len(nasir.network(genotype, resolution=8, layers=2).cells) == 6
    assert len(nasir.supernet(space, layers=1).cells) == 3
    wide = nasir.supernet(space).about
    assert {wide.get(n, wide.get("layers")) for n, _ in space.open_size} <= {
        str(number) for _, number in space.largest
    }


def _ops(space: Space, kind: str, node: int, edge: Edge) -> set[str]:
    """The ops that may stand where the edge stands."""
    cell = space.cell(kind)
    possible = {e.source: e.ops for e in cell.into(cell.inputs + node)}
    return set(possible[edge.source])


def _edges(genotype: Genotype) -> Counter[tuple[str, int, Edge]]:
    return Counter(
        (cell.kind, state, edge)
        for cell in genotype.cells
        for state, edges in enumerate(cell.nodes)
        for edge in edges
    )
