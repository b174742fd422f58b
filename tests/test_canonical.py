"""Canonical ids: what is equal, what never is, and how many classes there are."""

from collections import defaultdict

import pytest

import nasir
from nasir import CellGenotype, Edge, Genotype, canonical_id, load_genotype
from nasir.formats import entries, load_entry

ID = "733ac656a47f3738713962161e17be87"


def cell(*nodes: str, output: tuple[int, ...], kind: str = "normal", inputs: int = 2) -> Genotype:
    """A genotype of one cell; a node is written `op~source op~source`."""
    edges = tuple(
        tuple(Edge(op, int(source)) for op, source in (part.split("~") for part in node.split()))
        for node in nodes
    )
    return Genotype("darts", (CellGenotype(kind, inputs, edges, output),))


def same(first: Genotype, second: Genotype) -> bool:
    return canonical_id(first) == canonical_id(second)


def one(*nodes: str, kind: str = "normal", inputs: int = 2) -> Genotype:
    """A cell whose last node leaves."""
    return cell(*nodes, output=(inputs + len(nodes) - 1,), kind=kind, inputs=inputs)


def test_the_id_of_a_published_genotype_does_not_change() -> None:
    """Ids stand in people's files: a change of an op or of the rules must be meant."""
    assert canonical_id(load_genotype("darts_v2")) == ID


EQUAL = {
    "order of edges": (one("sep_conv_3x3~0 max_pool_3x3~1"), one("max_pool_3x3~1 sep_conv_3x3~0")),
    "names of nodes": (
        cell("sep_conv_3x3~0", "max_pool_3x3~0", "dil_conv_3x3~2 skip_connect~3", output=(4,)),
        cell("max_pool_3x3~0", "sep_conv_3x3~0", "skip_connect~2 dil_conv_3x3~3", output=(4,)),
    ),
    "order of the output": (
        cell("sep_conv_3x3~0", "dil_conv_3x3~0", output=(2, 3)),
        cell("sep_conv_3x3~0", "dil_conv_3x3~0", output=(3, 2)),
    ),
    "a skip is what it reads": (
        one("sep_conv_3x3~0", "skip_connect~2", "sep_conv_3x3~3"),
        one("sep_conv_3x3~0", "sep_conv_3x3~2"),
    ),
    "a sum in a sum": (
        one("sep_conv_3x3~0 max_pool_3x3~1", "skip_connect~2 skip_connect~0"),
        one("sep_conv_3x3~0 max_pool_3x3~1 skip_connect~0"),
    ),
    "a zero in a sum": (one("sep_conv_3x3~0 none~1"), one("sep_conv_3x3~0")),
    "a pool of zero": (one("none~0", "max_pool_3x3~2 sep_conv_3x3~1"), one("sep_conv_3x3~1")),
    "a zero of zero": (
        one("none~0 none~1", "skip_connect~2 skip_connect~0"),
        one("skip_connect~0"),
    ),
    "a constant of either kernel": (
        one("none~0", "dil_conv_3x3~2 skip_connect~1"),
        one("none~0", "dil_conv_5x5~2 skip_connect~1"),
    ),
    "a node that nothing reads": (
        one("sep_conv_3x3~0", "max_pool_3x3~1", "skip_connect~2"),
        one("sep_conv_3x3~0"),
    ),
    "a pool computed twice": (
        one("max_pool_3x3~0", "max_pool_3x3~0", "skip_connect~2 skip_connect~3"),
        one("max_pool_3x3~0", "skip_connect~2 skip_connect~2"),
    ),
    "the mean of a sum": (
        one("sep_conv_3x3~0 skip_connect~1", "avg_pool_3x3~2"),
        one("sep_conv_3x3~0", "avg_pool_3x3~2 avg_pool_3x3~1"),
    ),
    "what noise reads": (one("noise~0"), one("sep_conv_3x3~1", "noise~2")),
    "two names of one op": (
        one("dua_sepc_3x3~0 dil_sepc_5x5~1"),
        one("sep_conv_3x3~0 dil_conv_5x5~1"),
    ),
    "a skip inside a reducing cell": (
        one("sep_conv_3x3~0", "skip_connect~2", kind="reduce"),
        one("sep_conv_3x3~0", kind="reduce"),
    ),
}

DIFFERENT = {
    "two convolutions and one read twice": (
        one("sep_conv_3x3~0 sep_conv_3x3~0"),
        one("sep_conv_3x3~0", "skip_connect~2 skip_connect~2"),
    ),
    "who reads which of two convolutions": (
        cell("sep_conv_3x3~0", "sep_conv_3x3~0", "skip_connect~2 dil_conv_3x3~2", output=(3, 4)),
        cell("sep_conv_3x3~0", "sep_conv_3x3~0", "skip_connect~2 dil_conv_3x3~3", output=(3, 4)),
    ),
    "crossed and straight pairs": (
        cell(
            *["sep_conv_3x3~0", "sep_conv_3x3~0"],
            *["skip_connect~2 dil_conv_3x3~2", "skip_connect~3 dil_conv_3x3~3"],
            output=(4, 5),
        ),
        cell(
            *["sep_conv_3x3~0", "sep_conv_3x3~0"],
            *["skip_connect~2 dil_conv_3x3~3", "skip_connect~3 dil_conv_3x3~2"],
            output=(4, 5),
        ),
    ),
    "two draws and one read twice": (
        one("noise~0 noise~0"),
        one("noise~0", "skip_connect~2 skip_connect~2"),
    ),
    "once and twice": (one("skip_connect~0 skip_connect~0"), one("skip_connect~0")),
    "zero and the constant of a convolution": (
        one("none~0", "sep_conv_3x3~2 skip_connect~1"),
        one("skip_connect~1"),
    ),
    "the borders of a separable constant": (
        one("none~0", "sep_conv_3x3~2 skip_connect~1"),
        one("none~0", "sep_conv_5x5~2 skip_connect~1"),
    ),
    "a reducing skip from an input": (
        one("skip_connect~0 max_pool_3x3~1", "skip_connect~2 skip_connect~2", kind="reduce"),
        one("skip_connect~0 skip_connect~0 max_pool_3x3~1 max_pool_3x3~1", kind="reduce"),
    ),
    "a skip in a kind of cell that may reduce": (
        one("skip_connect~0", "sep_conv_3x3~2", kind="other"),
        one("sep_conv_3x3~0", kind="other"),
    ),
    "the inputs": (one("sep_conv_3x3~0"), one("sep_conv_3x3~1")),
    "the order of ops": (
        one("sep_conv_3x3~0", "dil_conv_3x3~2"),
        one("dil_conv_3x3~0", "sep_conv_3x3~2"),
    ),
    "the maximum of a sum": (
        one("sep_conv_3x3~0 skip_connect~1", "max_pool_3x3~2"),
        one("sep_conv_3x3~0", "max_pool_3x3~2 max_pool_3x3~1"),
    ),
    "how wide the output is": (
        cell("sep_conv_3x3~0", "skip_connect~2", output=(2, 3)),
        cell("sep_conv_3x3~0", "skip_connect~2", output=(2,)),
    ),
    "a zero that leaves": (
        cell("sep_conv_3x3~0", "none~0", output=(2, 3)),
        cell("sep_conv_3x3~0", "none~0", output=(2,)),
    ),
    "a shared and a repeated convolution that leave": (
        cell("sep_conv_3x3~0", "skip_connect~2", output=(2, 3)),
        cell("sep_conv_3x3~0", "sep_conv_3x3~0", output=(2, 3)),
    ),
    "the kind": (one("sep_conv_3x3~0"), one("sep_conv_3x3~0", kind="reduce")),
    "the number of inputs": (one("sep_conv_3x3~0"), one("sep_conv_3x3~0", inputs=1)),
}


@pytest.mark.parametrize("pair", EQUAL.values(), ids=EQUAL)
def test_genotypes_that_a_rule_shows_equal_have_one_id(pair: tuple[Genotype, Genotype]) -> None:
    assert same(*pair)
    assert nasir.correspondence(*pair) is not None


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_genotypes_that_differ_have_two_ids(pair: tuple[Genotype, Genotype]) -> None:
    assert not same(*pair)
    assert nasir.correspondence(*pair) is None


def test_a_correspondence_pairs_edges_and_outputs() -> None:
    first = cell("sep_conv_3x3~0", "dil_conv_3x3~1 max_pool_3x3~0", output=(2, 3))
    second = cell("max_pool_3x3~0 dil_conv_3x3~1", "sep_conv_3x3~0", output=(2, 3))
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
