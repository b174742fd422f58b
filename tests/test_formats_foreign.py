"""Formats of NAS-Bench-301, NNI, aw_nas, ENAS, TransNAS-Bench-101, NATS-Bench and pt.darts."""

import json
from pathlib import Path
from typing import Any

import pytest

import nasir
from nasir import Genotype, NasirError, canonical_id, cost, dump_genotype, load_genotype, network
from nasir.formats.load import read_genotype
from tests.command_line import call

PREFIX = "NetworkSelectorDatasetInfo:darts:"
SHARED = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)

NASBENCH301: dict[str, Any] = {
    "OptimizerSelector:SGD:learning_rate": 0.03,
    f"{PREFIX}edge_normal_0": "sep_conv_3x3",
    f"{PREFIX}edge_normal_1": "dil_conv_5x5",
    f"{PREFIX}inputs_node_normal_3": "0_2",
    f"{PREFIX}edge_normal_2": "skip_connect",
    f"{PREFIX}edge_normal_4": "max_pool_3x3",
    f"{PREFIX}inputs_node_normal_4": "1_3",
    f"{PREFIX}edge_normal_6": "sep_conv_5x5",
    f"{PREFIX}edge_normal_8": "avg_pool_3x3",
    f"{PREFIX}inputs_node_normal_5": "0_4",
    f"{PREFIX}edge_normal_9": "dil_conv_3x3",
    f"{PREFIX}edge_normal_13": "sep_conv_3x3",
    f"{PREFIX}edge_normal_12": None,
    **{f"{PREFIX}inputs_node_reduce_{node}": "0_1" for node in (3, 4, 5)},
    **{f"{PREFIX}edge_reduce_{edge}": "skip_connect" for edge in (0, 1, 2, 3, 5, 6, 9, 10)},
}
NNI = {
    f"{kind}/{what}_{node}_{slot}": "sep_conv_3x3" if what == "op" else [slot]
    for kind in ("normal", "reduce")
    for node in range(2, 6)
    for slot in (0, 1)
    for what in ("op", "input")
} | {"width": 16, "normal/op_5_1": "none", "normal/input_5_1": 4}
NNI_201 = {
    "0_1": "avg_pool_3x3",
    "0_2": "conv_1x1",
    "1_2": "skip_connect",
    "0_3": "conv_3x3",
    "1_3": "none",
    "2_3": "skip_connect",
}
AW_NAS = """CNNGenotype(
    normal_0=[('skip_connect', 0, 2), ('sep_conv_3x3', 1, 2), ('max_pool_3x3', 2, 3),
              ('max_pool_3x3', 0, 3), ('none', 0, 4), ('sep_conv_5x5', 1, 4),
              ('skip_connect', 2, 5), ('sep_conv_3x3', 3, 5)],
    reduce_1=[('max_pool_3x3', 0, 2), ('sep_conv_5x5', 1, 2), ('max_pool_3x3', 0, 3),
              ('dil_conv_3x3', 1, 3), ('max_pool_3x3', 0, 4), ('max_pool_3x3', 2, 4),
              ('skip_connect', 3, 5), ('max_pool_3x3', 0, 5)],
    normal_0_concat=[2, 3, 4, 5], reduce_1_concat=[2, 3, 4, 5])"""
ENAS = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1"
ENAS_RECURRENT = "0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1"
PTDARTS = (
    "Genotype(normal=[[('sep_conv_3x3', 0), ('dil_conv_5x5', 1)], "
    "[('skip_connect', 0), ('dil_conv_3x3', 2)], [('sep_conv_3x3', 1), ('skip_connect', 0)], "
    "[('sep_conv_3x3', 1), ('skip_connect', 0)]], normal_concat=range(2, 6), "
    "reduce=[[('max_pool_3x3', 0), ('max_pool_3x3', 1)], [('max_pool_3x3', 0), "
    "('skip_connect', 2)], [('skip_connect', 3), ('max_pool_3x3', 0)], [('skip_connect', 2), "
    "('max_pool_3x3', 0)]], reduce_concat=range(2, 6))"
)


def edges(genotype: Genotype, kind: str) -> str:
    cell = genotype.cell(kind)
    return " | ".join(" ".join(f"{e.op}:{e.source}" for e in node) for node in cell.nodes)


READ = {
    "nasbench301": (
        json.dumps(NASBENCH301),
        "darts",
        (
            "sep_conv_3x3:0 dil_conv_5x5:1 | skip_connect:0 max_pool_3x3:2 | "
            "sep_conv_5x5:1 avg_pool_3x3:3 | dil_conv_3x3:0 sep_conv_3x3:4"
        ),
    ),
    "nni_darts": (
        repr(NNI),
        "darts",
        (
            "sep_conv_3x3:0 sep_conv_3x3:1 | sep_conv_3x3:0 sep_conv_3x3:1 | "
            "sep_conv_3x3:0 sep_conv_3x3:1 | sep_conv_3x3:0 none:4"
        ),
    ),
    "nni_nasbench201": (
        json.dumps({f"cell/{edge}": op for edge, op in NNI_201.items()}),
        "nasbench201",
        "avg_pool_3x3:0 | nor_conv_1x1:0 skip_connect:1 | nor_conv_3x3:0 none:1 skip_connect:2",
    ),
    "aw_nas": (
        AW_NAS,
        "darts",
        (
            "skip_connect:0 sep_conv_3x3:1 | max_pool_3x3:2 max_pool_3x3:0 | "
            "none:0 sep_conv_5x5:1 | skip_connect:2 sep_conv_3x3:3"
        ),
    ),
    "enas": (
        ENAS,
        "nasnet",
        (
            "avg_pool_3x3:0 sep_conv_3x3:0 | skip_connect:0 sep_conv_5x5:0 | "
            "skip_connect:0 sep_conv_5x5:1 | sep_conv_3x3:1 sep_conv_5x5:0 | "
            "avg_pool_3x3:0 sep_conv_5x5:1"
        ),
    ),
    "transnasbench101": (
        "64-41414-1_02_333",
        "transnasbench101",
        "skip_connect:0 | none:0 nor_conv_1x1:1 | nor_conv_3x3:0 nor_conv_3x3:1 nor_conv_3x3:2",
    ),
    "natsbench_size": (
        "64:32:48:16:8",
        "natsbench_size",
        (
            "nor_conv_3x3:0 | nor_conv_3x3:0 nor_conv_3x3:1 | "
            "skip_connect:0 nor_conv_3x3:1 nor_conv_3x3:2"
        ),
    ),
    "ptdarts": (
        PTDARTS,
        "ptdarts",
        (
            "sep_conv_3x3:0 dil_conv_5x5:1 | skip_connect:0 dil_conv_3x3:2 | "
            "sep_conv_3x3:1 skip_connect:0 | sep_conv_3x3:1 skip_connect:0"
        ),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_format_is_recognised_read_and_written_back(name: str) -> None:
    text, space, normal = READ[name]
    reading = read_genotype(text)
    genotype = reading.genotype
    assert reading.format is not None
    assert (reading.format.name, genotype.space) == (name, space)
    assert edges(genotype, genotype.kinds[0]) == normal
    written = dump_genotype(genotype, name)
    assert load_genotype(written) == genotype
    assert dump_genotype(load_genotype(written), name) == written
    assert load_genotype(f"2026-01-02 03:04:05,006 arch = {written.strip()} acc 0.9\n") == genotype
    assert cost(network(genotype)).params > 0


def test_a_python_dictionary_of_nasbench301_is_read_as_its_json() -> None:
    assert load_genotype(repr(NASBENCH301)) == load_genotype(json.dumps(NASBENCH301))


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
    with pytest.raises(NasirError) as caught:
        dump_genotype(load_genotype(genotype), name)
    assert caught.value.code == "E208"
    assert caught.value.message.startswith(f"{name} cannot express ")
