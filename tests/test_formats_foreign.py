"""Formats of NAS-Bench-301, NNI, aw_nas, ENAS, TransNAS-Bench-101, NATS-Bench and pt.darts."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import nasir
from nasir import Genotype, canonical_id, cost, dump_genotype, load_genotype, network
from nasir.formats.load import read_genotype
from tests.command_line import call
from tests.refusals import fails_with

SHARED = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)

DATA = Path(__file__).parent / "data" / "foreign.yaml"
READ: dict[str, dict[str, str]] = YAML(typ="safe", pure=True).load(DATA)
ENAS, PTDARTS = READ["enas"]["text"], READ["ptdarts"]["text"]
ENAS_RECURRENT = "0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1"


def edges(genotype: Genotype, kind: str) -> str:
    cell = genotype.cell(kind)
    return " | ".join(" ".join(f"{e.op}:{e.source}" for e in node) for node in cell.nodes)


@pytest.mark.parametrize("name", READ)
def test_a_format_is_recognised_read_and_written_back(name: str) -> None:
    row = READ[name]
    reading = read_genotype(row["text"])
    genotype = reading.genotype
    assert reading.format is not None
    assert (reading.format.name, genotype.space) == (name, row["space"])
    assert edges(genotype, genotype.kinds[0]) == row["edges"]
    written = dump_genotype(genotype, name)
    assert load_genotype(written) == genotype
    assert dump_genotype(load_genotype(written), name) == written
    assert load_genotype(f"2026-01-02 03:04:05,006 arch = {written.strip()} acc 0.9\n") == genotype
    assert cost(network(genotype)).params > 0


def test_a_python_dictionary_of_nasbench301_is_read_as_its_json() -> None:
    text = READ["nasbench301"]["text"]
    assert load_genotype(repr(json.loads(text))) == load_genotype(text)


def test_what_no_node_of_an_enas_cell_reads_leaves_it() -> None:
    genotype = load_genotype(ENAS)
    assert genotype.cell("normal").output == (2, 3, 4, 5, 6)
    assert genotype.cell("reduce").output == (2, 4, 5, 6)
    rows = ENAS.split()
    listed = load_genotype(f"[{', '.join(rows)}]")
    assert listed == genotype == load_genotype(" ".join(rows[:20]) + "\n" + " ".join(rows[20:]))
    # Nothing reads the first input of the normal cell: it leaves the cell with the nodes.
    beside = load_genotype(" ".join(["1 0"] * 10 + rows[20:]))
    assert beside.cell("normal").output == (0, 2, 3, 4, 5, 6)


def test_the_enas_recurrent_cell_is_the_published_one() -> None:
    genotype = load_genotype(ENAS_RECURRENT)
    assert canonical_id(genotype) == canonical_id(load_genotype("ENAS@darts_rnn"))
    assert dump_genotype(genotype, "enas").strip() == ENAS_RECURRENT
    assert cost(network(genotype)).params == 27_295_000


def test_the_network_of_pt_darts_has_its_pools() -> None:
    size: dict[str, Any] = {"channels": 16, "layers": 8}
    assert cost(network(PTDARTS, **size)).params == 211_002
    assert cost(network(PTDARTS, space="darts", **size)).params == 210_042
    in_tuples = PTDARTS.replace("[(", "((").replace(")]", "))")
    assert load_genotype(in_tuples).space == "darts"
    assert load_genotype(in_tuples).cells == load_genotype(PTDARTS).cells


def test_the_widths_of_stages_are_those_of_the_network_and_of_its_files(tmp_path: Path) -> None:
    small = load_genotype("16:32:32:64:64")
    assert cost(network(small)).params == cost(network(SHARED, layers=1)).params
    whole = dump_genotype(small)
    assert dump_genotype(load_genotype(whole), "natsbench_size") == "16:32:32:64:64"
    assert load_genotype("16:32:32:64:64", "natsbench_size") == small
    assert nasir.unrank("natsbench_size", nasir.rank("natsbench_size", small)) == small
    shown = call("cost", "64:32:48:16:8")
    assert "stages of 64:32:48:16:8 channels" in shown.out
    changed = call("diff", "64:32:48:16:8", "64:32:40:16:8")
    assert [line.split() for line in changed.out.splitlines() if "stage3" in line] == [
        ["size", "stage3", "48", "40"]
    ]
    assert canonical_id("64:32:48:16:8") != canonical_id("64:32:40:16:8")
    drawn = call("sample", "natsbench_size").out.strip()
    assert dump_genotype(load_genotype(drawn), "natsbench_size") == drawn
    done = call("compile", "8:8:16:8:8", "--no-compile", "-o", tmp_path)
    assert done.code == 0, done.err
    assert (
        call("cost", next(tmp_path.glob("*.onnx"))).out.split("\n")[2:]
        == (call("cost", "8:8:16:8:8").out.split("\n")[2:])
    )


@pytest.mark.parametrize(
    ("name", "genotype"),
    [
        ("nasbench301", "bananas"),
        ("nasbench301", "amoebanet"),
        ("nni_darts", "setn"),
        ("nni_darts", "nasnet"),
        ("nni_nasbench201", "darts_v2"),
        ("enas", "darts_v2"),
        ("enas", "nasnet"),
        ("enas", "DARTS_V1@darts_rnn"),
        ("transnasbench101", SHARED.replace("skip_connect", "avg_pool_3x3")),
        ("transnasbench101", "darts_v2"),
        ("natsbench_size", SHARED),
        ("natsbench_size", "darts_v2"),
        ("ptdarts", "fairdarts_a"),
        ("nasbench201", "64:32:48:16:8"),
    ],
)
def test_what_a_format_cannot_hold_is_e208(name: str, genotype: str) -> None:
    with fails_with("E208") as caught:
        dump_genotype(load_genotype(genotype), name)
    assert caught.value.message.startswith(f"{name} cannot express ")
