"""Faults in the fields of a space file beyond cells and edges, each with its place."""

import pytest

from nasir import NasirError, load_space
from tests.test_space_fields import FULL_SPACE


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("pattern: [near, far]", "pattern: []", ("E109", 5, 12)),
        ("  far:", "  c03:", ("E109", 29, 3)),
        ("pattern: [near, far]", "pattern: [near, fan]", ("E202", 5, 19)),
        ("pattern: [near, far]", "pattern: [near]", ("E202", 29, 3)),
        ("pattern: [near, far]", "patern: [near, far]", ("E109", 5, 3)),
        ("{reduce: [1/3", "{reduse: [1/3", ("E202", 6, 12)),
        ("[1/3, -2]", "[1/3, third]", ("E109", 6, 26)),
        ("[1/3, -2]", "[1/3, 3/3]", ("E107", 6, 26)),
        ("[1/3, -2]", "[1/3, 2000]", ("E107", 6, 26)),
        ("[1/3, -2]", "[]", ("E109", 6, 20)),
        ("[1/3, -2]", "[0.5]", ("E109", 6, 21)),
        ("halves: [reduce]", "halves: [reduced]", ("E202", 7, 12)),
        ("doubles: [far]", "doubles: far", ("E109", 8, 12)),
        ("doubles: [far]", "doubles: [fur]", ("E202", 8, 13)),
        ("skeleton: cifar", "skeleton: nasbench201", ("E109", 4, 1)),
        ("channels: 8", "channels: 0", ("E107", 9, 18)),
        ("channels: 8", "channel: 8", ("E109", 9, 8)),
        ("layers: 5", "layers: five", ("E109", 9, 29)),
        ("layers: 5", "layers: [5, 0]", ("E107", 9, 33)),
        ("layers: 5", "layers: []", ("E109", 9, 29)),
        ("layers: 5", "layers: [5, 2000]", ("E302", 9, 33)),
        ("layers: 5", "layers: [5, 6, 5]", ("E109", 9, 36)),
        ("layers: 5", "layers1: 5", ("E109", 9, 21)),
        ("layers: 5", "classes: [5]", ("E109", 9, 30)),
        ("  mine_3x3:\n    title", "  conv_bn:\n    title", ("E109", 11, 3)),
        ("  mine_3x3:\n    title", "  3x3:\n    title", ("E109", 12, 5)),
        ("title: an op", "titel: an op", ("E109", 12, 5)),
        ("op: conv2d, name: wide", "op: conv3d, name: wide", ("E201", 14, 14)),
        ("op: conv2d, name: wide", "name: wide", ("E109", 14, 9)),
        ("name: wide", "name: two words", ("E109", 14, 28)),
        ("name: wide", "name: input", ("E109", 14, 28)),
        ("out: 2 * C", "out: 2 * D", ("E306", 14, 39)),
        ("out: 2 * C", "out: 2 +", ("E306", 14, 39)),
        ("out: 2 * C", "out: [1, 2, 3]", ("E109", 14, 39)),
        ("out: 2 * C", "outs: 2 * C", ("E306", 14, 34)),
        ("out: 2 * C, kernel: 3", "out: 2 * C, kernel: 0", ("E306", 14, 46)),
        ("op: add, from: [input, conv2d]", "op: concat, from: [input, wide]", ("E305", 11, 3)),
        ("from: wide", "from: wild", ("E202", 15, 26)),
        ("from: wide", "from: 1", ("E109", 15, 26)),
        ("op: relu, from: wide", "op: relu, from: [input, wide]", ("E401", 15, 9)),
        ("op: conv2d, out: C,", "op: conv2d, out: 3,", ("E305", 17, 9)),
        ("when: stride == 1", "when: strid == 1", ("E306", 17, 48)),
        ("when: stride == 1", "when: [1]", ("E109", 17, 48)),
        ("[{op: mine_3x3, stride: stride}, {op: mine_3x3}]", "[]", ("E109", 19, 12)),
        ("stride: stride}, {op: mine_3x3}", "stride: stride}, {op: twice}", ("E201", 19, 50)),
        ("inputs: 2", "inputs: 3", ("E202", 22, 13)),
        ("combine: mean", "combine: men", ("E109", 26, 14)),
        ("output: any", "output: all", ("E109", 27, 13)),
        ("join: sum", "join: some", ("E109", 28, 11)),
        ("ops: [mine_3x3,", "ops: [mine_3x4,", ("E201", 24, 11)),
        ("keep: 2", "repeats: 2", ("E109", 25, 14)),
    ],
)  # fmt: skip
def test_a_fault_in_a_field_has_its_place(
    old: str, new: str, expected: tuple[str, int, int]
) -> None:
    assert old in FULL_SPACE
    with pytest.raises(NasirError) as caught:
        load_space(FULL_SPACE.replace(old, new, 1))
    error = caught.value
    assert (error.code, error.where.line, error.where.column) == expected, error


@pytest.mark.parametrize(
    ("skeleton", "op"), [("cifar", "relu"), ("nasbench201", "identity"), ("rnn", "sep_conv_3x3")]
)
def test_an_op_that_the_skeleton_lacks_is_refused_when_the_space_is_read(
    skeleton: str, op: str
) -> None:
    text = f"""nasir: 1
space: mine
skeleton: {skeleton}
cells:
  normal: {{inputs: 2, nodes: 1, edges: all, ops: [none, OP], keep: 2, output: [2]}}
"""
    with pytest.raises(NasirError) as caught:
        load_space(text.replace("OP", op))
    assert (caught.value.code, caught.value.where.line) == ("E201", 5)
    own = f"\nops:\n  {op}:\n    steps: [{{op: relu}}]\ncells:"
    assert load_space(text.replace("OP", op).replace("\ncells:", own)).cells


def test_ops_that_use_one_another_in_a_circle_are_refused() -> None:
    text = FULL_SPACE.replace("{op: relu, from: wide}", "{op: twice, from: wide}")
    with pytest.raises(NasirError) as caught:
        load_space(text)
    assert caught.value.code == "E109"
    assert "in a circle: mine_3x3 to twice to mine_3x3" in caught.value.message


def test_ops_that_nest_too_deeply_are_refused() -> None:
    ops = "\n".join(f"  op{i}: {{steps: [{{op: op{i + 1}}}]}}" for i in range(8))
    ops = f"ops:\n{ops}\n  op8: {{steps: [{{op: relu}}]}}\n"
    text = FULL_SPACE.replace("ops:\n", ops, 1)
    with pytest.raises(NasirError) as caught:
        load_space(text)
    assert caught.value.code == "E106"
