"""Costs: which figures there are, and what counts as one."""

from dataclasses import replace

import pytest
from hypothesis import given

import nasir
from nasir import Builder, Cost, Graph, ImageType, cost, network
from nasir.passes.rewriting import expand
from nasir.space.load import space_names
from tests.strategies import examples, graphs


def test_the_auxiliary_head_is_counted_apart() -> None:
    plain = cost(network("darts_v2"))
    both = cost(network("darts_v2", auxiliary=True))
    assert plain.auxiliary is None
    assert both.auxiliary is not None
    assert (both.params, both.macs, both.activations) == (
        plain.params,
        plain.macs,
        plain.activations,
    )
    assert both.auxiliary.params == 476_426
    assert all(row.auxiliary for row in both.auxiliary.nodes)
    assert not any(row.auxiliary for row in both.nodes)


def test_a_convolution_a_norm_and_a_linear_map_by_hand() -> None:
    build = Builder(image=ImageType(3, 8, 8))
    x = build("conv2d", "image", name="conv", out=4, kernel=3, stride=2, bias=True)
    x = build("batch_norm", x, name="bn")
    x = build("linear", build("flatten", x, name="flat"), name="fc", out=10)
    rows = [(r.name, r.params, r.macs, r.activations) for r in cost(build.graph(x)).nodes]
    assert rows == [
        ("conv", 4 * 27 + 4, 16 * 4 * 27, 64),
        ("bn", 8, 0, 64),
        ("flat", 0, 0, 64),
        ("fc", 650, 640, 10),
    ]


def test_a_shared_weight_counts_once_and_its_work_twice() -> None:
    total = _shared(auxiliary=())
    assert (total.params, total.macs) == (12, 2 * 12 * 64)
    assert [row.params for row in total.nodes] == [12, 0]


def test_a_weight_that_the_auxiliary_head_shares_counts_in_the_network() -> None:
    total = _shared(auxiliary=("first",))
    assert total.auxiliary is not None
    assert (total.params, total.auxiliary.params) == (12, 0)
    assert (total.macs, total.auxiliary.macs) == (12 * 64, 12 * 64)


def test_what_no_output_needs_counts_as_in_the_papers_code() -> None:
    build = Builder(image=ImageType(3, 8, 8))
    build("conv2d", "image", name="loose", out=4, kernel=1)
    assert cost(build.graph(build("relu", "image"))).params == 12


def test_a_huge_network_is_counted_exactly() -> None:
    build = Builder(image=ImageType(1 << 20, 1 << 10, 1 << 10))
    total = cost(build.graph(build("conv2d", "image", out=1 << 20, kernel=3)))
    assert total.params == 9 << 40
    assert total.macs == 9 << 60


def _shared(auxiliary: tuple[str, ...]) -> Cost:
    build = Builder(image=ImageType(3, 8, 8))
    build("conv2d", "image", name="first", out=4, kernel=1)
    build("conv2d", "image", name="second", out=4, kernel=1)
    outputs = ("second",) if auxiliary else ("first", "second")
    graph = build.graph(*outputs, auxiliary=auxiliary)
    second = replace(graph["second"], params=graph["first"].params)
    return cost(graph.with_nodes([graph["first"], second]))


@examples(100)
@given(graphs())
def test_a_graph_costs_what_its_primitives_cost(graph: Graph) -> None:
    assert cost(graph) == cost(expand(graph))


@pytest.mark.parametrize("space", space_names())
def test_a_network_costs_what_its_primitives_cost(space: str) -> None:
    head = space.startswith(("darts", "s1", "s2")) and space != "darts_rnn"
    graph = network(nasir.sample(space, 0), auxiliary=head)
    assert cost(graph) == cost(expand(graph))
