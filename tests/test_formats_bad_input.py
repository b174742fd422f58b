"""Every fault of a genotype file has its code and its place."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nasir import NasirError, dump_genotype, load_genotype

Spot = tuple[str, int, int]

STRING = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def caught(text: str) -> NasirError:
    with pytest.raises(NasirError) as error:
        load_genotype(text)
    return error.value


def spot(text: str) -> Spot:
    error = caught(text)
    assert error.where.text == text.split("\n")[error.where.line - 1]
    return (error.code, error.where.line, error.where.column)


def own(nodes: str, output: str = "[2]", inputs: str = "2") -> str:
    cell = f'{{"inputs": {inputs},\n"nodes": {nodes},\n"output": {output}}}'
    return f'{{"nasir": 1, "genotype": {{"space": "mine", "cells": {{"normal":\n{cell}}}}}}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (own('[[["skip_connect", 0],\n["sep_conv_3x4", 1]]]'), ("E201", 4, 2)),
        (own("[[]]"), ("E202", 3, 11)),
        (own('[[["skip_connect", 2]]]'), ("E202", 3, 29)),
        (own('[[["skip_connect", 3]],[["none", 0]]]'), ("E202", 3, 29)),
        (own('[[["skip_connect", 9]]]'), ("E202", 3, 29)),
        (own('[[["skip_connect", -1]]]'), ("E202", 3, 29)),
        (own('[[["skip_connect", 0]]]', inputs="0"), ("E202", 2, 12)),
        (own('[[["skip_connect", 0]]]', inputs="1000000000"), ("E202", 2, 12)),
        (own('[[["skip_connect", 0]]]', "[2, 3]"), ("E202", 4, 15)),
        (own('[[["skip_connect", 0]]]', "[2, 2]"), ("E202", 4, 15)),
        (own('[[["skip_connect", 0]]]', "[]"), ("E202", 4, 11)),
        (own("[]"), ("E202", 2, 1)),
        (own('[[["skip_connect", 0, 1]]]'), ("E109", 3, 12)),
        (own('[[["skip_connect", "0"]]]'), ("E109", 3, 29)),
        (own('[[["skip_connect", 0.5]]]'), ("E109", 3, 29)),
        (own('[[["skip_connect", true]]]'), ("E109", 3, 29)),
        (own('[[["skip_connect", NaN]]]'), ("E107", 3, 29)),
        (own('[[["skip_connect", 1e300]]]'), ("E107", 3, 29)),
        (own("[[[6, 0]]]"), ("E109", 3, 13)),
        (own("{}"), ("E109", 3, 10)),
        (own("[]").replace('"cells"', '"size": {"chanels": 3}, "cells"'), ("E109", 1, 53)),
        (own("[]").replace('"cells"', '"size": {"channels": 0}, "cells"'), ("E107", 1, 65)),
        (own("[]").replace('"cells"', '"size": {"channels": [3]}, "cells"'), ("E109", 1, 65)),
        (own("[]").replace('"cells"', '"size": 3, "cells"'), ("E109", 1, 52)),
        ('{"nasir": 2}', ("E110", 1, 11)),
        ('{"nasir": "1"}', ("E109", 1, 11)),
        ('{"nasir": 1}', ("E109", 1, 1)),
        ('{"nasir": 1, "genotype": {}, "more": 1}', ("E109", 1, 30)),
        ('{"nasir": 1, "genotype": {"space": "a", "cells": {}}}', ("E202", 1, 50)),
        ('{"nasir": 1, "genotype": {"space": "a", "cells": {"a b": 1}}}', ("E202", 1, 51)),
        ('{"nasir": 1, "genotype": {"space": "a\\nb", "cells": {"a": 1}}}', ("E109", 1, 36)),
        ('{"nasir": 1, "genotypes": [{"name": "a"}]}', ("E109", 1, 28)),
        ("nasir: 1\ngenotype:\n  space: a\n  sells: {}", ("E109", 4, 3)),
    ],
)
def test_a_fault_in_nasirs_own_format_has_its_place(text: str, expected: Spot) -> None:
    assert spot(text) == expected


def nnabla(node: str) -> str:
    normal = f'{{"2": [[6,0],[0,1]],\n"3": {node},\n"4": [[6,0],[6,2]], "5": [[6,0],[6,1]]}}'
    reduce = '{"2": [[4,0],[0,1]], "3": [[4,1],[6,2]], "4": [[5,0],[6,2]], "5": [[4,1],[6,2]]}'
    return f'{{"arch_normal": {normal},\n"arch_reduction": {reduce}}}'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (nnabla("[[6,0],[8,1]]"), ("E201", 2, 14)),
        (nnabla("[[6,0],[-1,1]]"), ("E201", 2, 14)),
        (nnabla("[[6,0]]"), ("E202", 2, 6)),
        (nnabla("[[6,0],[2,3]]"), ("E202", 2, 16)),
        (nnabla("[[6,0],[2,5]]"), ("E202", 2, 16)),
        (nnabla("[[6,0],[2,6]]"), ("E202", 2, 16)),
        (nnabla("[[6,0],[2]]"), ("E109", 2, 13)),
        (nnabla("[[6,0],[2.0,1]]"), ("E109", 2, 14)),
        (nnabla("[[6,0],[2,Infinity]]"), ("E107", 2, 16)),
        (nnabla('[[6,0],[2,1]], "6": 1'), ("E109", 2, 21)),
        (nnabla('[[6,0],[2,1]], "3": 1'), ("E104", 2, 21)),
        (nnabla("[[6,0],[2,1]").replace("}", ""), ("E104", 3, 4)),
        ('{"arch_normal": {}}', ("E202", 1, 1)),
        ('{"arch_normal": {}, "arch_reduction": {}}', ("E202", 1, 17)),
        ('{"arch_normal": {"2": [[6,0],[0,1]]}, "arch_reduction": {}}', ("E109", 1, 17)),
    ],
)
def test_a_fault_in_nnablas_format_has_its_place(text: str, expected: Spot) -> None:
    assert spot(text) == expected


def darts(normal: str, concat: str = "[2]") -> str:
    good = "[('none', 0), ('none', 1)]"
    fields = (f"normal={normal}", f"normal_concat={concat}", f"reduce={good}, reduce_concat=[2]")
    return "Genotype(\n  " + ",\n  ".join(fields) + ")"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (darts("[('skip_connect', 0), ('sep_conv_3x4', 1)]"), ("E201", 2, 33)),
        (darts("[('skip_connect', 0)]"), ("E202", 2, 11)),
        (darts("[('none', 0), ('none', 1), ('none', 0)]"), ("E202", 2, 37)),
        (darts("[('none', 0), ('none', 2)]"), ("E202", 2, 33)),
        (darts("[('none', 0), ('none', 7)]"), ("E202", 2, 33)),
        (darts("[('none', 0), ('none', -1)]"), ("E202", 2, 33)),
        (darts("[('none', 0), ('none', 1)]", "[2, 3]"), ("E202", 3, 21)),
        (darts("[('none', 0), ('none', 1)]", "range(2, 6)"), ("E202", 3, 17)),
        (darts("[('none', 0), ('none', 1)]", "range(9**9)"), ("E109", 3, 23)),
        (darts("[('none', 0), ('none', 1)]", "range(999999999)"), ("E107", 3, 17)),
        (darts("[('none', 0), ('none', 1)]", "range(1, 2, 0)"), ("E109", 3, 17)),
        (darts("[('none', 0), ('none', 1)]", "[]"), ("E202", 3, 17)),
        (darts("[('none', 0), ('none', 1)]", "__import__('os')"), ("E109", 3, 17)),
        (darts("[]"), ("E202", 2, 10)),
        (darts("[('none', 0), ('none', True)]"), ("E109", 2, 33)),
        (darts("[('none', 0), ('none', " + "9" * 30 + ")]"), ("E107", 2, 33)),
        (darts("[('none', 0), (none, 1)]"), ("E109", 2, 25)),
        (darts("[('none', 0), ('none', 1]"), ("E104", 2, 34)),
        ("Genotype(normal=[], normal=[])", ("E104", 1, 21)),
        ("Genotype(normal=[], normals=[])", ("E109", 1, 21)),
        ("Genotype(normal=[], normal_concat=[2])", ("E202", 1, 1)),
        ("Genotype(normal=[], reduce=[])", ("E109", 1, 1)),
        ("Genotype(*x)", ("E109", 1, 10)),
        ("Genotype(**x)", ("E109", 1, 10)),
        ("é = 1; Genotype(); x", ("E202", 1, 8)),
        ("x = [Genotype()]", ("E202", 1, 6)),
        ("   Genotype(normal=1, normal_concat=2, reduce=3, reduce_concat=4)", ("E109", 1, 20)),
        ("Genotype(recurrent=[('relu', 0)], concat=range(1, 9))", ("E202", 1, 42)),
        ("Genotype(recurrent=[('relu', 1)], concat=[1])", ("E202", 1, 30)),
        ("Genotype(recurrent=[('rleu', 0)], concat=[1])", ("E201", 1, 22)),
        ("Genotype(recurrent=[('relu', 0)])", ("E109", 1, 1)),
        ("Genotype(concat=[1])", ("E202", 1, 1)),
        ("Genotype(recurrent=[], concat=[1])", ("E202", 1, 20)),
        ("Genotype(recurrent=[('relu', 0)], concat=[1], normal=[])", ("E109", 1, 10)),
    ],
)
def test_a_fault_in_darts_text_has_its_place(text: str, expected: Spot) -> None:
    assert spot(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (STRING.replace("avg_pool_3x3", "avg_pool_3x4"), ("E201", 1, 34)),
        (STRING.replace("avg_pool_3x3~1", "avg_pool_3x3~2"), ("E202", 1, 47)),
        (STRING.replace("avg_pool_3x3~1", "avg_pool_3x3~3"), ("E202", 1, 47)),
        (STRING.replace("avg_pool_3x3~1", "avg_pool_3x3~0"), ("E202", 1, 47)),
        (STRING.replace("avg_pool_3x3~1", "avg_pool_3x3"), ("E104", 1, 34)),
        (STRING.replace("avg_pool_3x3~1", "avg_pool_3x3~x"), ("E104", 1, 34)),
        (STRING[:-1], ("E104", 1, len(STRING))),
        (STRING[:17], ("E104", 1, 18)),
        (STRING[:16], ("E104", 1, 17)),
        ("||+|nor_conv_3x3~0|", ("E104", 1, 2)),
        (STRING + "+|none~0|", ("E202", 1, len(STRING) + 10)),
    ],
)
def test_a_fault_in_a_nasbench201_string_has_its_place(text: str, expected: Spot) -> None:
    assert spot(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"nasir": 1, "a": [' + "0, " * 10**5 + "NaN]}",
        own("[" + ", ".join(['[["none", 0]]'] * 20_000) + "]"),
        own('[[["none", 0]]]', "[" + "2, " * 10**5 + "2]"),
        "+".join(["|none~0|"] * 400_000),
        "|" + "none~0|" * 500_000,
        "nasir: 1\na: [" + "x, " * 20_000 + ".nan]",
        "Genotype(normal=[" + "('none', 0)," * 5000 + "], normal_concat=x)",
        "Genotype(" + "a." * 30_000 + "a)",
        "Genotype(" + "1+" * 30_000 + "1)",
    ],
    ids=range(9),
)
def test_a_large_wrong_file_is_refused(text: str) -> None:
    assert caught(text).code  # quadratic work would take minutes


TEXTS = [
    dump_genotype(load_genotype("darts_v2")),
    dump_genotype(load_genotype("darts_v2"), "darts"),
    dump_genotype(load_genotype("darts_v2"), "nnabla"),
    STRING,
    "nasir: 1\ngenotype: {space: a, cells: {a: {inputs: 1, nodes: [[[none, 0]]], output: [1]}}}\n",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_file_truncated_anywhere_raises_only_nasir_errors(text: str) -> None:
    for end in range(len(text)):
        with suppress(NasirError):
            load_genotype(text[:end])


@given(
    st.sampled_from(TEXTS),
    st.integers(0, 10**6),
    st.text("[]{}()|+~:,'\"\\\n\0é\ud8009-a", max_size=3),
)
def test_a_file_with_an_edit_anywhere_raises_only_nasir_errors(
    text: str, position: int, put: str
) -> None:
    start = position % len(text)
    with suppress(NasirError):
        load_genotype(text[:start] + put + text[start + 1 :])
