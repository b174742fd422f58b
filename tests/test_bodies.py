"""Graphs that nodes apply: their text, their weights, editing them, and what is wrong with them."""

import importlib.util
from pathlib import Path

import torch

import lowering
import nasir
from nasir import Builder, Graph, SequenceType, VectorType, parse_graph, print_graph
from nasir.passes import INFERENCE, PASSES, dead_code, validate
from nasir.passes.rewriting import with_body
from tests.refusals import fails_with

TEXT = (Path(__file__).parent / "data/faults/bodies.txt").read_text()


def test_a_body_is_printed_once_and_read_back() -> None:
    graph = parse_graph(TEXT)
    assert print_graph(graph) == TEXT
    assert len(graph.bodies) == 1


NESTED = (Path(__file__).parent / "data/bodies.txt").read_text()


def test_a_body_in_a_body_is_printed_and_read_back() -> None:
    nested = parse_graph(NESTED)
    assert print_graph(nested) == NESTED
    assert [ref.key for ref in nested.params] == ["outer/inner/p.weight"]
    assert nasir.cost(nested).params == 9
    assert [node.name for node in nasir.cost(nested).nodes][:2] == [
        "outer/inner/p",
        "outer/inner/next",
    ]


def test_the_weights_of_a_body_belong_to_the_node_and_may_be_shared() -> None:
    graph = parse_graph(TEXT)
    assert [ref.key for ref in graph.params] == ["first/p.weight", "second/p.weight"]
    assert nasir.cost(graph).params == 18
    assert nasir.cost(graph).macs == 3 * 2 * 9


def test_bodies_that_nest_too_deeply_are_an_error() -> None:
    text = "nasir graph 1\n" + "".join(f"{'  ' * i}body b\n" for i in range(100))
    with fails_with("E106"):
        parse_graph(text)


def test_a_body_that_is_no_graph_is_an_error() -> None:
    with fails_with("E306") as caught:
        Builder(x=SequenceType(3), h=VectorType(3))("scan", "x", "h", body=3)
    assert "must be a graph" in caught.value.message


def test_a_body_is_edited_as_an_attribute_and_keeps_its_weights() -> None:
    graph = parse_graph(TEXT)
    body = graph.bodies[0].replace("next", "sigmoid")
    edited = graph.with_attrs("third", body=body)
    assert edited["third"].params == graph["third"].params
    assert [len(each) for each in edited.bodies] == [5, 5]
    assert parse_graph(print_graph(edited)) == edited


def test_a_scan_that_is_inserted_has_weights_under_its_new_name() -> None:
    graph = parse_graph(TEXT)
    body = graph.bodies[0]
    build = Builder(x=SequenceType(3), h=VectorType(3))
    build("masked", "x", build("dropout_mask", "x", name="mask"), name="masked")

    def more(b: Builder, x: str) -> str:
        state = b("last", x, name="state")
        return b("scan", x, state, state, name="again", body=body)

    edited = graph.insert_after("first", more, under="more")
    assert edited["more/again"].params[0].key == "more/again/p.weight"
    assert validate(edited)


def test_a_weight_that_nothing_shares_cannot_be_shared() -> None:
    build = Builder(x=VectorType(3))
    build("project", "x", name="a", out=3)
    build("project", "x", name="b", out=4)
    with fails_with("E401"):
        build.share("b", "a")


def test_dead_code_takes_unread_constants_from_a_body_and_its_node() -> None:
    graph = dead_code(parse_graph(TEXT))
    assert graph["first"].inputs == ("x", "h")
    assert [name for name, _ in graph.bodies[0].inputs] == ["x", "h"]


def test_a_random_body_makes_its_node_random() -> None:
    text = TEXT.replace("sum = add(x, h)", "mask2 = dropout_mask(x)", 1).replace(
        "project(sum)", "project(mask2)"
    )
    graph = parse_graph(text.replace("third = scan(second, h, mask)", "third = scan(x, h, mask)"))
    assert graph["first"].has("random")
    assert len(PASSES["cse"].run(graph)) == 3


def test_a_new_weight_of_a_body_gets_a_key_of_its_node() -> None:
    graph = parse_graph(TEXT)
    body = graph.bodies[0].insert_after("next", "project", out=3)
    node = with_body(graph["second"], body)
    assert [ref.key for ref in node.params] == [
        "second/p.weight",
        "second/next+/project.weight",
    ]


def test_batch_norms_in_a_body_are_kept_by_folding() -> None:
    """Nothing in a body has weights of its own to fold into but a convolution or a linear map."""
    text = TEXT.split("third =", maxsplit=1)[0].replace("both = add(p, q)", "both = batch_norm(p)")
    graph = parse_graph(f"{text}output second")
    assert PASSES["fold-batch-norm"].run(graph) == graph
    assert [ref.buffer for ref in graph.params[:6]] == [False, False, False, True, True, False]
    assert graph["first"].has("stateful")


def _normed() -> Graph:
    """Two batch norms of one set of statistics in a body, as in the search for recurrent cells."""
    step = Builder(x=VectorType(3), h=VectorType(3))
    total = step("add", "x", "h", name="sum")
    first = step("batch_norm", total, name="bn1", affine=False)
    step("batch_norm", step("project", first, name="p", out=3), name="bn2", affine=False)
    body = step.graph(step("tanh", step.share("bn2", "bn1"), name="next"))
    build = Builder(x=SequenceType(3), h=VectorType(3))
    return build.graph(build("scan", "x", "h", name="scan", body=body))


def test_folded_cells_of_one_kind_have_one_body() -> None:
    graph = nasir.network("darts_v2", channels=4, layers=12)
    called, _ = nasir.run_passes(graph, (*INFERENCE, PASSES["call-cells"]))
    bodies = [node.body for node in called if node.body is not None]
    assert len(bodies) == 12
    assert [bodies.index(body) for body in bodies] == [0, 1, 2, 2, 4, 5, 6, 6, 8, 9, 10, 11]


def test_a_shared_batch_norm_in_a_body_moves_its_statistics_at_every_step() -> None:
    module = lowering.to_torch(_normed()).train()
    x, h = torch.ones(4, 8, 3), torch.zeros(8, 3)
    module(x, h)
    state = module.state_dict()
    keys = ["scan/p.weight", "scan/bn1.running_mean", "scan/bn1.running_var"]
    assert sorted(state) == sorted(keys)
    # Of bn1 the batch's mean is 1 and of bn2 0: all examples are equal, so all norms give zeros.
    mean = torch.zeros(3)
    for _ in range(4):
        mean = 0.9 * (0.9 * mean + 0.1 * 1.0)
    assert torch.allclose(state["scan/bn1.running_mean"], mean)


def test_a_batch_norm_in_a_body_agrees_in_onnx_and_python(tmp_path: Path) -> None:
    graph = _normed()
    module = lowering.to_torch(graph).train()
    torch.manual_seed(0)
    x, h = torch.randn(4, 8, 3), torch.randn(8, 3)
    module(x, h)
    path = lowering.to_onnx(graph, module, tmp_path / "net.onnx")
    assert lowering.compare(graph, module, path).require().magnitude > 0
    path, _ = lowering.to_python(graph, module, tmp_path / "net.py")
    spec = importlib.util.spec_from_file_location("net", path)
    assert spec is not None
    assert spec.loader is not None
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    assert torch.equal(written.load()(x, h), module.eval()(x, h))
