"""What a format prints, it reads back as the same genotype."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasir import CellGenotype, Edge, Genotype, dump_genotype, load_genotype
from nasir.macros import EDGE_MACROS

NASBENCH201_OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]


@st.composite
def cells(
    draw: st.DrawFn, kind: str, count: int, ops: list[str], output: tuple[int, ...] | None
) -> CellGenotype:
    nodes = tuple(
        tuple(Edge(draw(st.sampled_from(ops)), draw(st.integers(0, state - 1))) for _ in range(2))
        for state in range(2, 2 + count)
    )
    states = st.lists(st.integers(0, count + 1), min_size=1, unique=True)
    return CellGenotype(kind, 2, nodes, output or tuple(draw(states)))


@st.composite
def darts_genotypes(draw: st.DrawFn) -> Genotype:
    normal = draw(cells("normal", draw(st.integers(1, 5)), list(EDGE_MACROS), None))
    reduce = draw(cells("reduce", draw(st.integers(1, 5)), list(EDGE_MACROS), None))
    return Genotype("darts", (normal, reduce))


@st.composite
def any_genotypes(draw: st.DrawFn) -> Genotype:
    """Cells of any number of inputs and of edges, under any name."""
    word = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,10}", fullmatch=True)
    line = st.text(st.characters(exclude_categories=("C", "Z")), max_size=20)
    found: list[CellGenotype] = []
    for kind in draw(st.lists(word, min_size=1, max_size=3, unique=True)):
        inputs, count = draw(st.integers(1, 4)), draw(st.integers(1, 6))
        edges = [
            st.lists(
                st.builds(Edge, st.sampled_from(list(EDGE_MACROS)), st.integers(0, state - 1)),
                min_size=1,
                max_size=4,
            )
            for state in range(inputs, inputs + count)
        ]
        output = st.lists(st.integers(0, inputs + count - 1), min_size=1, unique=True)
        nodes = tuple(tuple(draw(edge)) for edge in edges)
        found.append(CellGenotype(kind, inputs, nodes, tuple(draw(output))))
    return Genotype(draw(word), tuple(found), name=draw(line), source=draw(line))


@given(darts_genotypes())
def test_darts_text_gives_its_genotype_back(genotype: Genotype) -> None:
    assert load_genotype(dump_genotype(genotype, "darts")) == genotype


@given(any_genotypes())
def test_nasirs_own_json_gives_everything_back(genotype: Genotype) -> None:
    text = dump_genotype(genotype)
    back = load_genotype(text)
    assert (back, back.name, back.source) == (genotype, genotype.name, genotype.source)
    assert dump_genotype(back) == text


@given(any_genotypes())
def test_nasirs_own_json_reads_the_same_as_yaml(genotype: Genotype) -> None:
    text = "# this comment makes it YAML\n" + dump_genotype(genotype)
    assert load_genotype(text) == genotype


@pytest.mark.slow
def test_all_15625_nasbench201_strings_parse_and_print_back() -> None:
    for first, *second, third, fourth, fifth in product(NASBENCH201_OPS, repeat=6):
        text = f"|{first}~0|+|{second[0]}~0|{second[1]}~1|+|{third}~0|{fourth}~1|{fifth}~2|"
        assert dump_genotype(load_genotype(text), "nasbench201") == text
