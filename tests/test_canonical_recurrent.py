"""Canonical ids of recurrent cells."""

import nasir
from nasir import CellGenotype, Edge, Genotype


def cell(*nodes: tuple[str, int], output: tuple[int, ...]) -> str:
    """The id of a recurrent cell with one edge a node."""
    edges = tuple((Edge(op, source),) for op, source in nodes)
    return nasir.canonical_id(Genotype("darts_rnn", (CellGenotype("recurrent", 1, edges, output),)))


def test_nodes_may_be_renamed() -> None:
    one = cell(("tanh", 0), ("relu", 0), ("sigmoid", 2), output=(1, 2, 3))
    other = cell(("relu", 0), ("tanh", 0), ("sigmoid", 1), output=(1, 2, 3))
    assert one == other


def test_an_identity_has_a_weight_and_stays() -> None:
    assert cell(("identity", 0), ("tanh", 1), output=(2,)) != cell(("tanh", 0), output=(1,))


def test_what_the_output_does_not_need_does_not_count() -> None:
    assert cell(("tanh", 0), ("relu", 0), output=(1,)) == cell(("tanh", 0), output=(1,))


def test_the_number_of_states_that_are_averaged_counts() -> None:
    assert cell(("tanh", 0), ("none", 0), output=(1, 2)) != cell(("tanh", 0), output=(1,))


def test_zero_stays_zero_but_under_a_sigmoid() -> None:
    zero = cell(("none", 0), ("none", 0), output=(1, 2))
    assert cell(("none", 0), ("tanh", 1), output=(1, 2)) == zero
    assert cell(("none", 0), ("sigmoid", 1), output=(1, 2)) != zero
