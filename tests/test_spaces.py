"""Spaces as files: the shipped ones, membership, and faults with their places."""

import json

import pytest

from nasir import NasirError, load_genotype
from nasir.space import Space, catalog, load_space, space_schema
from tests.command_line import ROOT


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
    cell = load_space(str(ROOT / "tests/data/faults/edges.yaml")).cell("normal")
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
