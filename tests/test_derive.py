"""From the weights of choices to genotypes, by the published rules."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import given

import nasir
from nasir.space.decisions import SpaceCell, SpaceEdge
from tests.refusals import fails_with
from tests.strategies import examples

ROOT = Path(__file__).parents[1]

SPACES = (
    "darts",
    "darts_no_none",
    "drnas",
    "s1",
    "s2",
    "s3",
    "s4",
    "nnabla",
    "nasnet",
    "nasbench201",
    "nasbench1shot1_1",
    "nasbench1shot1_2",
    "nasbench1shot1_3",
    "darts_rnn",
)
GRAPHS = {name: nasir.supernet(name) for name in SPACES}


def weights_of(name: str, seed: int) -> dict[str, list[float]]:
    random = Random(seed)
    return {c.name: [random.random() for _ in c.options] for c in GRAPHS[name].choices}


@pytest.mark.parametrize("name", SPACES)
@examples(8)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_is_derived_or_drawn_belongs_to_the_space(name: str, seed: int) -> None:
    space = nasir.load_space(name)
    weights = weights_of(name, seed)
    assert space.contains(nasir.derive(space, weights)) == ()
    drawn = nasir.draw_genotype(space, weights, seed)
    assert space.contains(drawn) == ()
    assert nasir.draw_genotype(space, weights, seed) == drawn


@pytest.mark.parametrize("name", [name for name in SPACES if name != "nasnet"])
@examples(8)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_hot_weights_derive_and_draw_their_genotype(name: str, seed: int) -> None:
    space = nasir.load_space(name)
    genotype = nasir.sample(space, seed)
    picked = nasir.picks(GRAPHS[name], genotype)
    weights = {
        c.name: [float(option in picked[c.name]) for option in range(len(c.options))]
        for c in GRAPHS[name].choices
    }
    for found in (nasir.derive(space, weights), nasir.draw_genotype(space, weights, seed)):
        assert nasir.rank(space, found) == nasir.rank(space, genotype)


def _edges(**scores: list[float]) -> dict[str, list[float]]:
    """Weights of DARTS: 0 but where they are given, as n3e0=[…]."""
    weights = {choice.name: [0.0] * 8 for choice in GRAPHS["darts"].choices}
    return weights | {f"normal/{key[:2]}.{key[2:]}": row for key, row in scores.items()}


def _node(weights: dict[str, list[float]], place: int) -> list[tuple[str, int]]:
    edges = nasir.derive(nasir.load_space("darts"), weights).cell("normal").nodes[place]
    return [(edge.op, edge.source) for edge in edges]


# none, max pool, average pool, skip, sep 3, sep 5, dil 3, dil 5
def test_edges_are_written_by_falling_score_and_none_does_not_count() -> None:
    weights = _edges(
        n3e0=[0.9, 0.02, 0.02, 0.03, 0.03, 0, 0, 0],
        n3e1=[0.1, 0.0, 0.0, 0.3, 0.6, 0, 0, 0],
        n3e2=[0.1, 0.0, 0.0, 0.7, 0.2, 0, 0, 0],
    )
    assert _node(weights, 1) == [("skip_connect", 2), ("sep_conv_3x3", 1)]


def test_ties_go_to_the_lower_source_and_the_first_op() -> None:
    row = [0.5, 0.1, 0.1, 0.1, 0.1, 0.1, 0, 0]
    weights = _edges(n3e0=row, n3e1=row, n3e2=row)
    assert _node(weights, 1) == [("max_pool_3x3", 0), ("max_pool_3x3", 1)]


def test_an_edges_own_weight_multiplies_its_score_and_leaves_its_op() -> None:
    weights = _edges(
        n3e0=[0, 0, 0, 0.6, 0.4, 0, 0, 0],
        n3e1=[0, 0, 0, 0.4, 0.6, 0, 0, 0],
        n3e2=[0, 0, 0, 0.1, 0.2, 0, 0, 0],
    )
    weights["normal/n3"] = [0.1, 0.2, 0.7]
    assert _node(weights, 1) == [("sep_conv_3x3", 2), ("sep_conv_3x3", 1)]


def test_pairs_of_edge_and_op_compete_where_a_state_may_be_read_twice() -> None:
    space = nasir.load_space("nasnet")
    weights = {c.name: [0.0] * len(c.options) for c in GRAPHS["nasnet"].choices}
    edge = next(e for e in space.cell("normal").edges if (e.source, e.node) == (1, 3))
    allowed = [edge.ops.index(op) for op in space.cell("normal").selectable(edge)]
    weights["normal/n3.e1"][allowed[0]] = 0.4
    weights["normal/n3.e1"][allowed[1]] = 0.6
    found = nasir.derive(space, weights).cell("normal").nodes[1]
    assert [edge.source for edge in found] == [1, 1]


def test_a_node_with_fewer_pairs_than_edges_has_the_best_one_again() -> None:
    edges = (SpaceEdge(0, 1, ("skip_connect",)),)
    cell = SpaceCell("cell", 1, 1, edges, 2, (), (1,), repeats=True)
    space = nasir.Space("narrow", "", "", "cifar", (cell,))
    for found in (
        nasir.derive(space, {"cell/n1.e0": [1.0]}),
        nasir.draw_genotype(space, {"cell/n1.e0": [1.0]}, 0),
    ):
        assert space.contains(found) == ()


def test_a_derived_cell_combines_as_its_space_says() -> None:
    space = nasir.load_space(ROOT / "spaces/examples/three_kinds.yaml")
    choices = nasir.supernet(space).choices
    found = nasir.derive(space, {c.name: [0.5] * len(c.options) for c in choices}, "mine")
    assert [(c.combine, c.join) for c in found.cells] == [(c.combine, c.join) for c in space.cells]
    assert (found.name, found.definition) == ("mine", space)


def test_draws_keep_edges_in_proportion_to_their_scores() -> None:
    space = nasir.load_space("darts_rnn")  # a node keeps one edge
    weights = {c.name: [0.0, 0.5, 0.0, 0.0, 0.0] for c in GRAPHS["darts_rnn"].choices}
    weights["recurrent/n2.e1"] = [0.9, 0.1, 0.0, 0.0, 0.0]  # `none` adds nothing to a score
    drawn = [nasir.draw_genotype(space, weights, seed).cells[0].nodes[1] for seed in range(600)]
    share = sum(edges[0].source for edges in drawn) / len(drawn)
    assert abs(share - 0.1 / 0.6) < 0.05


@pytest.mark.parametrize("name", SPACES)
def test_every_choice_of_a_supernet_is_in_one_decision(name: str) -> None:
    found = nasir.decisions(nasir.load_space(name))
    names = [n for d in found for n in (*d.edges, d.op, d.sources) if n]
    assert sorted(names) == sorted(choice.name for choice in GRAPHS[name].choices)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ([0.5] * 7, "E503"),
        ([0.5] * 9, "E503"),
        ([0.1, float("nan"), 0, 0, 0, 0, 0, 0], "E107"),
    ],
)
def test_weights_that_do_not_fit_their_choice_are_an_error(row: list[float], code: str) -> None:
    weights = weights_of("darts", 0) | {"reduce/n4.e3": row}
    for call in (nasir.derive, lambda s, w: nasir.draw_genotype(s, w, 0)):
        with fails_with(code, r"reduce/n4\.e3"):
            call(nasir.load_space("darts"), weights)


@pytest.mark.parametrize("weight", [-0.1, float("inf")])
def test_nothing_is_drawn_in_proportion_to_what_is_no_share(weight: float) -> None:
    weights = weights_of("nasbench201", 0) | {"cell/n1.e0": [weight, 1, 1, 1, 1]}
    space = nasir.load_space("nasbench201")
    assert space.contains(nasir.derive(space, weights)) == ()
    with fails_with("E107", "in proportion"):
        nasir.draw_genotype(space, weights, 0)


@pytest.mark.parametrize("call", [nasir.decisions, lambda space: nasir.derive(space, {})])
def test_a_space_without_a_supernet_has_nothing_to_derive(call: Callable[..., object]) -> None:
    with fails_with("E505", "no supernet"):
        call(nasir.load_space("nasbench101"))


def test_a_choice_without_weights_is_an_error() -> None:
    weights = weights_of("darts", 0)
    del weights["normal/n2.e1"]
    with fails_with("E401", r"'normal/n2\.e1' has no weights"):
        nasir.derive(nasir.load_space("darts"), weights)
