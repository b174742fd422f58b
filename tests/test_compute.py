"""Spaces as something to compute with: sizes, numbers, draws, neighbours."""

from collections import Counter

import pytest

import nasir
from nasir import Edge, Genotype, load_genotype, load_space
from tests.refusals import fails_with

SIZES = {
    "darts": 1_037_664_180**2,
    "darts_no_none": 1_037_664_180**2,
    "nasbench201": 15_625,
    "nasbench201_connect": 3**6,
    "nasbench201_darts": 8**6,
    "nasbench201_s10": 2**6,
    "nasbench201_s2": 2**6,
    "nasbench201_s4": 2**6,
    "nasbench201_simple": 4**6,
    "s1": 2_123_366_400,
    "s2": 2_123_366_400,
    "s3": 2_123_366_400,
    "s4": 2_123_366_400,
}

SMALL = """\
nasir: 1
space: small
skeleton: cifar
cells:
  normal:
    inputs: 2
    nodes: 2
    edges:
      - {source: 0, node: 2, ops: [skip_connect, none]}
      - {source: 0, node: 3, ops: [sep_conv_3x3]}
      - {source: 1, node: 3, ops: [skip_connect, max_pool_3x3, none]}
      - {source: 2, node: 3, ops: [skip_connect, dil_conv_3x3]}
    exclude: [none]
    keep: 1
    output: [3, 2]
"""

WIDE = """\
nasir: 1
space: wide
skeleton: nasbench201
cells:
  cell: {inputs: 16, nodes: 32, ops: [skip_connect, max_pool_3x3], keep: 12, output: [47]}
"""


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_the_size_of_a_shipped_space_is_the_published_one(name: str, size: int) -> None:
    assert nasir.size(load_space(name)) == size


def test_the_genotypes_of_a_small_space_in_order() -> None:
    space = load_space(SMALL)
    genotypes = list(nasir.enumerate_genotypes(space))
    assert [genotype.cell("normal").nodes for genotype in genotypes] == [
        ((Edge("skip_connect", 0),), (Edge(op, source),))
        for op, source in (
            ("sep_conv_3x3", 0),
            ("skip_connect", 1),
            ("max_pool_3x3", 1),
            ("skip_connect", 2),
            ("dil_conv_3x3", 2),
        )
    ]
    assert {genotype.cell("normal").output for genotype in genotypes} == {(3, 2)}


def test_nasbench201_is_enumerated_with_the_last_edge_fastest() -> None:
    space = load_space("nasbench201")
    texts = [nasir.dump_genotype(g, "nasbench201") for g in nasir.enumerate_genotypes(space)]
    assert texts[0] == "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    assert texts[1] == "|none~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
    pools = [f"avg_pool_3x3~{source}" for source in range(3)]
    assert texts[-1] == "+".join(f"|{'|'.join(pools[:count])}|" for count in (1, 2, 3))
    assert len(set(texts)) == 15_625


def test_a_space_too_wide_to_list_has_a_size_and_ranks() -> None:
    space = load_space(WIDE)
    size = nasir.size(space)
    assert size > 10**300
    for index in (0, 1, size // 3, size - 1):
        assert nasir.rank(space, nasir.unrank(space, index)) == index


@pytest.mark.parametrize("index", [-1, 15_625, 10**30])
def test_an_index_outside_the_space_is_told(index: int) -> None:
    with fails_with("E202") as caught:
        nasir.unrank(load_space("nasbench201"), index)
    assert "0 to 15624" in caught.value.hint


def test_a_genotype_outside_the_space_has_no_rank() -> None:
    with fails_with("E211") as caught:
        nasir.rank(load_space("s2"), load_genotype("darts_v2"))
    assert "DARTS_V2" in caught.value.message
    assert "cannot apply" in caught.value.hint


def test_the_order_of_edges_and_outputs_does_not_change_a_rank() -> None:
    space, genotype = load_space("darts"), load_genotype("darts_v2")
    cells = tuple(
        nasir.CellGenotype(
            cell.kind, 2, tuple(edges[::-1] for edges in cell.nodes), cell.output[::-1]
        )
        for cell in genotype.cells
    )
    other = Genotype("mine", cells[::-1])
    assert nasir.rank(space, other) == nasir.rank(space, genotype)


def test_one_seed_always_draws_the_same_genotype() -> None:
    text = nasir.dump_genotype(nasir.sample(load_space("nasbench201"), 1), "nasbench201")
    assert text == (
        "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|skip_connect~2|"
    )


def test_draws_are_uniform_over_genotypes() -> None:
    """Chi-square over 96 genotypes whose nodes have edges with unequal numbers of ops."""
    text = SMALL.replace("keep: 1", "keep: 2").replace(
        "      - {source: 0, node: 2, ops: [skip_connect, none]}\n",
        "      - {source: 0, node: 2, ops: [skip_connect, avg_pool_3x3, noise, sep_conv_3x3]}\n"
        "      - {source: 1, node: 2, ops: [skip_connect, dil_conv_3x3, dil_conv_5x5]}\n",
    )
    space = load_space(text)
    size = nasir.size(space)
    assert size == 12 * (1 * 2 + 1 * 2 + 2 * 2)
    draws = 200 * size
    counts = Counter(nasir.rank(space, nasir.sample(space, seed)) for seed in range(draws))
    chi_square = sum((counts[i] - 200) ** 2 / 200 for i in range(size))
    assert chi_square < 143  # the 99.9 % point for 95 degrees of freedom


@pytest.mark.parametrize(
    ("name", "count"), [("nasbench201", 6 * 4), ("s2", 2 * (8 * 1 + 2 * (0 + 1 + 2 + 3)))]
)
def test_a_neighbour_has_another_op_or_another_source_on_one_edge(name: str, count: int) -> None:
    space = load_space(name)
    genotype = nasir.unrank(space, nasir.size(space) // 2)
    found = list(nasir.neighbours(space, genotype))
    assert len(found) == len(set(found)) == count


def test_edges_without_a_common_op_can_still_be_swapped() -> None:
    space = load_space(SMALL)
    first = nasir.unrank(space, 0)  # sep_conv_3x3 from 0, which no other edge has
    assert [nasir.rank(space, other) for other in nasir.neighbours(space, first)] == [1, 2, 3, 4]


def test_a_child_has_each_edge_from_either_parent() -> None:
    space = load_space("nasbench201")
    first, second = nasir.unrank(space, 0), nasir.unrank(space, 15_624)
    children = {nasir.crossover(space, first, second, seed) for seed in range(400)}
    ops = {edge.op for g in children for edges in g.cells[0].nodes for edge in edges}
    assert ops == {"none", "avg_pool_3x3"}
    assert len(children) == 64


def test_a_child_has_each_node_from_either_parent() -> None:
    space = load_space("darts")
    first, second = nasir.sample(space, 1), nasir.sample(space, 2)
    for seed in range(20):
        child = nasir.crossover(space, first, second, seed)
        for kind in space.kinds:
            for index, edges in enumerate(child.cell(kind).nodes):
                one, two = first.cell(kind).nodes[index], second.cell(kind).nodes[index]
                pairs = zip(edges, one, two, strict=True)
                assert edges in (one, two) or all(e in (a, b) for e, a, b in pairs)


@pytest.mark.parametrize(
    ("space", "genotype"),
    [
        ("s1", "c10_s1_pgd"),
        ("s2", "c10_s2_pgd"),
        ("s3", "c10_s3_pgd"),
        ("s4", "c10_s4_pcdarts"),
        ("darts_no_none", "c10_s5_pgd"),
    ],
)
def test_a_published_genotype_is_in_the_space_it_was_searched_in(space: str, genotype: str) -> None:
    assert load_space(space).contains(load_genotype(genotype)) == ()
