"""Ops that a space defines itself: what they mean, and how they are written down."""

import json

import pytest

from nasir import Builder, Graph, ImageType, NasirError, parse_graph, print_graph
from nasir.expressions import evaluate
from nasir.ops import Macro
from nasir.own_ops import OpModel, own_op, own_ops, read_definition
from nasir.passes import expand, validate
from tests.refusals import fails_with

X = ImageType(8, 6, 6)

GATE = {
    "title": "a gated convolution",
    "steps": [
        {"op": "conv2d", "out": "2 * C", "kernel": 3, "stride": "stride", "groups": "C"},
        {"op": "batch_norm"},
        {"op": "silu"},
        {"op": "conv2d", "name": "narrow", "out": "C", "kernel": [1, 3], "padding": [0, 1]},
        {"op": "sigmoid", "name": "gate", "from": "narrow"},
        {"op": "mul", "from": ["narrow", "gate"]},
        {"op": "add", "from": ["input", "mul"], "when": "stride == 1"},
    ],
}
OUTER = {"steps": [{"op": "sep_conv_3x3", "stride": "stride"}, {"op": "gate"}, {"op": "gate"}]}

SPELLED = """\
m/conv2d = conv2d(x) {out=16, kernel=3, groups=8}: image[16,6,6]
m/batch_norm = batch_norm(m/conv2d): image[16,6,6]
m/silu = silu(m/batch_norm): image[16,6,6]
m/narrow = conv2d(m/silu) {out=8, kernel=1x3, padding=0x1}: image[8,6,6]
m/gate = sigmoid(m/narrow): image[8,6,6]
m/mul = mul(m/narrow, m/gate): image[8,6,6]
m/add = add(x, m/mul): image[8,6,6]
output m/add"""


def macros(**definitions: object) -> dict[str, Macro]:
    return own_ops({name: OpModel.model_validate(data) for name, data in definitions.items()})


def graph_of(op: Macro, stride: int = 1, affine: bool = True) -> Graph:
    build = Builder(x=X).know([op])
    return build.graph(build(op.name, "x", name="m", stride=stride, affine=affine))


def test_an_own_op_is_its_steps() -> None:
    lines = print_graph(expand(graph_of(macros(gate=GATE)["gate"]))).splitlines()
    assert "\n".join(lines[2:]) == SPELLED


def test_a_step_whose_condition_is_false_is_the_step_before_it() -> None:
    graph = expand(graph_of(macros(gate=GATE)["gate"], stride=2))
    assert graph.outputs == ("m/mul",)
    assert graph.types["m/mul"] == ImageType(8, 3, 3)


def test_a_batch_norm_of_an_own_op_is_affine_where_its_edge_is() -> None:
    graph = expand(graph_of(macros(gate=GATE)["gate"], affine=False))
    assert [ref.name for ref in graph["m/batch_norm"].params] == ["running_mean", "running_var"]


def test_an_own_op_may_use_another_and_shipped_ones() -> None:
    graph = expand(graph_of(macros(gate=GATE, outer=OUTER)["outer"], stride=2))
    assert "m/sep_conv_3x3/dw1" in graph
    assert graph["m/gate2/add"].inputs == ("m/gate/add", "m/gate2/mul")
    assert graph["m/gate2/narrow"].params[0].key == "m/gate2/narrow.weight"


def test_an_own_op_with_a_shipped_name_means_the_shipped_one_inside() -> None:
    pool = {"steps": [{"op": "max_pool_3x3", "stride": "stride"}, {"op": "batch_norm"}]}
    op = macros(max_pool_3x3=pool)["max_pool_3x3"]
    assert [node.op.name for node in expand(graph_of(op))] == ["max_pool", "batch_norm"]


def test_equal_definitions_are_one_op() -> None:
    op = macros(gate=GATE)["gate"]
    assert macros(gate=GATE)["gate"] is op
    assert read_definition("gate", json.dumps(GATE, indent=3)) is op
    assert own_op("gate", op.definition) is op
    assert macros(gate=GATE | {"title": "other"})["gate"] is not op


@pytest.mark.parametrize("stride", [1, 2])
def test_a_graph_with_own_ops_is_read_as_it_is_printed(stride: int) -> None:
    graph = graph_of(macros(gate=GATE, outer=OUTER)["outer"], stride)
    assert parse_graph(print_graph(graph)) == graph
    assert print_graph(parse_graph(print_graph(graph))) == print_graph(graph)


def test_a_graph_with_own_ops_can_be_edited_with_them() -> None:
    build = Builder(x=X).know(macros(gate=GATE).values())
    graph = build.graph(build("relu", build("gate", "x", name="m"), name="r"))
    graph = graph.insert_after("r", "gate").replace("r", "gate")
    assert [node.op.name for node in graph] == ["gate", "gate", "gate"]


def test_a_graph_with_two_ops_of_one_name_is_not_valid() -> None:
    build = Builder(x=X)
    x = build("max_pool_3x3", "x", name="a")
    own = macros(max_pool_3x3={"steps": [{"op": "relu"}]}).values()
    graph = build.graph(build.know(own)("max_pool_3x3", x, name="b"))
    with pytest.raises(NasirError) as caught:
        validate(graph)
    assert (caught.value.code, caught.value.where.file) == ("E104", "node b")


VALUES = {"C": 12, "stride": 2, "affine": True}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 * C", 36),
        ("-C // 5 + 1", -2),
        ("C % 5", 2),
        ("C // 4 if stride == 2 else C", 3),
        ("max(C // 64, 1)", 1),
        ("min(C, 6)", 6),
        ("stride > 1 and not affine", False),
        ("stride == 1 or affine", True),
        (" 1e-3 ", 1e-3),
        ("C * 1.001k", 12_012),
    ],
)
def test_an_expression_has_a_value(text: str, value: float) -> None:
    assert evaluate(text, VALUES) == value


@pytest.mark.parametrize(
    "text",
    ["", "C +", "C ** 9", "D", "C.real", "__import__('os')", "[C]", "C if", "max(C)", "'C'",
     "1 < C in 3", "lambda: C", "C // (stride - 2)", "max(*C, 1)", "(" * 90, "1 +" * 80, "1if C",
     "C\n+ 1)", "\\", "f'{C}'", "C := 1"],
)  # fmt: skip
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with fails_with("E306"):
        evaluate(text, VALUES)
