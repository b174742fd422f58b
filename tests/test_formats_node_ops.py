"""Formats of cells whose ops stand on nodes: nasir's own, NAS-Bench-101's, NAS-Bench-1Shot1's."""

import json

import pytest
from hypothesis import given

import nasir
from nasir import CellGenotype, Edge, Genotype, NasirError, dump_genotype, load_genotype
from nasir.files import Source
from nasir.formats import detect
from nasir.formats.format import check_genotype
from nasir.space.nasbench101 import OPS, live_cell
from tests.node_cells import INCEPTION, node_cell, node_genotypes
from tests.refusals import fails_with

CONV3, CONV1, POOL = OPS

MATRIX = [
    [0, 1, 1, 1, 0, 1, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 0, 0, 0],
]
NAMES = ["input", CONV1, CONV3, CONV3, CONV3, POOL, "output"]
DIGITS = "".join(str(number) for row in MATRIX for number in row)
ROW = ["28cfc7874f6d200472e1a9dcd8650aa0", 108, DIGITS, ",".join(NAMES), "CAE="]

CONFIGURATION = """\
{"choice_block_1_op": "maxpool3x3",
 "choice_block_2_op": "conv1x1-bn-relu",
 "choice_block_3_op": "conv1x1-bn-relu",
 "choice_block_4_op": "conv3x3-bn-relu",
 "choice_block_1_parents": [0],
 "choice_block_2_parents": [0, 1],
 "choice_block_3_parents": [0, 2],
 "choice_block_4_parents": [1, 3],
 "choice_block_5_parents": [0, 4]}
"""
SAME_IN_PYTHON = CONFIGURATION.translate(str.maketrans('"[]', "'()")).replace("(0)", "(0,)")

OWN = """\
        "nodes": [
          {"op": "conv1x1-bn-relu", "from": [0]},
          {"op": "conv3x3-bn-relu", "from": [0]},
          {"op": "conv3x3-bn-relu", "from": [0]},
          {"op": "conv3x3-bn-relu", "from": [3]},
          {"op": "maxpool3x3", "from": [0]}
        ],
        "output": [1, 2, 4, 5]
"""


def own(nodes: str, output: str = "[1]") -> str:
    cell = f'{{"inputs": 1,\n"nodes": {nodes},\n"output": {output}}}'
    return f'{{"nasir": 1, "genotype": {{"space": "mine", "cells": {{"cell":\n{cell}}}}}}}'


def test_nasirs_own_format_writes_a_node_as_its_op_and_its_sources() -> None:
    assert OWN in dump_genotype(INCEPTION)


def test_a_cell_without_nodes_hands_its_input_on() -> None:
    bare = Genotype("mine", (CellGenotype("cell", 1, (), (0,)),))
    assert load_genotype(own("[]", "[0]")) == bare


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (CellGenotype("cell", 1, ((Edge("", 0),),), (1,), ops=(POOL, POOL)), "1 nodes and 2 ops"),
        (CellGenotype("cell", 1, ((Edge(POOL, 0),),), (1,), ops=(POOL,)), "'maxpool3x3' as well"),
    ],
)
def test_a_cell_has_one_op_a_node_or_one_an_edge(cell: CellGenotype, message: str) -> None:
    with fails_with("E202", message):
        check_genotype(Genotype("mine", (cell,)))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"module_adjacency": MATRIX, "module_operations": NAMES}),
        json.dumps({"module_operations": NAMES, "module_adjacency": MATRIX, "test_accuracy": 0.9}),
        json.dumps({"training_time": 1.5, "module_adjacency": MATRIX, "module_operations": NAMES}),
        json.dumps({"matrix": MATRIX, "ops": NAMES}),
        json.dumps([MATRIX, NAMES]),
        json.dumps([MATRIX, NAMES[1:-1]]),
        json.dumps([[[float(number) for number in row] for row in MATRIX], NAMES]),
        json.dumps([DIGITS, ",".join(NAMES)]),
        json.dumps(ROW),
        repr((MATRIX, NAMES)),
        f"\n  {(tuple(map(tuple, MATRIX)), tuple(NAMES))!r}\n",
        repr({"module_adjacency": MATRIX, "module_operations": NAMES}),
    ],
)
def test_a_module_of_nasbench101_may_be_written_in_many_ways(text: str) -> None:
    assert detect(Source.of(text)).name == "nasbench101"
    assert load_genotype(text) == INCEPTION


def test_nasbench101_lays_a_matrix_out_one_vertex_a_line() -> None:
    lines = dump_genotype(INCEPTION, "nasbench101").splitlines()
    assert lines[2] == "    [0, 1, 1, 1, 0, 1, 0],"
    assert json.loads("\n".join(lines))["module_operations"] == NAMES


@given(node_genotypes())
def test_a_matrix_gives_its_genotype_back(genotype: Genotype) -> None:
    text = dump_genotype(genotype, "nasbench101")
    assert load_genotype(text) == genotype
    flat = json.loads(text)
    digits = "".join(str(n) for row in flat["module_adjacency"] for n in row)
    pair = json.dumps([digits, ",".join(flat["module_operations"])])
    assert load_genotype(pair) == genotype


def test_vertices_that_the_input_does_not_reach_are_left_out() -> None:
    matrix = [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    text = json.dumps([matrix, ["input", CONV3, CONV1, "output"]])
    assert load_genotype(text).cells == (node_cell([[0]], [1], [CONV3]),)


@pytest.mark.parametrize("text", [CONFIGURATION, SAME_IN_PYTHON])
def test_a_1shot1_configuration_names_its_space_by_the_numbers_of_parents(text: str) -> None:
    assert detect(Source.of(text)).name == "nasbench1shot1"
    cell = node_cell([[0], [0, 1], [0, 2], [1, 3]], [0, 4], [POOL, CONV1, CONV1, CONV3])
    assert load_genotype(text) == Genotype("nasbench1shot1_1", (cell,))


def test_1shot1_cannot_hold_other_numbers_of_parents() -> None:
    with pytest.raises(NasirError, match="1, 1, 1, 1, 1, 4 parents") as caught:
        dump_genotype(INCEPTION, "nasbench1shot1")
    assert "1, 2, 2, 2, 2; 1, 1, 2, 2, 3; 1, 1, 1, 2, 2, 2" in caught.value.hint


@given(node_genotypes(5))
def test_every_cell_has_a_drawing(genotype: Genotype) -> None:
    cell = genotype.cells[0]
    svg = nasir.draw(cell).svg
    assert svg.count('class="block ') == len(cell.nodes) + 2
    assert svg.count('<text class="conv"') == sum("conv" in op for op in cell.ops)
    assert live_cell(cell)
