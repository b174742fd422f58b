"""Genotypes as they stand in repositories, logs and tables: each kind of file, and what it gives.

The files are invented.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import nasir
from nasir import NasirError, dump_genotype, load_genotype, load_genotypes
from nasir.space.load import spaces_directory
from tests.command_line import call
from tests.refusals import fails_with

FIELD = YAML(typ="safe", pure=True).load(Path(__file__).parent / "data" / "field.yaml")
FIRST, THIRD = FIELD["genotypes"]["FIRST"], FIELD["genotypes"]["THIRD"]


@dataclass(frozen=True)
class Row:
    """A kind of file: an example, and the texts of the genotypes that it gives, by name."""

    kind: str
    file: str
    text: str
    gives: Any
    series: bool = False

    @property
    def genotypes(self) -> dict[str, str]:
        given = {"": self.gives} if isinstance(self.gives, str) else self.gives
        named = given if isinstance(given, dict) else {str(i): each for i, each in enumerate(given)}
        return {name: FIELD["genotypes"][each] for name, each in named.items()}


ROWS = tuple(Row(**each) for each in FIELD["files"])
TEXTS = {row.kind: row.text for row in ROWS}
DECLARED, LOG = TEXTS["a repository's genotypes.py"], TEXTS["a search log"]
THREE = ("FIRST", "SECOND", "BEST")


@pytest.fixture(params=ROWS, ids=lambda row: row.kind)
def row(request: pytest.FixtureRequest) -> Row:
    found = request.param
    assert isinstance(found, Row)
    return found


def test_a_kind_of_file_gives_its_genotypes(row: Row, tmp_path: Path) -> None:
    path = tmp_path / row.file
    path.write_text(row.text)
    expected = {name: load_genotype(text) for name, text in row.genotypes.items()}
    found = load_genotypes(path)
    assert [each.cells for each in found.values()] == [each.cells for each in expected.values()]
    if len(expected) > 1:
        assert list(found) == list(expected)
        for name, genotype in expected.items():
            assert load_genotype(f"{path}:{name}") == genotype
    if len(expected) == 1 or row.series:
        assert load_genotype(path).cells == list(expected.values())[-1].cells
        return
    with fails_with("E109") as caught:
        load_genotype(path)
    assert all(name in caught.value.message for name in expected)


def refused(text: str | Path, **options: Any) -> NasirError:
    with pytest.raises(NasirError) as caught:
        load_genotype(text, **options)
    return caught.value


def test_a_genotype_that_cannot_be_read_does_not_hide_its_neighbours(tmp_path: Path) -> None:
    path = tmp_path / "genotypes.py"
    path.write_text(f"A = Genotype(normal=f(x), reduce=[])\nB = {FIRST}\n")
    assert load_genotype(f"{path}:b") == load_genotype(FIRST)
    assert refused(f"{path}:A").where.line == 1
    assert refused(f"{path}:C").code == "E201"


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    path, witness = tmp_path / "genotypes.py", tmp_path / "witness"
    path.write_text(
        f"open({str(witness)!r}, 'w').close()\nA = {FIRST}\n"
        f"B = Genotype(normal=open({str(witness)!r}, 'w'), normal_concat=[2])\n"
    )
    assert load_genotype(f"{path}:A") == load_genotype(FIRST)
    assert refused(f"{path}:B").code == "E109"
    assert not witness.exists()


def test_numbers_count_from_both_ends_of_a_log(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(LOG)
    for number, text in ((-3, FIRST), (0, FIRST), (-1, THIRD), (2, THIRD)):
        assert load_genotype(f"{path}:{number}") == load_genotype(text)
    assert "0 to 2" in refused(f"{path}:3").hint


LATIN = "# r\u00e9seau de Ren\u00e9\n".encode("cp1252")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.txt", LATIN + LOG.encode()),
        ("log.txt", b"10%\r50%\x1b[K\0\b\n" + LOG.encode() + b"\0" * 5000),
        ("log", b"\0" * 100_000 + LOG.encode()),
        ("genotypes.py", b"# -*- coding: cp1252 -*-\n" + LATIN + f"A = {THIRD}\n".encode()),
        ("table.csv", f"1,91.2,{THIRD!r},".encode() + b"Ren\xe9\n"),
        ("runs.jsonl", json.dumps({"genotype": THIRD}).encode() + b'\n{"by": "Ren\xe9"}\n'),
    ],
)
def test_bytes_that_are_no_text_do_not_hide_a_genotype(
    name: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert load_genotype(path).cells == load_genotype(THIRD).cells
    assert list(load_genotypes(path).values())[-1].cells == load_genotype(THIRD).cells
    done = call("check", str(path))
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("own.json", dump_genotype("darts_v2").encode() + b"\xe9", None),
        ("own.txt", b'{\n "nasir": 1,\n "title": "Ren\xe9"}', (3, 15)),
        ("space.yaml", b"space: Ren\xe9\n", (1, 11)),
        ("graph.txt", b"nasir graph 1\n\xe9", (2, 1)),
        ("archive", b"PK\3\4" + bytes(range(256)) * 20 + FIRST.encode(), None),
        ("numbers.log", FIRST.encode("utf-16"), (1, 1)),
    ],
)
def test_binary_files_and_nasirs_own_are_refused_where_they_are_no_text(
    name: str, content: bytes, place: tuple[int, int] | None, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    error = refused(path)
    hint = "nasir bench" if name == "archive" else "save it as UTF-8 text"
    assert (error.code, hint in error.hint) == ("E103", True)
    assert place in (None, (error.where.line, error.where.column))
    assert "E103" in call("check", str(path)).err


@pytest.mark.parametrize("name", ["two\nlines", "[(1, 0)]", "{x", "|none~0|"])
def test_a_file_wins_over_a_text(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(DECLARED)
    assert list(load_genotypes(name)) == list(THREE)
    assert load_genotype(f"{name}:FIRST").cells == load_genotype(FIRST).cells
    assert call("check", name).out.count("a genotype") == len(THREE)
    assert call("cost", f"{name}:FIRST").code == 0
    Path(name).write_text((spaces_directory() / "darts.yaml").read_text())
    assert call("check", name).code == 0
    if not name.startswith(("[", "|")):
        assert nasir.load_space(name).name == "darts"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["id"],
        ["cost"],
        ["draw"],
        ["show"],
        ["convert"],
        ["compile"],
        ["diff", "gdas_v1"],
        ["evaluate", "--data", "digits"],
        ["test", "--data", "digits"],
        ["import-weights", "weights.pt", "-o", "out"],
        ["query", "--data", "store"],
    ],
)
def test_a_format_is_refused_for_a_published_name(arguments: list[str]) -> None:
    command, *others = arguments
    done = call(command, "darts_v2", *others, "--from", "bananas")
    assert done.code == 2
    assert "E505 'darts_v2' is a published name" in done.err
    assert refused("darts_v2", format="darts").code == "E505"
    assert refused("darts_v9", format="darts").code == "E201"


@pytest.mark.parametrize("name", ["a:b.py", "C:", "x:1"])
def test_a_file_with_a_colon_in_its_name_is_that_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(FIRST)
    assert load_genotype(name) == load_genotype(FIRST)
    assert refused(r"D:\missing\genotypes.py").code == "E101"
    assert refused("missing.py:A").where.file == "missing.py"


def test_triples_that_name_no_node_are_refused() -> None:
    text = FIRST.replace("', 0)", "', 2, 2)").replace("', 1)", "', 2, 1)")
    error = refused(text.replace("', 2)", "', 3, 2)"))
    assert error.code == "E109"
    assert "neither ('op', node, source) nor ('op', source, node)" in error.message


def test_a_node_without_edges_is_zero_and_does_not_leave_the_cell() -> None:
    """FairDARTS-a, arXiv:1911.12126: 2.83 M parameters with the auxiliary head."""
    text = (
        "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0), "
        "('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0), "
        "('avg_pool_3x3', 2, 1), ('avg_pool_3x3', 3, 0), ('dil_conv_5x5', 3, 1), "
        "('avg_pool_3x3', 4, 0), ('sep_conv_5x5', 4, 1), ('skip_connect', 5, 0), "
        "('skip_connect', 5, 1)], reduce_concat=range(2, 6))"
    )
    genotype = load_genotype(text)
    assert genotype == load_genotype("FairDARTS_a")
    cost = nasir.cost(nasir.network(genotype, channels=36, layers=20, auxiliary=True))
    assert cost.auxiliary
    assert abs((cost.params + cost.auxiliary.params) / 1e6 - 2.83) < 0.01
    assert load_genotype(dump_genotype(genotype, "darts")) == genotype
    reads_zero = text.replace("('sep_conv_3x3', 5, 0)", "('sep_conv_3x3', 5, 3)")
    assert "node 3, which has no edges" in refused(reads_zero).message


def test_other_kinds_of_cell_need_their_space() -> None:
    space = nasir.load_space(spaces_directory() / "examples/three_kinds.yaml")
    genotype = nasir.sample(space, 0)
    fields = ", ".join(
        f"{cell.kind}={[(e.op, e.source) for edges in cell.nodes for e in edges]!r}, "
        f"{cell.kind}_concat={list(cell.output)!r}"
        for cell in genotype.cells
    )
    text = f"Genotype({fields})"
    assert load_genotype(text, space) == genotype
    assert refused(text).code == "E202"
    assert "--space" in refused(text).hint


def test_errors_call_a_file_what_it_is() -> None:
    normal, *others = json.loads(TEXTS["a list of fields"])
    error = refused(json.dumps([normal[:3], *others]))
    assert (error.code, "NAS-Bench" in error.message) == ("E202", False)
    error = refused(json.dumps({"epoch": 3, "genotype": FIRST.replace("sep_conv_3x3", "sep_3x3")}))
    assert (error.code, error.where.line, error.where.column) == ("E201", 1, 45)
    assert refused(json.dumps({"epoch": 3})).code == "E108"


@pytest.mark.parametrize("op", ["identity", "relu", "tanh", "sigmoid"])
def test_activations_stand_in_recurrent_cells_alone(op: str) -> None:
    assert refused(FIRST.replace("skip_connect", op)).code == "E201"
    assert load_genotype(f"Genotype(recurrent=[({op!r}, 0)], concat=[1])")
    assert refused("Genotype(recurrent=[('skip_connect', 0)], concat=[1])").code == "E201"


def test_commands_take_one_of_several_and_say_how_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "genotypes.py"
    path.write_text(DECLARED)
    listed = json.loads(call("check", str(path), "--json").out)
    assert [facts["file"] for facts in listed] == [f"{path}:{name}" for name in THREE]
    cost = json.loads(call("cost", f"{path}:BEST", "--json").out)
    assert (cost["genotype"], cost["params"]) == ("BEST", listed[2]["params"])
    read = call("convert", "(2, 3, 0, 1, 4, 1)", "--from", "naslib", "--to", "nasbench201")
    assert read.err.startswith("read as naslib format, ops 0 skip_connect, ")
    assert "edges 0 1, 0 2, 0 3, 1 2, 1 3, 2 3" in read.err
    assert call("cost", "(2, 3, 0, 1, 4, 1)").code == 2
    assert call("id", "(2, 3, 0, 1, 4, 1)", "--from", "nasbench").code == 2


def test_a_check_builds_what_a_cost_builds(tmp_path: Path) -> None:
    text = (spaces_directory() / "examples" / "three_kinds.yaml").read_text()
    space = nasir.load_space(text)
    claimed = (
        "layout: {pattern: ["
        + space.kinds[0]
        + "], places: {"
        + ", ".join(f"{kind}: [1]" for kind in space.kinds[1:])
        + "}}"
    )
    kept = [part for part in text.split("\n\n") if not part.startswith("layout")]
    path = tmp_path / "space.yaml"
    path.write_text("\n\n".join([*kept, claimed]))
    checked = call("check", str(path))
    assert (checked.code, "E302" in checked.err) == (2, True)


def bomb(depth: int) -> str:
    lines = ["a0 = ['sep_conv_3x3', 0]"]
    lines += [f"a{i + 1} = [{', '.join([f'a{i}'] * 16)}]" for i in range(depth)]
    return "\n".join([*lines, f"A = Genotype(normal=a{depth}, normal_concat=[2])"])


@pytest.mark.parametrize(
    "text",
    [
        bomb(12),
        "A = " + "[" * 40 + "Genotype(" + "]" * 40,
        "Genotype(" * 60_000,
        "x = {'normal': " * 40_000,
        "Genotype(normal=[" + "('none', 0), " * 40_000,
        "a = 'x' + 'y'\n" + "a = a + a\n" * 60 + "A = Genotype(normal=a)",
        "|none~0|+" * 60_000,
        "w" * 400_000 + "Genotype(",
        "genotype = " + "\n" * 60_000 + "Genotype(normal=1)",
        "- " * 60_000 + "Genotype(normal=1)",
    ],
    ids=range(10),
)
def test_a_hostile_text_ends_soon(text: str, tmp_path: Path) -> None:
    path = tmp_path / "genotypes.txt"
    path.write_text(text)
    begun = time.process_time()
    assert refused(path).code in ("E104", "E106", "E108", "E109", "E202")
    assert time.process_time() - begun < 2
