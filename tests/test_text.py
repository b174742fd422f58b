"""The text form of a graph: how it looks, and what the parser says to wrong text."""

import pytest

from nasir import Builder, Cell, Choice, ImageType, parse_graph, print_graph
from tests.refusals import fails_with

TEXT = """\
nasir graph 1
meta space "darts"
meta note "a = \\"b\\"\\n"
input image: image[3,8,8]
stem = conv2d(image) {out=4, kernel=1x3, bias=true}: image[4,8,8]
c00/n2 = add(stem, stem): image[4,8,8] in normal c00
tied = conv2d(image) {out=4, kernel=1x3}: image[4,8,8] with \
weight=stem.weight[4,3,1,3] uniform(0.3333333333333333)
sep = sep_conv_3x3(tied) {affine=false}: image[4,8,8]
choice normal/n2.e0: op on edge, keep 1 of none skip_connect
output c00/n2
output sep
auxiliary tied
"""

HEAD = "nasir graph 1\ninput x: image[3,8,8]\n"


def test_a_text_is_printed_as_it_was_read() -> None:
    assert print_graph(parse_graph(TEXT)) == TEXT


def test_a_text_reads_as_the_graph_it_describes() -> None:
    graph = parse_graph(TEXT)
    assert graph.about == {"space": "darts", "note": 'a = "b"\n'}
    assert graph.inputs == (("image", ImageType(3, 8, 8)),)
    assert graph["c00/n2"].cell == Cell("normal", "c00")
    assert graph["tied"].params[0] == graph["stem"].params[0]
    assert graph.choices == (
        Choice("normal/n2.e0", "op on edge", ("none", "skip_connect"), keep=1),
    )
    assert (graph.outputs, graph.auxiliary) == (("c00/n2", "sep"), ("tied",))


def test_comments_and_empty_lines_are_left_out() -> None:
    assert parse_graph(TEXT.replace("stem =", "# a comment\n\nstem =", 1)) == parse_graph(TEXT)


def test_nodes_know_their_line_which_takes_no_part_in_equality() -> None:
    graph = parse_graph(TEXT, file="net.txt")
    assert str(graph["stem"].where) == "net.txt:5:1"
    assert graph == parse_graph(TEXT, file="other.txt")


@pytest.mark.parametrize("name", ["meta", "input", "choice", "output", "auxiliary", "nasir"])
def test_a_node_may_be_called_like_a_word_of_the_text(name: str) -> None:
    build = Builder(image=ImageType(3, 8, 8))
    build("relu", "image", name=name)
    graph = build.graph(name)
    assert parse_graph(print_graph(graph)) == graph


def test_weights_nested_a_thousand_deep_are_an_error() -> None:
    line = "y = conv2d(x) {out=1, kernel=1}: image[1,8,8] with weight="
    line += "k[1] fold_weight(1; a=" * 1000
    with fails_with("E104"):
        parse_graph(HEAD + line)
