"""Laws of the text form: it holds every graph, and wrong text is an error of nasir's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasir import (
    PASSES,
    Builder,
    Graph,
    ImageType,
    NasirError,
    parse_graph,
    print_graph,
    run_passes,
)
from nasir.node import Cell
from tests.strategies import examples, graphs


@examples(150)
@given(graphs())
def test_a_printed_graph_parses_to_an_equal_graph(graph: Graph) -> None:
    assert parse_graph(print_graph(graph)) == graph


@examples(50)
@given(graphs(), st.sampled_from(["\r\n", "\r"]))
def test_the_line_break_does_not_matter(graph: Graph, line_break: str) -> None:
    assert parse_graph(print_graph(graph).replace("\n", line_break)) == graph


@examples(50)
@given(graphs())
def test_a_graph_with_folded_weights_parses_to_an_equal_graph(graph: Graph) -> None:
    folded, _ = run_passes(graph, PASSES.values())
    assert parse_graph(print_graph(folded)) == folded


@examples(150)
@given(graphs(), st.data(), st.text(max_size=3))
def test_text_that_is_changed_somewhere_parses_or_is_an_error(
    graph: Graph, data: st.DataObject, instead: str
) -> None:
    text = print_graph(graph)
    at = data.draw(st.integers(0, len(text) - 1))
    _parses_or_is_an_error(text[:at] + instead + text[at + 1 :])


@given(st.text())
def test_any_text_parses_or_is_an_error(text: str) -> None:
    _parses_or_is_an_error(f"nasir graph 1\n{text}")


@pytest.mark.parametrize("character", ['"', "9", " ", "[", "=", "\n", "-", "\\", "x", "\0"])
def test_text_with_any_one_character_replaced_parses_or_is_an_error(character: str) -> None:
    text = print_graph(_full())
    for at in range(0, len(text), 3):
        _parses_or_is_an_error(text[:at] + character + text[at + 1 :])


def _full() -> Graph:
    """A graph that has something of everything that text can hold."""
    build = Builder(image=ImageType(3, 8, 8))
    build.cell = Cell("normal", "c00")
    x = build("conv2d", "image", name="a", out=4, kernel=(1, 3), padding=(0, 1))
    x = build("batch_norm", x, name="bn", eps=0.001, momentum=0.0)
    build.cell = None
    y = build("sep_conv_3x3", "image", name="b", stride=2, affine=False)
    graph = build.graph(x, auxiliary=(y,), meta={"space": 'a\n"b"\u2028\\'})
    graph, _ = run_passes(graph, [PASSES["fold-batch-norm"]])
    text = print_graph(graph)
    return parse_graph(text + "choice normal/n2.e0: op on edge, keep 1 of none skip_connect\n")


def _parses_or_is_an_error(text: str) -> None:
    """Any other exception fails the test."""
    try:
        graph = parse_graph(text)
    except NasirError:
        return
    assert parse_graph(print_graph(graph)) == graph
