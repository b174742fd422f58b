"""Canonical ids: what is equal, what never is, and how many classes there are."""

from collections import defaultdict
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import nasir
from nasir import CellGenotype, Edge, Genotype, canonical_id, load_genotype
from nasir.formats import entries, load_entry

ID = "733ac656a47f3738713962161e17be87"


def cell(text: str) -> Genotype:
    """The genotype of one cell of the data file."""
    kind, inputs = "normal", "2"
    if ": " in text:
        head, text = text.split(": ")
        kind, inputs = head.split()
    nodes, output = text.split(" -> ")
    edges = tuple(
        tuple(Edge(op, int(source)) for op, source in (part.split("~") for part in node.split()))
        for node in nodes.split(" | ")
    )
    found = CellGenotype(kind, int(inputs), edges, tuple(map(int, output.split())))
    return Genotype("darts", (found,))


PAIRS = YAML(typ="safe", pure=True).load(Path(__file__).parent / "data" / "canonical.yaml")


def test_the_id_of_a_published_genotype_does_not_change() -> None:
    """Ids stand in people's files: a change of an op or of the rules must be meant."""
    assert canonical_id(load_genotype("darts_v2")) == ID


@pytest.mark.parametrize("pair", PAIRS["equal"].values(), ids=PAIRS["equal"])
def test_genotypes_that_a_rule_shows_equal_have_one_id(pair: list[str]) -> None:
    first, second = map(cell, pair)
    assert canonical_id(first) == canonical_id(second)
    assert nasir.correspondence(first, second) is not None


@pytest.mark.parametrize("pair", PAIRS["different"].values(), ids=PAIRS["different"])
def test_genotypes_that_differ_have_two_ids(pair: list[str]) -> None:
    first, second = map(cell, pair)
    assert canonical_id(first) != canonical_id(second)
    assert nasir.correspondence(first, second) is None


def test_a_correspondence_pairs_edges_and_outputs() -> None:
    first = cell("sep_conv_3x3~0 | dil_conv_3x3~1 max_pool_3x3~0 -> 2 3")
    second = cell("max_pool_3x3~0 dil_conv_3x3~1 | sep_conv_3x3~0 -> 2 3")
    pairs = nasir.correspondence(first, second)
    assert pairs is not None
    (found,) = pairs
    assert dict(found.edges) == {(2, 0): (3, 0), (3, 0): (2, 1)}
    assert found.outputs == (1, 0)


def test_the_published_genotypes_that_are_one_architecture_differ_in_what_noise_reads() -> None:
    groups: dict[str, set[str]] = defaultdict(set)
    for entry in entries():
        genotype = load_entry(entry)
        if genotype.kinds == ("normal", "reduce"):
            groups[canonical_id(genotype)].add(entry.name)
    assert sorted(sorted(names) for names in groups.values() if len(names) > 1) == [
        ["blank_pt_s4_1", "blank_pt_s4_c100_1", "darts_pt_s4_c100_2"],
        ["blank_pt_s4_2", "darts_pt_s4_c100_1"],
        ["darts_pt_s4_1", "darts_pt_s4_svhn_1"],
    ]
