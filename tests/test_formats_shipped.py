"""The shipped genotypes: all that were published, under their names."""

import json
from pathlib import Path

import pytest

from nasir import CellGenotype, Genotype
from nasir.document import check_version, parse_document
from nasir.files import read_source
from nasir.formats import dump_genotype, entries, load_genotype
from nasir.space.load import spaces_directory
from tests.refusals import fails_with

DATA = Path(__file__).parent / "data"
PUBLISHED: dict[str, tuple[str, list[int], str, list[int]]] = json.loads(
    (DATA / "published_genotypes.json").read_text()
)


RECURRENT: dict[str, tuple[str, list[int], int]] = {
    "ENAS": (
        "tanh:0 tanh:1 relu:1 tanh:3 tanh:3 relu:3 relu:4 relu:7 relu:8 relu:8 relu:8",
        [2, 5, 6, 9, 10, 11],
        27_295_000,
    ),
    "DARTS_V1": (
        "relu:0 relu:1 tanh:2 relu:3 relu:4 identity:1 relu:5 relu:1",
        [*range(1, 9)],
        22_960_000,
    ),
    "DARTS_V2": (
        "sigmoid:0 relu:1 relu:1 identity:1 tanh:2 sigmoid:5 tanh:3 relu:5",
        [*range(1, 9)],
        22_960_000,
    ),
    "penn_random": (
        "sigmoid:0 sigmoid:1 identity:2 sigmoid:1 tanh:2 tanh:2 sigmoid:0 sigmoid:3",
        [*range(1, 9)],
        22_960_000,
    ),
    "penn_pgd": (
        "relu:0 relu:1 tanh:2 relu:3 identity:2 relu:1 tanh:2 relu:7",
        [*range(1, 9)],
        22_960_000,
    ),
}
"""Of each recurrent genotype the published edges, output, and parameters on the Penn treebank."""


UNPAIRED = {f"FairDARTS_{letter}" for letter in "abcefg"}
"""Cells with nodes of one edge, or of none: these are zero, and do not leave the cell."""


def in_pairs(genotype: Genotype) -> bool:
    return all(len(node) == 2 for cell in genotype.cells for node in cell.nodes)


def edges(cell: CellGenotype) -> str:
    return " ".join(f"{edge.op}:{edge.source}" for node in cell.nodes for edge in node)


def test_every_published_genotype_is_shipped_and_no_other() -> None:
    cells = [entry.name for entry in entries() if entry.catalogue != "darts_rnn"]
    assert sorted(cells) == sorted(PUBLISHED)
    assert len(PUBLISHED) == 129
    recurrent = [entry.name for entry in entries() if entry.catalogue == "darts_rnn"]
    assert recurrent == list(RECURRENT)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shipped_genotype_is_the_published_tuple(name: str) -> None:
    genotype = load_genotype(name)
    normal, reduce = genotype.cell("normal"), genotype.cell("reduce")
    shipped = (edges(normal), list(normal.output), edges(reduce), list(reduce.output))
    assert shipped == tuple(PUBLISHED[name])
    assert (genotype.name, genotype.space, normal.inputs, reduce.inputs) == (name, "darts", 2, 2)
    assert in_pairs(genotype) != (name in UNPAIRED)


@pytest.mark.parametrize("name", RECURRENT)
def test_a_shipped_recurrent_genotype_is_the_published_tuple(name: str) -> None:
    genotype = load_genotype(f"{name}@darts_rnn")
    cell = genotype.cell("recurrent")
    assert (edges(cell), list(cell.output)) == RECURRENT[name][:2]
    assert (genotype.name, genotype.space, cell.inputs) == (name, "darts_rnn", 1)
    assert all(len(node) == 1 for node in cell.nodes)


def test_the_name_of_a_recurrent_genotype_alone_may_mean_another() -> None:
    assert load_genotype("DARTS_V2").kinds == ("normal", "reduce")
    assert load_genotype("penn_pgd").kinds == ("recurrent",)


def test_every_catalogue_passes_every_check() -> None:
    for path in sorted((spaces_directory() / "genotypes").glob("*.json")):
        document = parse_document(read_source(path))
        check_version(document.root, "a catalogue")
        assert set(document.root.entries("a catalogue")) == {"nasir", "genotypes"}


def test_names_and_aliases_are_found_in_any_case() -> None:
    assert load_genotype("darts") == load_genotype("DARTS_V2") == load_genotype("Darts_v2")
    assert load_genotype("pcdarts") == load_genotype("PC_DARTS_cifar")
    assert load_genotype("p-darts") == load_genotype("pdarts") != load_genotype("pcdarts")
    assert load_genotype("dots").name == "DOTS_final_C10"


def test_a_name_may_say_its_catalogue() -> None:
    assert load_genotype("darts_v2@darts") == load_genotype("darts_v2")
    with fails_with("E201"):
        load_genotype("darts_v2@nasnet")


@pytest.mark.parametrize("name", ["", "\0", "a" * 5000, "\ud800", "@", "darts_v2@"])
def test_an_odd_name_is_an_unknown_name(name: str) -> None:
    if name == "darts_v2@":
        assert load_genotype(name).name == "DARTS_V2"
        return
    with fails_with("E201"):
        load_genotype(name)


@pytest.mark.parametrize("name", ["./darts_v2", "no/such.json", "darts_v3.json", "net.onnx"])
def test_what_looks_like_a_path_is_one(name: str) -> None:
    with fails_with("E101"):
        load_genotype(name)


def test_a_file_of_any_name_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    genotype = load_genotype("NASNet")
    (tmp_path / "mine").write_text(dump_genotype(genotype, "darts"))
    monkeypatch.chdir(tmp_path)
    assert load_genotype("mine") == load_genotype("./mine") == load_genotype(Path("mine"))


def test_a_catalogue_is_not_a_genotype() -> None:
    path = spaces_directory() / "genotypes" / "nasnet.json"
    with fails_with("E109") as caught:
        load_genotype(path)
    assert "NASNet" in caught.value.message
    assert load_genotype(f"{path}:nasnet") == load_genotype("NASNet")
