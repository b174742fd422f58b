"""Spaces as files: the shipped ones, membership, and faults with their places."""

import json

import pytest

from nasir import NasirError, load_genotype
from nasir.files import Source
from nasir.space import Space, catalog, load_space, parse_space, space_schema
from tests.command_line import ROOT

GOOD = """\
nasir: 1
space: mine
skeleton: cifar
cells:
  normal:
    inputs: 2
    nodes: 2
    ops: [none, skip_connect]
    exclude: [none]
    keep: 2
    output: [2, 3]
  reduce:
    like: normal
"""

EDGES = """\
nasir: 1
space: mine
skeleton: cifar
cells:
  normal:
    inputs: 2
    nodes: 2
    edges:
      - {source: 1, node: 3, ops: [noise]}
      - {source: 0, node: 2}
    ops: [skip_connect]
    output: [2, 3]
"""


def fault(text: str) -> NasirError:
    with pytest.raises(NasirError) as caught:
        load_space(text)
    return caught.value


def test_the_darts_space_has_eight_ops_on_each_edge() -> None:
    space = load_space("darts")
    assert space.kinds == ("normal", "reduce")
    for cell in space.cells:
        assert [(edge.source, edge.node) for edge in cell.edges] == [
            (source, node) for node in range(2, 6) for source in range(node)
        ]
        assert {len(edge.ops) for edge in cell.edges} == {8}
        assert (cell.keep, cell.exclude, cell.output) == (2, ("none",), (2, 3, 4, 5))


def test_the_nasbench201_space_has_15625_cells() -> None:
    space = load_space("NASBench201")
    (cell,) = space.cells
    pairs = [(edge.node, edge.source) for edge in cell.edges]
    assert pairs == [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)]
    assert [len(cell.selectable(edge)) for edge in cell.edges] == [5] * 6
    assert (cell.keep, cell.output, space.skeleton) == (None, (3,), "nasbench201")


def test_every_shipped_space_is_in_the_catalog_under_its_file_name() -> None:
    assert {"darts", "darts_rnn", "drnas", "nasbench201", "nasnet", "nnabla"} <= set(catalog())
    assert [path.stem for path in sorted((ROOT / "spaces").glob("*.yaml"))] == list(catalog())
    assert all(load_space(name) is space for name, space in catalog().items())


@pytest.mark.parametrize("space", catalog().values(), ids=catalog())
def test_a_shipped_space_says_what_it_is_and_where_it_was_published(space: Space) -> None:
    assert space.title
    assert space.paper.startswith("arXiv:")


def test_edges_may_be_listed_each_with_its_own_ops() -> None:
    cell = load_space(EDGES).cell("normal")
    assert [(edge.source, edge.node, edge.ops) for edge in cell.edges] == [
        (0, 2, ("skip_connect",)),
        (1, 3, ("noise",)),
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("NASNet", "cell 'normal' has 5 nodes, not 4"),
        ("ASHA200", "node 4 of cell 'normal' applies 'none' to node 1, which is never selected"),
        ("SETN", "node 5 of cell 'normal' cannot apply 'conv_3x1_1x3' to node 4"),
        ("|none~0|+|none~0|+|none~0|", "it has no cell 'normal'"),
    ],
)
def test_the_darts_space_says_why_a_genotype_is_not_in_it(name: str, reason: str) -> None:
    assert reason in load_space("darts").contains(load_genotype(name))


def test_a_double_source_is_outside_the_darts_space() -> None:
    pair = "('skip_connect', 0), ('skip_connect', 0)"
    good = ", ".join(["('skip_connect', 0), ('skip_connect', 1)"] * 4)
    bad = ", ".join([pair, *["('skip_connect', 0), ('skip_connect', 1)"] * 3])
    text = f"Genotype([{good}], range(2, 6), [{bad}], range(2, 6))"
    reasons = load_space("darts").contains(load_genotype(text))
    assert reasons == ("node 2 of cell 'reduce' reads node 0 more than once",)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("nasir: 1", "nasir: 2", ("E110", 1, 8)),
        ("nasir: 1", "nasir: one", ("E109", 1, 8)),
        ("nasir: 1\n", "", ("E109", 1, 1)),
        ("space: mine", "space: 3", ("E109", 2, 8)),
        ("space: mine", "space: two words", ("E109", 2, 8)),
        ("skeleton: cifar", "skeleton: cifra", ("E201", 3, 11)),
        ("skeleton: cifar\n", "", ("E109", 1, 1)),
        ("skeleton: cifar", "skeletons: cifar", ("E109", 3, 1)),
        ("inputs: 2", "inputs: 0", ("E107", 6, 13)),
        ("inputs: 2", "inputs: two", ("E109", 6, 13)),
        ("nodes: 2", "nodes: 2.5", ("E109", 7, 12)),
        ("nodes: 2", "nodes: .inf", ("E107", 7, 12)),
        ("nodes: 2", "nodes: true", ("E109", 7, 12)),
        ("nodes: 2", "nodes: 2\n    nodes: 3", ("E104", 8, 5)),
        ("nodes: 2", "node: 2", ("E109", 7, 5)),
        ("skip_connect]", "skip_conect]", ("E201", 8, 17)),
        ("skip_connect]", "none]", ("E109", 8, 17)),
        ("ops: [none, skip_connect]", "ops: none", ("E109", 8, 10)),
        ("ops: [none, skip_connect]", "ops: []", ("E109", 8, 10)),
        ("    ops: [none, skip_connect]\n", "", ("E109", 6, 5)),
        ("exclude: [none]", "exclude: [nine]", ("E201", 9, 15)),
        ("exclude: [none]", "exclude: [none, skip_connect]", ("E109", 9, 14)),
        ("keep: 2", "keep: 3", ("E202", 10, 11)),
        ("keep: 2", "keep: some", ("E109", 10, 11)),
        ("keep: 2", "keep: 0", ("E107", 10, 11)),
        ("output: [2, 3]", "output: [2, 4]", ("E202", 11, 17)),
        ("output: [2, 3]", "output: [2, 2]", ("E202", 11, 17)),
        ("output: [2, 3]", "output: []", ("E109", 11, 13)),
        ("like: normal", "like: normale", ("E202", 13, 11)),
        ("like: normal", "like: reduce", ("E202", 13, 11)),
        ("    like: normal", "    like: normal\n    keep: 1", ("E109", 14, 5)),
        ("  reduce:\n    like: normal", "  reduce: 1", ("E109", 12, 11)),
        ("  reduce:", "  re duce:", ("E109", 13, 5)),
    ],
)
def test_a_fault_in_a_space_file_has_its_place(
    old: str, new: str, expected: tuple[str, int, int]
) -> None:
    assert old in GOOD
    error = fault(GOOD.replace(old, new, 1))
    assert (error.code, error.where.line, error.where.column) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("source: 1, node: 3", "source: 4, node: 3", ("E202", 9, 18)),
        ("source: 1, node: 3", "source: 1, node: 4", ("E202", 9, 27)),
        ("source: 1, node: 3", "source: 0, node: 1", ("E202", 9, 27)),
        ("source: 1, node: 3", "source: 3, node: 3", ("E202", 9, 18)),
        ("source: 1, node: 3", "source: 1, node: 2", ("E202", 9, 7)),
        ("- {source: 0, node: 2}", "- {source: 1, node: 3}", ("E109", 10, 9)),
        ("[noise]", "[noisy]", ("E201", 9, 36)),
        ("{source: 0, node: 2}", "{source: 0, mode: 2}", ("E109", 10, 21)),
        ("    ops: [skip_connect]\n", "", ("E109", 6, 5)),
    ],
)
def test_a_fault_in_listed_edges_has_its_place(
    old: str, new: str, expected: tuple[str, int, int]
) -> None:
    assert old in EDGES
    error = fault(EDGES.replace(old, new, 1))
    assert (error.code, error.where.line, error.where.column) == expected


@pytest.mark.parametrize("text", [GOOD, EDGES])
def test_a_space_file_truncated_anywhere_raises_only_nasir_errors(text: str) -> None:
    accepted = 0
    for end in range(len(text)):
        try:
            parse_space(Source.of(text[:end]))
            accepted += 1
        except NasirError:
            continue
    assert accepted < len(text) / 4


def test_the_schema_describes_every_field_and_lists_every_op() -> None:
    schema = space_schema()
    text = json.dumps(schema)
    assert "sep_conv_3x3" in text
    assert "nasbench201" in text
    for model in [schema, *schema["$defs"].values()]:
        for name, field in model["properties"].items():
            assert field.get("description"), name


def test_a_name_that_means_two_spaces_is_an_error_that_names_both() -> None:
    with pytest.raises(NasirError, match=r"unknown space .S5.") as caught:
        load_space("S5")
    assert "'darts'" in caught.value.hint
    assert "'darts_no_none'" in caught.value.hint
