"""Laws of the passes, as graphs go in and graphs come out."""

from collections import Counter

import networkx as nx
from hypothesis import given

from nasir import PASSES, Genotype, Graph, Node, cost, network, print_graph, run_passes
from nasir.node import default_params
from nasir.ops import Macro, ParamRef
from nasir.passes import INFERENCE, cse, dead_code, expand, validate
from nasir.template import meaning
from tests.strategies import darts_genotypes, examples, graphs

EVERY = tuple(PASSES.values())


@examples(40)
@given(graphs())
def test_a_pass_run_twice_does_nothing_more(graph: Graph) -> None:
    for row in EVERY:
        once = row.run(graph)
        assert row.run(once) == once, row.name


@examples(30)
@given(graphs())
def test_a_pass_keeps_the_types_of_the_outputs_inputs_meta_and_choices(graph: Graph) -> None:
    for row in EVERY:
        after = row.run(graph)
        for before, name in zip(_outputs(graph), _outputs(after), strict=True):
            assert after.types[name] == graph.types[before], row.name
        assert (after.inputs[: len(graph.inputs)], after.meta) == (graph.inputs, graph.meta)
        assert after.choices == graph.choices, row.name


@examples(30)
@given(graphs())
def test_a_graph_is_valid_after_a_pass(graph: Graph) -> None:
    validate(graph)
    for row in EVERY:
        assert validate(row.run(graph)) is not None, row.name


@examples(30)
@given(graphs())
def test_a_pass_does_the_same_each_time_and_leaves_its_graph_as_it_was(graph: Graph) -> None:
    before = print_graph(graph)
    for row in EVERY:
        assert print_graph(row.run(graph)) == print_graph(row.run(graph)), row.name
        assert print_graph(graph) == before, row.name


@examples(40)
@given(graphs())
def test_a_pass_adds_only_weights_that_derive_from_those_there(graph: Graph) -> None:
    graph = expand(graph)
    there = set(graph.params)
    for row in EVERY:
        for ref in row.run(graph).params:
            parts = {part for _, part in ref.parts}
            frozen = row.name == "freeze-noise" and ref.buffer
            assert ref in there or (parts and parts <= there) or frozen, row.name


@examples(60)
@given(graphs())
def test_dead_code_removes_exactly_what_is_no_ancestor_of_an_output(graph: Graph) -> None:
    ancestors = set(_outputs(graph))
    for name in _outputs(graph):
        ancestors |= nx.ancestors(graph.nx, name)
    kept = [node for node in graph.nodes if node.name in ancestors]
    assert list(dead_code(graph).nodes) == kept


@examples(60)
@given(graphs())
def test_cse_keeps_every_random_node_and_every_macro(graph: Graph) -> None:
    def count(of: Graph) -> Counter[str]:
        return Counter(n.op.name for n in of if n.has("random") or isinstance(n.op, Macro))

    assert count(cse(graph)) == count(graph)


@examples(60)
@given(graphs())
def test_after_cse_no_two_nodes_compute_the_same(graph: Graph) -> None:
    nodes = [node for node in cse(expand(graph)) if not node.has("random")]
    assert len({node.identity for node in nodes}) == len(nodes)


@examples(40)
@given(graphs())
def test_expanding_leaves_primitives_with_the_weights_of_their_templates(graph: Graph) -> None:
    after = expand(graph)
    for node in after:
        assert not isinstance(node.op, Macro)
        assert [ref.shape for ref in node.params] == [ref.shape for ref in _own(after, node)]


@examples(60)
@given(graphs())
def test_expanding_keeps_the_cost(graph: Graph) -> None:
    assert cost(expand(graph)) == cost(graph)


@examples(15)
@given(darts_genotypes())
def test_a_darts_network_goes_through_every_pass(genotype: Genotype) -> None:
    graph = network(genotype, channels=4, layers=3)
    after, records = run_passes(graph, INFERENCE)
    assert validate(after).types[after.outputs[0]] == graph.types[graph.outputs[0]]
    assert [record.name for record in records] == [row.name for row in INFERENCE]


def _outputs(graph: Graph) -> tuple[str, ...]:
    return (*graph.outputs, *graph.auxiliary)


def _own(graph: Graph, node: Node) -> tuple[ParamRef, ...]:
    """The weights that the node would have by itself."""
    types = tuple(graph.types[name] for name in node.inputs)
    return default_params(node.name, meaning(node.op, node.attrs, types).params)
