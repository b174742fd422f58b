"""Supernets: their choices, their size, and what deciding them leaves."""

from typing import Any

import pytest
import torch
from torch import Tensor

import lowering
import nasir
from nasir import Genotype, NasirError
from nasir.space import catalog
from tests.gate import gated
from tests.strategies import DARTS_OPS

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

SMALL: dict[str, dict[str, Any]] = {
    "cifar": {"channels": 4, "layers": 3, "resolution": 8},
    "nnabla": {"channels": 4, "layers": 3, "resolution": 8},
    "nasbench201": {"channels": 4, "layers": 1, "resolution": 8},
    "nasbench1shot1": {"channels": 4, "layers": 3, "resolution": 8},
    "transnasbench101": {"channels": 4, "layers": 1, "resolution": 8},
    "natsbench_size": {"resolution": 8},
    "rnn": {"vocabulary": 11, "hidden": 6},
}
SPACES = tuple(name for name in catalog() if name != "nasbench101")
FAST = ("s1", "nasbench201", "darts_rnn", "natsbench_size", "nasbench1shot1_2")
RANDOM = ("s4", "nasbench201_s4")
"""Spaces with noise, which differs from call to call."""


def small(space: str) -> nasir.Graph:
    return nasir.supernet(space, **SMALL[nasir.load_space(space).skeleton])


def example(graph: nasir.Graph) -> tuple[Tensor, ...]:
    """A batch of inputs in float64, the mixtures left out."""
    torch.manual_seed(0)
    if graph.about["skeleton"] == "rnn":
        return torch.randint(0, 11, (4, 3)), torch.zeros(3, 6, dtype=torch.float64)
    return (torch.randn(3, 3, 8, 8, dtype=torch.float64),)


def one_hot(graph: nasir.Graph, genotype: Genotype) -> dict[str, Tensor]:
    picked = nasir.picks(graph, genotype)
    weights = {c.name: torch.zeros(len(c.options), dtype=torch.float64) for c in graph.choices}
    for name, options in picked.items():
        weights[name][list(options)] = 1.0
    return weights


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
    choices = {c.name: (c.kind, c.options, c.keep) for c in small("nasbench1shot1_1").choices}
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


@pytest.mark.parametrize("space", SPACES)
def test_a_supernet_is_text_that_is_read_back(space: str) -> None:
    graph = small(space)
    assert nasir.parse_graph(str(graph)) == graph


@pytest.mark.parametrize(
    "space",
    gated([name for name in SPACES if name not in RANDOM], FAST),
)
def test_a_one_hot_mixture_is_the_resolved_network_with_equal_keys(space: str) -> None:
    graph = small(space)
    genotype = nasir.sample(nasir.load_space(space), 1)
    whole = lowering.to_torch(graph, optimise=False).double()
    part = lowering.to_torch(nasir.resolve(graph, genotype)).double()
    missing, _ = part.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    if space == "darts_rnn":
        whole.eval()
        part.eval()
    expected = whole(*example(graph), one_hot(graph, genotype))
    actual = part(*example(graph))
    for a, b in zip(_tuple(expected), _tuple(actual), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_nasbench101_has_no_supernet_and_the_error_says_what_has() -> None:
    with pytest.raises(NasirError, match="nasbench1shot1") as caught:
        nasir.supernet("nasbench101")
    assert caught.value.code == "E505"


@pytest.mark.parametrize(
    ("picks", "code"),
    [({"normal/n2.e7": (0,)}, "E401"), ({"normal/n2.e0": (8,)}, "E202")],
)
def test_deciding_what_is_not_there_is_an_error(picks: dict[str, tuple[int]], code: str) -> None:
    with pytest.raises(NasirError) as caught:
        nasir.resolve(small("darts"), picks)
    assert caught.value.code == code


def test_a_genotype_of_another_space_does_not_decide_a_supernet() -> None:
    graph = small("s2")
    with pytest.raises(NasirError) as caught:
        nasir.picks(graph, nasir.sample(nasir.load_space("darts"), 0))
    assert caught.value.code == "E211"


def _tuple(value: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return value if isinstance(value, tuple) else (value,)
