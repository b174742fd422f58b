"""Laws of canonical ids: what they must not depend on, and that weights can follow them."""

import hypothesis.strategies as st
import networkx as nx
from hypothesis import given

import nasir
from nasir import CellGenotype, Edge, Genotype
from nasir.canonical.terms import behaviour
from nasir.macros import MACROS
from tests.strategies import darts_genotypes, examples, nasbench201_genotypes, relabelled

ANY = st.one_of(darts_genotypes(), nasbench201_genotypes())


@given(data=st.data(), genotype=ANY)
@examples(150)
def test_an_id_does_not_depend_on_the_order_of_nodes_edges_and_outputs(
    data: st.DataObject, genotype: Genotype
) -> None:
    cells = tuple(data.draw(relabelled(cell)) for cell in genotype.cells)
    other = Genotype("mine", tuple(data.draw(st.permutations(cells))), name="other")
    assert nasir.canonical_id(other) == nasir.canonical_id(genotype)


@given(data=st.data(), genotype=ANY)
@examples(100)
def test_an_edge_with_the_op_none_can_be_added_anywhere(
    data: st.DataObject, genotype: Genotype
) -> None:
    cell = data.draw(st.sampled_from(genotype.cells))
    state = data.draw(st.integers(cell.inputs, cell.inputs + len(cell.nodes) - 1))
    edge = Edge("none", data.draw(st.integers(0, state - 1)))
    index = state - cell.inputs
    longer = (*cell.nodes[:index], (*cell.nodes[index], edge), *cell.nodes[index + 1 :])
    other = CellGenotype(cell.kind, cell.inputs, longer, cell.output)
    cells = tuple(other if each is cell else each for each in genotype.cells)
    assert nasir.canonical_id(Genotype("x", cells)) == nasir.canonical_id(genotype)


@given(data=st.data(), genotype=ANY)
@examples(100)
def test_a_correspondence_pairs_edges_that_do_the_same(
    data: st.DataObject, genotype: Genotype
) -> None:
    other = Genotype("x", tuple(data.draw(relabelled(cell)) for cell in genotype.cells))
    pairs = nasir.correspondence(genotype, other)
    assert pairs is not None
    for pair in pairs:
        one, two = genotype.cell(pair.kind), other.cell(pair.kind)
        for (state, slot), (other_state, other_slot) in pair.edges:
            first = one.nodes[state - one.inputs][slot]
            second = two.nodes[other_state - two.inputs][other_slot]
            does, other_does = behaviour(MACROS[first.op], (1,)), behaviour(MACROS[second.op], (1,))
            assert does.label == other_does.label or does.at_zero == other_does.at_zero
        assert len({target for _, target in pair.edges}) == len(pair.edges)
        assert sorted(pair.outputs) == list(range(len(one.output)))


@st.composite
def convolution_cells(draw: st.DrawFn) -> CellGenotype:
    """Cells that are hard to tell apart: every edge a convolution, all nodes leave."""
    count = draw(st.integers(1, 4))
    nodes = tuple(
        tuple(Edge("sep_conv_3x3", draw(st.integers(0, i))) for _ in range(2)) for i in range(count)
    )
    output = draw(st.sets(st.integers(1, count), min_size=1))
    return CellGenotype("normal", 1, nodes, tuple(sorted(output)))


@given(first=convolution_cells(), second=convolution_cells())
@examples(300)
def test_cells_of_convolutions_are_equal_exactly_when_their_graphs_are_isomorphic(
    first: CellGenotype, second: CellGenotype
) -> None:
    ids = {nasir.canonical_id(Genotype("x", (cell,))) for cell in (first, second)}
    same = nx.is_isomorphic(_graph(first), _graph(second), node_match=lambda a, b: a == b)
    assert (len(ids) == 1) == same


def _graph(cell: CellGenotype) -> "nx.Graph[object]":
    """States, and edges as vertices of their own, without what the output does not need."""
    graph: nx.DiGraph[object] = nx.DiGraph()
    graph.add_node(0, what="input")
    graph.add_node("out", what="out")
    for state, edges in enumerate(cell.nodes, start=1):
        graph.add_node(state, what="sum")
        for slot, edge in enumerate(edges):
            graph.add_node((state, slot), what=edge.op)
            graph.add_edge(edge.source, (state, slot))
            graph.add_edge((state, slot), state)
    graph.add_edges_from((state, "out") for state in cell.output)
    return graph.subgraph({"out", *nx.ancestors(graph, "out")})
