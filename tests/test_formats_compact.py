"""BANANAS's lists and NASLib's tuples of numbers."""

from itertools import product

import pytest

from nasir import Edge, dump_genotype, load_genotype
from tests.refusals import fails_with

STRING = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|avg_pool_3x3~1|none~2|"
PAIRS = "(0, 4), (1, 3), (0, 1), (2, 6), (1, 2), (3, 5), (0, 0), (4, 7)"
BANANAS = f"[[{PAIRS}], [{PAIRS}]]"
NASLIB = "(((0, 3), (1, 2), (0, 0), (2, 5), (1, 1), (3, 4), (0, 6), (4, 6)), (" + (
    "(0, 3), " * 7 + "(0, 3)))"
)


def test_bananas_has_the_source_first_and_darts_numbers() -> None:
    nodes = load_genotype(BANANAS).cell("normal").nodes
    assert nodes == (
        (Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),
        (Edge("max_pool_3x3", 0), Edge("dil_conv_3x3", 2)),
        (Edge("avg_pool_3x3", 1), Edge("sep_conv_5x5", 3)),
        (Edge("none", 0), Edge("dil_conv_5x5", 4)),
    )
    assert dump_genotype(load_genotype(BANANAS), "bananas") == BANANAS


def test_naslibs_numbers_have_no_none() -> None:
    nodes = load_genotype(NASLIB, format="naslib").cell("normal").nodes
    assert nodes == (
        (Edge("sep_conv_3x3", 0), Edge("skip_connect", 1)),
        (Edge("max_pool_3x3", 0), Edge("dil_conv_3x3", 2)),
        (Edge("avg_pool_3x3", 1), Edge("sep_conv_5x5", 3)),
        (Edge("dil_conv_5x5", 0), Edge("dil_conv_5x5", 4)),
    )
    assert dump_genotype(load_genotype(NASLIB, format="naslib"), "naslib") == NASLIB


def test_naslibs_six_numbers_go_by_source() -> None:
    """Edges 0 1, 0 2, 0 3, 1 2, 1 3, 2 3."""
    assert dump_genotype(load_genotype(STRING), "naslib") == "(2, 3, 0, 1, 4, 1)"


@pytest.mark.parametrize("text", ["(2, 3, 0, 1, 4, 1)", "[2,3,0,1,4,1]", " ( 2,3,0,1,4,1, )\n"])
def test_six_numbers_may_stand_in_any_brackets(text: str) -> None:
    assert load_genotype(text, format="naslib") == load_genotype(STRING)


def test_six_numbers_are_refused_with_what_each_reading_gives() -> None:
    with fails_with("E108") as caught:
        load_genotype("(2, 3, 0, 1, 4, 1)")
    nodes = (
        "nor_conv_1x1~0",
        "nor_conv_3x3~0|none~1",
        "skip_connect~0|avg_pool_3x3~1|skip_connect~2",
    )
    by_node = "|+|".join(nodes)
    by_source = by_node.replace("+|skip_connect~0", "+|none~0").replace("none~1", "skip_connect~1")
    assert caught.value.hint.split("\n")[1:] == [
        f"  --from naslib: {STRING}",
        f"  --from nasbench201_by_node: |{by_node}|",
        f"  --from nasbench201_by_source: |{by_source}|",
    ]
    assert f"\n      --from naslib: {STRING}\n" in str(caught.value)


def test_six_numbers_that_mean_one_cell_in_every_order_are_read() -> None:
    pools = load_genotype("[4, 4, 4, 4, 4, 4]")
    assert {edge.op for edges in pools.cells[0].nodes for edge in edges} == {"avg_pool_3x3"}


@pytest.mark.parametrize("name", ["naslib", "nasbench201_by_node", "nasbench201_by_source"])
def test_all_15625_cells_of_nasbench201_have_their_six_numbers(name: str) -> None:
    for number, ops in enumerate(product(range(5), repeat=6)):
        if number % 11 == 0:
            text = dump_genotype(load_genotype(repr(ops), format=name), name)
            assert text == repr(ops if name == "naslib" else list(ops))


@pytest.mark.parametrize("brackets", ["[]()", "()()", "([()])", "[[[]]]"])
def test_brackets_do_not_say_whose_numbers_they_are(brackets: str) -> None:
    """BANANAS draws a tuple of lists and mutates lists of lists; NASLib has tuples."""
    text = NASLIB if brackets == "()()" else BANANAS.replace("(4, 7)", "(4, 6)")
    if brackets == "([()])":
        text = f"({text[1:-1]})"
    if brackets == "[[[]]]":
        text = text.replace("(", "[").replace(")", "]")
    with fails_with("E108", "bananas, naslib") as caught:
        load_genotype(text)
    assert "--from bananas: normal: " in caught.value.hint
    assert load_genotype(text, format="bananas") != load_genotype(text, format="naslib")
