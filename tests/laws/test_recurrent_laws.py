"""Laws of graphs that apply a body: text, passes and results, over random recurrent cells."""

import torch
from hypothesis import given

import lowering
from nasir import PASSES, Genotype, Graph, cost, network, parse_graph, print_graph, run_passes
from nasir.formats import dump_genotype, load_genotype
from nasir.passes import DISCRETE, EVALUATION, PLAIN, expand
from tests.strategies import examples, recurrent_genotypes


def small(genotype: Genotype) -> Graph:
    return network(genotype, vocabulary=9, hidden=4, auxiliary=True)


@examples(40)
@given(recurrent_genotypes())
def test_a_printed_graph_with_a_body_parses_to_an_equal_graph(genotype: Genotype) -> None:
    graph = small(genotype)
    assert parse_graph(print_graph(graph)) == graph
    after, _ = run_passes(graph, DISCRETE)
    assert parse_graph(print_graph(after)) == after


@examples(30)
@given(recurrent_genotypes())
def test_a_recurrent_genotype_round_trips(genotype: Genotype) -> None:
    assert load_genotype(dump_genotype(genotype)) == genotype
    if all(len(node) == 1 for node in genotype.cells[0].nodes):
        assert load_genotype(dump_genotype(genotype, "darts")) == genotype


@examples(15)
@given(recurrent_genotypes())
def test_a_pass_run_twice_does_nothing_more_to_a_body(genotype: Genotype) -> None:
    graph = expand(small(genotype))
    for row in PASSES.values():
        once = row.run(graph)
        assert row.run(once) == once, row.name
        assert [once.types[x] for x in once.outputs] == [graph.types[x] for x in graph.outputs]
        assert set(once.params) <= set(graph.params), row.name


@examples(30)
@given(recurrent_genotypes())
def test_expanding_a_body_keeps_the_cost(genotype: Genotype) -> None:
    graph = small(genotype)
    assert cost(expand(graph)) == cost(graph)
    nodes = len(genotype.cells[0].nodes)
    assert cost(graph).params == 9 * 4 + 9 + (2 * 4) ** 2 + nodes * 2 * 4**2


@examples(15)
@given(recurrent_genotypes())
def test_the_passes_keep_what_a_body_computes_bitwise(genotype: Genotype) -> None:
    graph = small(genotype)
    tokens = torch.randint(9, (3, 2), generator=torch.Generator().manual_seed(0))
    hidden = torch.ones(2, 4, dtype=torch.float64)
    expected = None
    for rows in (PLAIN, DISCRETE, (*DISCRETE, *EVALUATION)):
        module = lowering.to_torch(run_passes(graph, rows)[0], optimise=False).double().eval()
        actual = module(tokens, hidden)
        expected = expected or actual
        assert all(map(torch.equal, actual, expected))
