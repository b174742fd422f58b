"""Supernets: their choices, their size, and what deciding them leaves."""

from typing import Any

import pytest

import nasir
from tests.refusals import fails_with
from tests.strategies import DARTS_OPS
from tests.supernets import shipped

PARAMETERS: list[tuple[str, dict[str, Any], int]] = [
    ("darts", {}, 1_930_618),
    ("drnas", {}, 1_930_618),
    ("s1", {}, 405_146),
    ("s2", {}, 665_466),
    ("s3", {}, 665_466),
    ("s4", {}, 624_506),
    ("darts_rnn", {}, 4_810_000),
]
"""The papers' search networks at the papers' sizes, of 10 classes or 10,000 words."""


@pytest.mark.parametrize(("space", "size", "parameters"), PARAMETERS)
def test_a_supernet_has_the_published_number_of_parameters(
    space: str, size: dict[str, Any], parameters: int
) -> None:
    assert nasir.cost(nasir.supernet(space, **size)).params == parameters


def test_choices_go_by_kind_of_cell_then_node_then_source() -> None:
    choices = nasir.supernet("darts", channels=4, layers=3).choices
    pairs = [(node, source) for node in range(2, 6) for source in range(node)]
    expected = [f"{kind}/n{n}.e{s}" for kind in ("normal", "reduce") for n, s in pairs]
    assert [choice.name for choice in choices] == expected
    assert choices[0].options == DARTS_OPS


def test_a_cell_with_ops_on_nodes_chooses_ops_inputs_and_outputs() -> None:
    choices = {c.name: (c.kind, c.options, c.keep) for c in shipped("nasbench1shot1_1").choices}
    ops = ("maxpool3x3", "conv3x3-bn-relu", "conv1x1-bn-relu")
    assert choices == {
        "cell/n1": ("op on node", ops, 1),
        "cell/n2": ("op on node", ops, 1),
        "cell/n3.in": ("input", ("0", "1", "2"), 2),
        "cell/n3": ("op on node", ops, 1),
        "cell/n4.in": ("input", ("0", "1", "2", "3"), 2),
        "cell/n4": ("op on node", ops, 1),
        "cell/out": ("output", ("0", "1", "2", "3", "4"), 2),
    }


def test_nasbench101_has_no_supernet_and_the_error_says_what_has() -> None:
    with fails_with("E505", "nasbench1shot1"):
        nasir.supernet("nasbench101")


@pytest.mark.parametrize(
    ("picks", "code"),
    [({"normal/n2.e7": (0,)}, "E401"), ({"normal/n2.e0": (8,)}, "E202")],
)
def test_deciding_what_is_not_there_is_an_error(picks: dict[str, tuple[int]], code: str) -> None:
    with fails_with(code):
        nasir.resolve(shipped("darts"), picks)


def test_a_genotype_of_another_space_does_not_decide_a_supernet() -> None:
    graph = shipped("s2")
    with fails_with("E211"):
        nasir.picks(graph, nasir.sample(nasir.load_space("darts"), 0))
