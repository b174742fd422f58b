"""Genotype formats: examples, detection, and what each format cannot hold."""

from pathlib import Path

import onnx
import pytest

from nasir import CellGenotype, Edge, Genotype, NasirError
from nasir.formats import FORMATS, dump_genotype, load_genotype
from nasir.formats.own import seal
from tests.refusals import fails_with

NNABLA = """
{"arch_normal":    {"2": [[6,0],[0,1]], "3": [[6,0],[2,1]], "4": [[6,0],[6,2]], "5": [[6,0],[6,1]]},
 "arch_reduction": {"2": [[4,0],[0,1]], "3": [[4,1],[6,2]], "4": [[5,0],[6,2]], "5": [[4,1],[6,2]]}}
"""

DARTS = """
Genotype(
    normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1),
            ('skip_connect', 0), ('skip_connect', 2), ('skip_connect', 0), ('skip_connect', 1)],
    normal_concat=range(2, 6),
    reduce=[('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('max_pool_3x3', 1), ('skip_connect', 2),
            ('avg_pool_3x3', 0), ('skip_connect', 2), ('max_pool_3x3', 1), ('skip_connect', 2)],
    reduce_concat=[2, 3, 4, 5])
"""

STRING = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"

SMALL = CellGenotype("normal", 2, ((Edge("skip_connect", 0), Edge("sep_conv_3x3", 1)),), (2,))

PAIR = "('skip_connect', 0), ('sep_conv_3x3', 1)"


def inexpressible(genotype: Genotype, target: str) -> str:
    with fails_with("E208") as caught:
        dump_genotype(genotype, target)
    assert caught.value.hint
    return caught.value.message


def test_the_nnabla_file_and_the_darts_text_of_one_genotype_are_equal() -> None:
    assert load_genotype(NNABLA) == load_genotype(DARTS)


def test_nnabla_lays_its_ids_out_one_node_a_line() -> None:
    lines = dump_genotype(load_genotype(NNABLA), "nnabla").splitlines()
    assert lines[2] == '    "2": [[6, 0], [0, 1]],'


def test_nnabla_nodes_may_come_in_any_order_and_as_yaml() -> None:
    text = "arch_normal: {5: [[6,0],[6,1]], 4: [[6,0],[6,2]], 3: [[6,0],[2,1]], 2: [[6,0],[0,1]]}\n"
    text += (
        "arch_reduction: {2: [[4,0],[0,1]], 3: [[4,1],[6,2]], 4: [[5,0],[6,2]], 5: [[4,1],[6,2]]}"
    )
    assert load_genotype(text) == load_genotype(NNABLA)


def test_darts_text_is_the_repr_that_the_original_prints() -> None:
    text = dump_genotype(load_genotype(DARTS), "darts")
    assert text.startswith("Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ")
    assert text.endswith("('skip_connect', 2)], reduce_concat=range(2, 6))")


@pytest.mark.parametrize(
    "text",
    [
        f"Genotype([{PAIR}], [2], [{PAIR}], [2])",
        f"NET = Genotype(normal=[{PAIR}], normal_concat=(2,), reduce=({PAIR}), reduce_concat=[2])",
        f"  Genotype([{PAIR}], range(2, 3), [{PAIR}], list(range(2, 3)), None, connects=None)",
        f"g.Genotype(normal=[({PAIR})], normal_concat=[2], reduce=[({PAIR})], reduce_concat=[2])",
        f"# mine\n\nGenotype([['skip_connect', 0], ['sep_conv_3x3', 1]], [2], [{PAIR}], [2])  #",
    ],
)
def test_darts_text_may_be_written_in_many_ways(text: str) -> None:
    reduce = CellGenotype("reduce", 2, SMALL.nodes, SMALL.output)
    assert load_genotype(text) == Genotype("darts", (SMALL, reduce))


def test_an_assigned_genotype_keeps_its_name() -> None:
    assert load_genotype(f"NET = Genotype([{PAIR}], [2], [{PAIR}], [2])").name == "NET"


def test_missing_edges_of_a_nasbench201_string_become_none() -> None:
    short = "|nor_conv_3x3~0|+|avg_pool_3x3~1|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|"
    assert dump_genotype(load_genotype(short), "nasbench201") == STRING
    assert load_genotype(short) == load_genotype(STRING)


def test_an_unknown_format_is_told_with_those_there_are() -> None:
    with fails_with("E108") as caught:
        load_genotype('{"arch": 1}')
    assert all(name in caught.value.hint for name in FORMATS)


def test_a_node_of_three_edges_has_a_list_of_its_own_in_darts_text() -> None:
    nodes = ((*SMALL.nodes[0], Edge("none", 0)),)
    cells = (CellGenotype("normal", 2, nodes, (2,)), CellGenotype("reduce", 2, nodes, (2,)))
    text = dump_genotype(Genotype("darts", cells), "darts")
    assert text.startswith("Genotype(normal=[[('skip_connect', 0), ('sep_conv_3x3', 1), ('none'")
    assert load_genotype(text) == Genotype("darts", cells)
    assert "node 2 of cell 'normal': 3 inputs" in inexpressible(Genotype("mine", cells), "nnabla")


def model(tmp_path: Path, metadata: dict[str, str]) -> Path:
    graph = onnx.helper.make_graph([], "empty", [], [])
    proto = onnx.helper.make_model(graph, producer_name="someone")
    onnx.helper.set_model_props(proto, metadata)
    seal(proto)
    path = tmp_path / "net.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_an_onnx_model_gives_its_genotype_back(tmp_path: Path) -> None:
    genotype = load_genotype("NASNet")
    path = model(tmp_path, {"nasir.genotype": dump_genotype(genotype)})
    assert load_genotype(path) == genotype
    renamed = path.rename(tmp_path / "renamed")
    assert load_genotype(renamed) == genotype


@pytest.mark.parametrize("change", ["node", "output", "domain", "genotype", "size", "nothing"])
def test_metadata_over_a_graph_that_it_was_not_written_with_is_refused(
    change: str, tmp_path: Path
) -> None:
    metadata = {"nasir.genotype": dump_genotype(load_genotype("darts_v2")), "nasir.layers": "8"}
    path = model(tmp_path, metadata)
    proto = onnx.load(path)
    if change == "node":
        proto.graph.node.add(op_type="Relu", input=["a"], output=["b"])
    if change == "output":
        proto.graph.output.add(name="logits")
    if change == "domain":
        proto.opset_import.add(domain="com.example", version=1)
    if change == "genotype":
        proto.metadata_props[0].value = dump_genotype(load_genotype("darts_v1"))
    if change == "size":
        proto.metadata_props[1].value = "20"
    proto.metadata_props.add(key="a tool", value="was here")
    path.write_bytes(proto.SerializeToString())
    if change == "nothing":
        assert load_genotype(path) == load_genotype("darts_v2")
        return
    with fails_with("E108", "not the one that nasir wrote"):
        load_genotype(path)


def test_metadata_that_is_no_text_is_refused(tmp_path: Path) -> None:
    content = model(tmp_path, {"nasir.genotype": "{darts}", "darts": "x"}).read_bytes()
    for place in (content.index(b"{dar"), content.index(b"\x05darts") + 1):
        changed = bytearray(content)
        changed[place] = 0xFF
        (tmp_path / "net.onnx").write_bytes(changed)
        with fails_with("E103"):
            load_genotype(tmp_path / "net.onnx")


def test_a_truncated_onnx_model_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    path = model(tmp_path, {"nasir.genotype": dump_genotype(load_genotype("darts_v2"))})
    content = path.read_bytes()
    for end in range(0, len(content) - 1, 7):
        path.write_bytes(content[:end])
        with pytest.raises(NasirError) as caught:
            load_genotype(path)
        assert caught.value.code in ("E103", "E104", "E108")
