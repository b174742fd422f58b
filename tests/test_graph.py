"""The graph: what its construction checks, and what it says about itself."""

import copy
import cProfile
import pickle
from dataclasses import replace

import pytest

from nasir import Builder, Graph, ImageType, VectorType, network
from nasir.ops import PRIMITIVES
from nasir.passes import validate
from tests.refusals import error_of

IMAGE = ImageType(3, 8, 8)


def test_a_graph_without_an_output_is_anerror_of() -> None:
    error = error_of(lambda: Builder(image=IMAGE).graph())
    assert error.code == "E202"
    assert error.message == "the graph has no output"


def test_a_name_that_is_taken_is_anerror_of() -> None:
    build = Builder(image=IMAGE)
    build("relu", "image", name="x")
    error = error_of(lambda: build("tanh", "image", name="x"))
    assert str(error) == "node x: E401 the name 'x' is taken"


def test_two_nodes_of_one_name_are_anerror_of() -> None:
    graph = _chain("relu")
    error = error_of(lambda: graph.with_nodes([*graph.nodes, *graph.nodes]))
    assert str(error) == "node relu: E401 two nodes are called 'relu'"


def test_a_node_that_reads_itself_is_anerror_of() -> None:
    graph = _chain("relu")
    looped = replace(graph["relu"], inputs=("relu",))
    error = error_of(lambda: graph.with_nodes([looped]))
    assert str(error) == "node relu: E401 node 'relu' reads itself"


def test_a_node_that_reads_a_later_one_is_anerror_of() -> None:
    graph = _chain("relu", "tanh")
    error = error_of(lambda: graph.with_nodes(reversed(graph.nodes)))
    assert str(error) == "node tanh: E401 node 'tanh' reads 'relu', which comes later"


def test_weights_of_other_shapes_than_the_op_asks_for_are_anerror_of() -> None:
    build = Builder(image=IMAGE)
    build("conv2d", "image", name="conv", out=4, kernel=1)
    graph = build.graph("conv")
    wrong = replace(graph["conv"], params=(replace(graph.params[0], shape=(4, 3, 3, 3)),))
    error = error_of(lambda: graph.with_nodes([wrong]))
    assert error.code == "E305"
    assert "[(4, 3, 3, 3)]; its input needs [(4, 3, 1, 1)]" in error.message


@pytest.mark.parametrize("size", [ImageType(0, 8, 8), ImageType(3, -1, 8), VectorType(0)])
def test_an_input_without_any_scalar_is_anerror_of(size: ImageType | VectorType) -> None:
    build = Builder(x=size)
    error = error_of(lambda: build.graph("x"))
    assert (error.code, error.message) == ("E107", f"the input 'x' is {size}: sizes start at 1")


def test_two_inputs_of_one_name_are_anerror_of() -> None:
    error = error_of(lambda: Graph((), (("x", IMAGE), ("x", IMAGE)), ("x",)))
    assert (error.code, error.message) == ("E401", "two inputs are called 'x'")


def test_a_copy_and_a_pickle_are_equal_graphs_of_the_very_same_ops() -> None:
    graph = network("darts_v2", channels=4, layers=3)
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert other == graph
        assert all(a.op is b.op for a, b in zip(graph, other, strict=True))


def test_the_work_of_building_and_editing_grows_with_the_layers_and_not_faster() -> None:
    """In calls, which repeat exactly, rather than in seconds."""

    def calls(layers: int) -> int:
        profile = cProfile.Profile()
        with profile:
            graph = _long(layers)
            graph.insert_after("n5", "tanh")
            assert graph.readers["n5"] == ("n6",)
        return sum(entry.callcount for entry in profile.getstats())

    calls(100)
    assert calls(2000) < 2.2 * calls(1000)


@pytest.mark.parametrize("name", ["a b", "1a", "", "a(b", "a=b", 'a"', "a,b", "a:b", "a\u2028b"])
def test_a_name_that_text_cannot_hold_is_not_valid(name: str) -> None:
    graph = _chain("relu")
    renamed = replace(graph, nodes=(replace(graph["relu"], name=name),), outputs=(name,))
    error = error_of(lambda: validate(renamed))
    assert error.code == "E104"
    assert error.message.endswith("cannot be a name")


@pytest.mark.parametrize("key", ["a b", "a..weight", ".weight", "x."])
def test_a_weight_key_that_no_module_can_hold_is_not_valid(key: str) -> None:
    graph = _conv()
    ref = replace(graph.params[0], key=key)
    error = error_of(lambda: validate(graph.with_nodes([replace(graph["conv"], params=(ref,))])))
    assert (error.code, error.message) == ("E104", f"'{key}' cannot be a key")


def test_one_key_for_two_different_weights_is_not_valid() -> None:
    build = Builder(image=IMAGE)
    build("conv2d", "image", name="a", out=4, kernel=1)
    build("conv2d", "image", name="b", out=5, kernel=1)
    graph = build.graph("a", "b")
    clash = replace(graph["b"].params[0], key="a.weight")
    error = error_of(
        lambda: validate(graph.with_nodes([graph["a"], replace(graph["b"], params=(clash,))]))
    )
    assert str(error) == "node b: E401 two weights are called 'a.weight'"


def test_one_cell_of_two_kinds_is_not_valid() -> None:
    from nasir import Cell

    build = Builder(image=IMAGE)
    build.cell = Cell("normal", "c00")
    build("relu", "image", name="a")
    build.cell = Cell("reduce", "c00")
    build("relu", "a", name="b")
    error = error_of(lambda: validate(build.graph("b")))
    assert str(error) == "node b: E401 cell 'c00' is both normal and reduce"


def _chain(*ops: str) -> Graph:
    build = Builder(image=IMAGE)
    last = "image"
    for op in ops:
        last = build(op, last, name=op)
    return build.graph(last)


def _conv() -> Graph:
    build = Builder(image=IMAGE)
    build("conv2d", "image", name="conv", out=4, kernel=1)
    return build.graph("conv")


def _long(layers: int) -> Graph:
    build = Builder(image=IMAGE)
    last = "image"
    for number in range(layers):
        last = build("relu", last, name=f"n{number}")
    return build.graph(last)


def test_comparing_an_op_with_a_text_is_anerror_of() -> None:
    for op in (network("darts_v2").nodes[0].op, PRIMITIVES["relu"]):
        assert op == op and op != PRIMITIVES["tanh"]  # noqa: PT018
        with pytest.raises(TypeError, match=r"\.op\.name"):
            _ = op == "relu"
