"""Commands on spaces and genotypes whose ops stand on nodes."""

import json
from pathlib import Path

import pytest

from nasir import Genotype, dump_genotype, load_genotype
from nasir.space.nasbench101 import OPS
from tests.command_line import call
from tests.node_cells import INCEPTION, node_cell


@pytest.fixture
def inception(tmp_path: Path) -> Path:
    """The README's cell in the benchmark's own format."""
    path = tmp_path / "inception.json"
    path.write_text(dump_genotype(INCEPTION, "nasbench101"))
    return path


def test_check_names_a_cell_as_the_benchmark_does(inception: Path) -> None:
    done = call("check", inception)
    assert "NAS-Bench-101's 28cfc7874f6d200472e1a9dcd8650aa0; in the space nasbench101" in done.out
    (facts,) = json.loads(call("check", inception, "--json").out)
    assert facts["nasbench101"] == "28cfc7874f6d200472e1a9dcd8650aa0"
    (facts,) = json.loads(call("check", "darts_v2", "--json").out)
    assert facts["nasbench101"] is None


def test_check_says_why_a_cell_is_outside_the_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    cell = node_cell([[0], [1], [2], [3], [4], [5]], [6], [OPS[0]] * 6)
    path.write_text(dump_genotype(Genotype("nasbench101", (cell,))))
    done = call("check", path)
    assert done.code == 0
    assert "cell 'cell': it has 8 vertices, and at most 7 are allowed" in done.out


def test_convert_leads_from_the_benchmark_to_nasirs_own_format_and_back(
    inception: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.json"
    own.write_text(call("convert", inception).out)
    assert load_genotype(own) == INCEPTION
    assert call("convert", own, "--to", "nasbench101").out == inception.read_text()


def test_diff_names_the_ops_and_the_sources_of_nodes(inception: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    rows = [[0], [0], [1], [3], [0]]
    ops = [OPS[1], OPS[0], OPS[0], OPS[0], OPS[1]]
    cell = node_cell(rows, [1, 2, 4, 5], ops)
    other.write_text(dump_genotype(Genotype("nasbench101", (cell,)), "nasbench101"))
    facts = json.loads(call("diff", inception, other, "--json").out)
    assert facts["differences"] == [
        {"cell": "cell", "place": "node 3", "first": ["from 0"], "second": ["from 1"]},
        {"cell": "cell", "place": "node 5", "first": [OPS[2]], "second": [OPS[1]]},
    ]


def test_spaces_shows_what_a_node_selects_from() -> None:
    shown = call("spaces", "nasbench101").out
    assert "ops on nodes: conv3x3-bn-relu conv1x1-bn-relu maxpool3x3" in shown
    assert "at most 5 nodes and 9 edges" in shown
    facts = json.loads(call("spaces", "nasbench1shot1_2", "--json").out)["cells"]["cell"]
    assert (facts["parents"], facts["output_parents"]) == ([1, 1, 2, 2], 3)
    lines = [line.split() for line in call("spaces", "nasbench1shot1_2").out.splitlines()]
    assert ["output", "3"] in lines
