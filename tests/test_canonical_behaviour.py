"""What an op does, read off its primitives: ops of other people's making."""

import pytest

from nasir import CellGenotype, Edge, Genotype, canonical_id
from nasir.canonical import identity
from nasir.canonical.terms import behaviour
from nasir.macros import EDGE_MACROS, EdgeAttrs
from nasir.ops import Macro
from nasir.table import Table
from nasir.template import Scope


def _nothing_added(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return b("add", inputs[0], b("zero", inputs[0], name="zero", stride=a.stride), name="add")


def _vanishing(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    x = b("zero", inputs[0], name="zero", stride=a.stride)
    x = b("conv2d", b("relu", x, name="relu"), name="conv", out=b.channels(x), kernel=3)
    return b("max_pool", x, name="pool", kernel=3, padding=1)


def _bare(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return b("conv2d", inputs[0], name="c", out=b.channels(inputs[0]), kernel=1, stride=a.stride)


def _biased(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    c = b.channels(inputs[0])
    return b("conv2d", inputs[0], name="c", out=c, kernel=1, stride=a.stride, bias=True)


def _halving(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return b("max_pool", inputs[0], name="pool", kernel=2, stride=2 * a.stride)


def _grouped(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs, groups: int) -> str:
    c = b.channels(inputs[0])
    x = b("conv2d", inputs[0], name="c", out=c, kernel=1, groups=groups, stride=a.stride)
    return b("relu", x, name="relu")


def _eight(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return _grouped(b, inputs, a, 8)


def _depthwise(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return _grouped(b, inputs, a, b.channels(inputs[0]))


def _impossible(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return _grouped(b, inputs, a, 7)


OWN = {
    "mine_nothing_added": _nothing_added,
    "mine_vanishing": _vanishing,
    "mine_bare": _bare,
    "mine_biased": _biased,
    "mine_halving": _halving,
    "mine_eight": _eight,
    "mine_depthwise": _depthwise,
    "mine_impossible": _impossible,
}


KNOWN = Table(
    *EDGE_MACROS.values(),
    *(Macro(name, "", EdgeAttrs, body, on_edge=True) for name, body in OWN.items()),
)


@pytest.fixture(autouse=True)
def _own_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MACROS", KNOWN)


def last(*nodes: tuple[Edge, ...]) -> str:
    """The id of a normal cell whose last node leaves."""
    return canonical_id(Genotype("x", (CellGenotype("normal", 2, nodes, (1 + len(nodes),)),)))


@pytest.mark.parametrize(
    ("op", "strides", "kind"),
    [
        ("none", (1,), "zero"),
        ("none", (1, 2), "zero"),
        ("skip_connect", (1,), "identity"),
        ("skip_connect", (2,), "own"),
        ("skip_connect", (1, 2), "own"),
        ("avg_pool_3x3", (1,), "linear"),
        ("max_pool_3x3", (2,), "shared"),
        ("sep_conv_3x3", (1,), "own"),
        ("noise", (1,), "own"),
        ("mine_nothing_added", (1,), "identity"),
        ("mine_vanishing", (1,), "zero"),
        ("mine_bare", (1,), "own"),
        ("mine_impossible", (1,), "own"),
    ],
)
def test_an_op_is_what_its_primitives_make_it(op: str, strides: tuple[int, ...], kind: str) -> None:
    assert behaviour(KNOWN[op], strides).kind == kind


def test_a_composition_of_nothing_is_nothing() -> None:
    assert last((Edge("mine_nothing_added", 0),)) == last((Edge("skip_connect", 0),))
    assert last((Edge("mine_vanishing", 0), Edge("noise", 1))) == last((Edge("noise", 0),))


def test_ops_that_are_alike_at_one_width_only_differ() -> None:
    assert last((Edge("mine_eight", 0),)) != last((Edge("mine_depthwise", 0),))


def test_zeros_and_noise_count_where_ops_change_the_size() -> None:
    """A zero, or noise, of half the size is not one of full size."""
    halved = (Edge("mine_halving", 0),)
    for op in ("none", "noise"):
        small, large = last(halved, (Edge(op, 2),)), last(halved, (Edge(op, 0),))
        assert small != large


def test_an_op_that_takes_no_type_is_known_by_its_name() -> None:
    assert last((Edge("mine_impossible", 0),)) != last((Edge("mine_biased", 0),))
