"""Editing a graph from Python: each edit returns a new graph, and a wrong one fails at once."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from nasir import Builder, Cell, Graph, ImageType, network, parse_graph, print_graph
from nasir.passes import expand, validate
from tests.refusals import error_of

EDGE = "c00/n2.e0/sep_conv_3x3"

Edit = Callable[[Graph], Graph]

EDITS: dict[str, Edit] = {
    "replace": lambda graph: graph.replace(EDGE, "dil_conv_3x3"),
    "insert_after": lambda graph: graph.insert_after("c00/n2", "relu"),
    "remove": lambda graph: graph.remove(EDGE),
    "rewire": lambda graph: graph.rewire(EDGE, {"c00/pre0": "c00/pre1"}),
    "with_attrs": lambda graph: graph.with_attrs(EDGE, affine=False),
}

each_edit = pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)


def squeeze_excite(b: Builder, x: str) -> str:
    """Scales each channel by a factor that the means of all channels decide."""
    channels = b.channels(x)
    scale = b("global_pool", x)
    scale = b("conv2d", scale, name="down", out=max(1, channels // 4), kernel=1, bias=True)
    scale = b("conv2d", b("relu", scale), name="up", out=channels, kernel=1, bias=True)
    return b("mul", x, b("sigmoid", scale), name="scaled")


@each_edit
def test_an_edit_leaves_the_graph_as_it_was(edit: Edit) -> None:
    graph = _darts()
    before = print_graph(graph)
    assert edit(graph) != graph
    assert print_graph(graph) == before


@each_edit
def test_an_edited_graph_is_valid_and_expands(edit: Edit) -> None:
    assert validate(expand(edit(_darts())))


@each_edit
def test_an_edited_graph_no_longer_carries_its_genotype_and_says_so(edit: Edit) -> None:
    graph = _darts()
    assert "genotype" in graph.about
    about = edit(graph).about
    assert "genotype" not in about
    assert about["edited"] == "yes"
    assert about["skeleton"] == "cifar"


def test_a_replaced_node_is_named_after_its_op_and_so_are_its_weights() -> None:
    graph = _darts().replace(EDGE, "dil_conv_5x5")
    assert EDGE not in graph
    keys = {ref.key for ref in expand(graph).params}
    assert "c00/n2.e0/dil_conv_5x5/dw1.weight" in keys
    assert not any(key.startswith(EDGE) for key in keys)


def test_a_replaced_node_stays_in_its_place_and_its_cell() -> None:
    before, after = _darts(), _darts().replace(EDGE, "avg_pool_3x3")
    index = [node.name for node in before].index(EDGE)
    assert after.nodes[index].name == "c00/n2.e0/avg_pool_3x3"
    assert after.nodes[index].cell == Cell("normal", "c00")
    assert after["c00/n2"].inputs == ("c00/n2.e0/avg_pool_3x3", *before["c00/n2"].inputs[1:])


def test_a_replaced_node_whose_new_name_is_taken_gets_a_number() -> None:
    pairs = "[('sep_conv_3x3', 0), ('skip_connect', 0)]"
    cells = f"normal={pairs}, normal_concat=[2], reduce={pairs}, reduce_concat=[2]"
    graph = network(f"Genotype({cells})", "cifar", channels=4, layers=3)
    graph = graph.replace("c00/n2.e0/skip_connect", "sep_conv_3x3")
    assert graph["c00/n2"].inputs == (EDGE, f"{EDGE}#2")
    place = graph[f"{EDGE}#2"].at
    assert place
    assert place.op == "sep_conv_3x3#2"
    assert parse_graph(print_graph(graph)) == graph


def test_a_replaced_node_of_any_other_name_keeps_it() -> None:
    graph = _one("act", "relu").replace("act", "tanh")
    assert [(node.name, node.op.name) for node in graph] == [("act", "tanh")]


def test_a_primitive_is_replaced_by_a_macro_of_the_same_window() -> None:
    graph = _one("conv2d", "conv2d", out=4, kernel=3, stride=2).replace("conv2d", "relu_conv_bn")
    assert dict(graph["relu_conv_bn"].attrs) == {
        "stride": 2,
        "affine": True,
        "out": 4,
        "kernel": 3,
    }


def test_an_op_is_inserted_between_a_value_and_its_readers() -> None:
    before = _darts()
    after = before.insert_after("c00/n2", "tanh")
    assert after["c00/n2+/tanh"].inputs == ("c00/n2",)
    for reader in before.readers["c00/n2"]:
        assert "c00/n2+/tanh" in after[reader].inputs
    assert after.readers["c00/n2"] == ("c00/n2+/tanh",)


def test_a_function_inserts_squeeze_and_excite() -> None:
    graph = _darts().insert_after("c00/n2", squeeze_excite, under="c00/n2/se")
    assert graph["c00/n2/se/scaled"].inputs == ("c00/n2", "c00/n2/se/sigmoid")
    assert [ref.key for ref in graph.params if "/se/" in ref.key] == [
        "c00/n2/se/down.weight",
        "c00/n2/se/down.bias",
        "c00/n2/se/up.weight",
        "c00/n2/se/up.bias",
    ]


def test_inserting_twice_after_one_value_gives_two_names() -> None:
    graph = _one("relu", "relu").insert_after("relu", "tanh").insert_after("relu", "tanh")
    assert [node.name for node in graph] == ["relu", "relu+2/tanh", "relu+/tanh"]


def test_a_function_that_adds_nothing_changes_nothing() -> None:
    graph = _darts()
    assert graph.insert_after("c00/n2", lambda _, x: x) is graph


def test_a_function_that_returns_no_value_of_its_own_is_anerror_of() -> None:
    error = error_of(lambda: _darts().insert_after("c00/n2", lambda b, x: b("relu", x) + "?"))
    assert error.code == "E401"
    assert error.message == "the function returned 'relu?', which is no value that it built"


def test_the_readers_of_a_removed_node_read_what_it_read() -> None:
    graph = _darts()
    after = graph.remove(EDGE)
    assert EDGE not in after
    assert after["c00/n2"].inputs[0] == "c00/pre0"


def test_a_node_of_several_inputs_is_removed_in_favour_of_a_named_one() -> None:
    graph = _darts()
    error = error_of(lambda: graph.remove("c00/n2"))
    assert error.code == "E401"
    assert error.message == "node 'c00/n2' reads 2 values"
    assert error.hint == "choose the value that its readers read: remove(name, instead=…)"
    assert "c00/n2" not in graph.remove("c00/n2", instead=EDGE)


def test_a_node_is_rewired_to_another_value_and_keeps_its_weights() -> None:
    graph = expand(_darts())
    name = f"{EDGE}/relu1"
    after = graph.rewire(name, {"c00/pre0/bn": "c00/pre1/bn"})
    assert after[name].inputs == ("c00/pre1/bn",)
    assert after.params == graph.params


def test_changed_attributes_change_the_weights() -> None:
    graph = _one("conv", "conv2d", out=4, kernel=3).with_attrs("conv", kernel=5)
    assert [(ref.key, ref.shape) for ref in graph.params] == [("conv.weight", (4, 3, 5, 5))]


def test_changed_attributes_leave_shared_weights_of_the_same_shape_shared() -> None:
    build = Builder(image=ImageType(3, 8, 8))
    build("conv2d", "image", name="a", out=4, kernel=3)
    build("conv2d", "image", name="b", out=4, kernel=3)
    graph = build.graph("a", "b")
    graph = graph.with_nodes([graph["a"], replace(graph["b"], params=graph["a"].params)])
    assert graph.with_attrs("b", stride=2).params == graph.params
    assert [ref.key for ref in graph.with_attrs("b", kernel=1).params] == ["a.weight", "b.weight"]


def test_an_edit_of_a_node_that_is_not_there_names_the_nearest() -> None:
    error = error_of(lambda: _darts().remove("c00/n2.e0/sep_conv_3x"))
    assert error.code == "E401"
    assert error.message == "there is no node 'c00/n2.e0/sep_conv_3x'"
    assert error.hint == f"did you mean '{EDGE}'?"


def test_an_insertion_after_a_value_that_is_not_there_names_the_nearest() -> None:
    error = error_of(lambda: _darts().insert_after("imagee", "relu"))
    assert str(error) == ("nasir: E401 there is no value 'imagee'\n  hint: did you mean 'image'?")


def test_a_replacement_of_another_type_fails_with_the_reader_and_the_types() -> None:
    error = error_of(lambda: _darts().replace(EDGE, "max_pool_3x3", stride=2))
    assert str(error) == (
        "node c00/n2: E305 add takes values of one type, not image[4,16,16] and image[4,32,32]"
    )


def test_a_removal_that_changes_a_type_fails_with_the_reader_and_the_types() -> None:
    graph = _one("conv", "conv2d", out=4, kernel=1).insert_after("conv", "batch_norm")
    error = error_of(lambda: graph.remove("conv"))
    assert error.code == "E305"
    assert str(error).startswith(
        "node conv+/batch_norm: E305 batch_norm has weights of shapes [(4,)"
    )


def test_a_rewiring_to_a_later_node_is_anerror_of() -> None:
    error = error_of(lambda: _darts().rewire(EDGE, {"c00/pre0": "c00/n3"}))
    assert error.code == "E401"
    assert error.message == f"node '{EDGE}' reads 'c00/n3', which comes later"


def test_a_rewiring_of_what_the_node_does_not_read_is_anerror_of() -> None:
    error = error_of(lambda: _darts().rewire(EDGE, {"image": "stem"}))
    assert str(error) == (
        f"nasir: E401 node '{EDGE}' does not read 'image'\n  hint: it reads: c00/pre0"
    )


def test_an_attribute_that_the_op_does_not_have_is_anerror_of() -> None:
    error = error_of(lambda: _darts().with_attrs(EDGE, strid=2))
    assert str(error) == (
        f"node {EDGE}: E306 sep_conv_3x3 has no attribute 'strid'\n  hint: did you mean 'stride'?"
    )


def _darts() -> Graph:
    return network("darts_v2", channels=4, layers=3)


def _one(name: str, op: str, **attrs: int) -> Graph:
    build = Builder(image=ImageType(3, 8, 8))
    build(op, "image", name=name, **attrs)
    return build.graph(name)
