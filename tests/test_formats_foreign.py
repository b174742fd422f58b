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


def changed(data: dict[str, Any], **changes: Any) -> str:
    """With `__` for what no keyword can hold; None takes a key out."""
    names = {name.replace("__", "/", 1): value for name, value in changes.items()}
    return json.dumps({k: v for k, v in {**data, **names}.items() if v != "gone"})


def changed_301(key: str, value: Any) -> str:
    return json.dumps(
        {k: v for k, v in {**NASBENCH301, PREFIX + key: value}.items() if v != "gone"}
    )


FAULTS = {
    "301: unknown op": (changed_301("edge_normal_0", "none"), "E201", "unknown op 'none'"),
    "301: no op": (changed_301("edge_normal_0", "gone"), "E109", "no field 'edge_normal_0'"),
    "301: no inputs": (changed_301("inputs_node_normal_4", "gone"), "E109", "inputs_node_normal_4"),
    "301: later inputs": (changed_301("inputs_node_normal_4", "3_4"), "E109", "'3_4'"),
    "301: equal inputs": (changed_301("inputs_node_normal_4", "1_1"), "E109", "'1_1'"),
    "301: odd inputs": (changed_301("inputs_node_normal_4", "a"), "E109", "'a'"),
    "301: unread edge": (changed_301("edge_normal_3", "skip_connect"), "E109", "edge_normal_3"),
    "301: edge 14": (changed_301("edge_normal_14", "skip_connect"), "E109", "edge_normal_14"),
    "nni: unknown op": (changed(NNI, normal__op_2_0="conv"), "E201", "'conv'"),
    "nni: no input": (changed(NNI, normal__input_2_0="gone"), "E109", "'normal/input_2_0'"),
    "nni: node 6": (changed(NNI, normal__op_6_0="none"), "E202", "'normal/op_6_0'"),
    "nni: other key": (changed(NNI, normal__xy="none"), "E109", "'normal/xy'"),
    "nni: later": (changed(NNI, normal__input_2_0=[2]), "E202", "node 2 of cell 'normal' reads"),
    "nni: two inputs": (changed(NNI, normal__input_2_0=[0, 1]), "E109", "has 2"),
    "nni 201: op": (json.dumps({**NNI_201, "0_1": "nor_conv"}), "E201", "'nor_conv'"),
    "nni 201: edge": (json.dumps({**NNI_201, "2_1": "none"}), "E202", "'2_1'"),
    "nni 201: short": (json.dumps({"0_1": "none"}), "E109", "no field '0_2'"),
    "aw_nas: pair": (AW_NAS.replace("1, 2)", "1)", 1), "E109", "this has 2 parts"),
    "aw_nas: node": (AW_NAS.replace("1, 2)", "1, 1)", 1), "E202", "node 1"),
    "aw_nas: far": (AW_NAS.replace("1, 2)", "1, 99999)", 1), "E202", "node 99999"),
    "aw_nas: later": (AW_NAS.replace("0, 2)", "2, 2)", 1), "E202", "reads itself"),
    "aw_nas: op": (AW_NAS.replace("'sep_conv_5x5'", "'sep_conv_5x6'", 1), "E201", "sep_conv_5x6"),
    "aw_nas: groups": (AW_NAS.replace("reduce_1=", "reduce_2="), "E109", "reduce_2"),
    "enas: op": (ENAS.replace("2", "5", 1), "E201", "unknown op number 5"),
    "enas: later": (ENAS.replace("0 2", "2 2", 1), "E202", "node 2 of cell 'normal' reads itself"),
    "enas: unread": (ENAS[:39] + " 1 0" * 10, "E202", "input 0"),
    "enas: first": ("1" + ENAS_RECURRENT[1:], "E109", "always has tanh"),
    "enas: activation": (ENAS_RECURRENT[:-1] + "4", "E201", "unknown op number 4"),
    "transnas: macro": ("64-1234-basic", "E108", "macro level"),
    "transnas: digit": ("64-41414-1_04_333", "E201", "unknown op number 4"),
    "transnas: skeleton": ("32-41414-1_02_333", "E109", "not 32-41414"),
    "nats: width": ("64:32:48:16:7", "E107", "no 7 channels"),
    "nats: wide": ("64:32:48:16:72", "E107", "no 72 channels"),
}


@pytest.mark.parametrize(("text", "code", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_has_its_code_its_place_and_its_value(text: str, code: str, message: str) -> None:
    with pytest.raises(NasirError) as caught:
        load_genotype(text)
    assert caught.value.code == code, caught.value
    assert message in caught.value.message
    assert caught.value.where.line >= 1


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
