"""The fields of a space file beyond cells and edges, what they mean, and their faults."""

from pathlib import Path

import pytest

import nasir
from nasir import Genotype, Graph, NasirError, dump_genotype, load_genotype, load_space, network
from nasir.space import adopt, home_of
from tests.command_line import ROOT

FULL_SPACE = (ROOT / "tests/data/faults/space.yaml").read_text()

GENOTYPE = """\
nasir: 1
genotype:
  space: {space}
  cells:
    near: &cell
      inputs: 2
      nodes:
        - [[mine_3x3, 0], [skip_connect, 1]]
        - [[twice, 0], [twice, 2]]
      output: [2, 3]
    far: {inputs: 2, nodes: [[[twice, 0], [twice, 1]], [[twice, 0], [twice, 1]]], output: [3]}
    reduce: {inputs: 2, nodes: [[[mine_3x3, 0]], [[mine_3x3, 1]]], output: [2, 3]}
""".replace("&cell", "")


def genotype_text(named: str) -> str:
    return GENOTYPE.replace("{space}", named)


def small(genotype: Genotype | str, layers: int | None = None) -> Graph:
    return network(genotype, channels=4, resolution=16, layers=layers)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "mine.yaml").write_text(FULL_SPACE)
    (tmp_path / "cell.yaml").write_text(genotype_text("spaces/mine.yaml"))
    return tmp_path


def test_a_layout_repeats_its_pattern_but_for_the_places() -> None:
    layout = load_space(FULL_SPACE).layout
    assert layout.of(6) == ("near", "far", "reduce", "far", "reduce", "far")
    assert layout.kinds == ("near", "far", "reduce")
    assert (layout.halves, layout.doubles) == (("reduce",), ("far",))


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (1, "the layout puts 'reduce' at layer -2, and there are 1"),
        (2, "of 2 layers, layer 0 is claimed by the kinds 'reduce' and 'near'"),
    ],
)
def test_layers_that_a_layout_does_not_fit_are_an_error(layers: int, message: str) -> None:
    with pytest.raises(NasirError) as caught:
        load_space(FULL_SPACE).layout.of(layers)
    assert (caught.value.code, caught.value.message) == ("E302", message)


def test_channels_double_and_images_halve_where_the_layout_says(files: Path) -> None:
    graph = small(str(files / "cell.yaml"), layers=6)
    shapes = [graph.types[node.name].shape for node in graph if node.name.endswith("/pre1")]
    widths = [shape[0] for shape in shapes]
    assert widths == [4, 8, 8, 16, 16, 32]
    assert [graph.types[name].shape[1] for name in ("c01/n3", "c02/out", "c04/out")] == [16, 8, 4]


def test_nodes_combine_and_outputs_join_as_the_space_says(files: Path) -> None:
    graph = small(str(files / "cell.yaml"), layers=6)
    assert graph["c00/n2"].op.name == "mean"
    assert graph["c00/out"].op.name == "add"
    assert "c01/out" not in graph


def test_concatenated_edges_make_a_wider_node() -> None:
    text = FULL_SPACE.replace("combine: mean", "combine: concat").replace(
        "join: sum", "join: concat"
    )
    graph = small(load_genotype(genotype_text("x"), load_space(text)))
    assert graph.types["c00/n2"].shape == (8, 16, 16)
    assert graph.types["c00/n3"].shape == (12, 16, 16)
    assert graph.types["c00/out"].shape == (20, 16, 16)


def test_a_space_has_the_sizes_of_its_own_network(files: Path) -> None:
    about = network(str(files / "cell.yaml"), resolution=16).about
    assert (about["channels"], about["layers"], about["classes"]) == ("8", "5", "10")
    other = network(str(files / "cell.yaml"), "nnabla", resolution=16, layers=6).about
    assert other["channels"] == "36"
    assert nasir.supernet(FULL_SPACE, resolution=16).about["layers"] == "5"


def test_a_genotype_names_its_space_by_a_path_beside_it(files: Path) -> None:
    genotype = load_genotype(str(files / "cell.yaml"))
    assert genotype.space == "mine"
    assert genotype.definition == load_space(str(files / "spaces" / "mine.yaml"))
    assert genotype.definition is not None
    assert genotype.definition.contains(genotype) == (
        "node 2 of cell 'reduce' has 1 edges, not 2",
        "node 3 of cell 'reduce' has 1 edges, not 2",
    )


def test_a_genotype_may_be_given_its_space_instead(files: Path) -> None:
    mine = str(files / "spaces" / "mine.yaml")
    genotype = load_genotype(genotype_text("nowhere.yaml"), mine)
    assert genotype == load_genotype(str(files / "cell.yaml"))
    assert network(genotype_text("nowhere.yaml"), space=mine) == network(genotype)


def test_a_written_genotype_holds_a_space_that_is_not_shipped(files: Path) -> None:
    genotype = load_genotype(str(files / "cell.yaml"))
    again = load_genotype(dump_genotype(genotype))
    assert (again, again.definition) == (genotype, genotype.definition)
    assert dump_genotype(again) == dump_genotype(genotype)


def test_a_written_genotype_names_a_shipped_space() -> None:
    genotype = adopt(load_genotype("darts_v2"), "nnabla")
    assert '"space": "nnabla"' in dump_genotype(genotype)
    again = load_genotype(dump_genotype(genotype))
    assert home_of(again) == load_space("nnabla")
    assert network(again) == network(genotype)


def test_a_text_without_a_space_may_name_own_ops_of_the_space_given() -> None:
    pairs = "[('gate', 0), ('skip_connect', 1)]"
    text = f"Genotype(normal={pairs}, normal_concat=[2], reduce={pairs}, reduce_concat=[2])"
    mine = load_space(
        "nasir: 1\nspace: mine\nskeleton: cifar\nops: {gate: {steps: [{op: relu}]}}\n"
        "cells: {normal: {inputs: 2, nodes: 1, ops: [gate], output: [2]}, reduce: {like: normal}}"
    )
    assert load_genotype(text, mine).definition is mine
    with pytest.raises(NasirError) as caught:
        load_genotype(text.replace("gate", "gat"), mine)
    assert (caught.value.code, caught.value.hint) == ("E201", "did you mean 'gate'?")
    assert caught.value.where.column > 1


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("spaces/other.yaml", ("E101", 3, 10)),
        ("{space: mine}", ("E109", 3, 10)),
        ("[mine]", ("E109", 3, 10)),
    ],
)
def test_a_fault_in_a_genotypes_space_has_its_place(
    named: str, expected: tuple[str, int, int], files: Path
) -> None:
    path = files / "bad.yaml"
    path.write_text(genotype_text(named))
    with pytest.raises(NasirError) as caught:
        load_genotype(str(path))
    error = caught.value
    assert (error.code, error.where.line, error.where.column) == expected


def test_a_fault_in_a_space_inside_a_genotype_has_its_place(files: Path) -> None:
    text = dump_genotype(load_genotype(str(files / "cell.yaml")))
    bad = text.replace('"2 * C"', '"2 * D"')
    with pytest.raises(NasirError) as caught:
        load_genotype(bad)
    line = next(i for i, each in enumerate(bad.splitlines(), 1) if "2 * D" in each)
    assert (caught.value.code, caught.value.where.line) == ("E306", line)


@pytest.mark.parametrize(
    ("skeleton", "op"), [("cifar", "relu"), ("nasbench201", "identity"), ("rnn", "sep_conv_3x3")]
)
def test_an_op_that_the_skeleton_lacks_is_refused_when_the_space_is_read(
    skeleton: str, op: str
) -> None:
    text = f"""nasir: 1
space: mine
skeleton: {skeleton}
cells:
  normal: {{inputs: 2, nodes: 1, edges: all, ops: [none, OP], keep: 2, output: [2]}}
"""
    with pytest.raises(NasirError) as caught:
        load_space(text.replace("OP", op))
    assert (caught.value.code, caught.value.where.line) == ("E201", 5)
    own = f"\nops:\n  {op}:\n    steps: [{{op: relu}}]\ncells:"
    assert load_space(text.replace("OP", op).replace("\ncells:", own)).cells


def test_the_documented_space_is_one() -> None:
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    example = next(part for part in text.split("```") if part.startswith("yaml\nnasir: 1\nspace"))
    space = load_space(example.removeprefix("yaml\n"))
    assert space.kinds == ("near", "far", "reduce")
    assert str(space.layout) == (
        "near, near, far repeated; reduce at 1/3, 2/3; far at -1; "
        "reduce halves the image; reduce doubles channels"
    )
