"""Genotypes as they stand in repositories, logs and tables: each kind of file, and what it gives.

The files are invented.
"""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import nasir
from nasir import NasirError, dump_genotype, load_genotype, load_genotypes
from nasir.space.load import spaces_directory
from tests.command_line import call

N = "[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 2), ('max_pool_3x3', 0)]"
R = "[('avg_pool_3x3', 0), ('max_pool_3x3', 1), ('none', 2), ('skip_connect', 1)]"
FIRST = f"Genotype(normal={N}, normal_concat=[2, 3], reduce={R}, reduce_concat=[2, 3])"
SECOND = FIRST.replace("sep_conv_3x3", "sep_conv_5x5")
THIRD = FIRST.replace("dil_conv_3x3", "dil_conv_5x5")
DATA: dict[str, list[Any]] = {
    "normal": [["sep_conv_3x3", 0], ["skip_connect", 1], ["dil_conv_3x3", 2], ["max_pool_3x3", 0]],
    "normal_concat": [2, 3],
    "reduce": [["avg_pool_3x3", 0], ["max_pool_3x3", 1], ["none", 2], ["skip_connect", 1]],
    "reduce_concat": [2, 3],
}
ARCH = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
OTHER = ARCH.replace("avg_pool_3x3", "skip_connect")
MODULE = '{"matrix": [[0, 1, 1], [0, 0, 1], [0, 0, 0]], "ops": ["input", "maxpool3x3", "output"]}'

DECLARED = f"""from collections import namedtuple

Genotype = namedtuple('Genotype', 'normal normal_concat reduce reduce_concat')

PRIMITIVES = ['none', 'max_pool_3x3', 'skip_connect']
STEPS = 4

FIRST = {FIRST}
SECOND = Genotype({N.replace("sep_conv_3x3", "sep_conv_5x5")}, range(2, 4), {R}, range(2, 4))
BEST = SECOND


def main():
    raise SystemExit(3)
"""

LOG = "\n".join(
    f"2026-01-02 03:04:0{epoch},006 epoch {epoch} lr 2.5e-02 (don't mind)\n"
    f"2026-01-02 03:04:0{epoch},007 genotype = {text}\n"
    f"2026-01-02 03:04:0{epoch},008 valid_acc 3{epoch}.25"
    for epoch, text in enumerate((FIRST, SECOND, THIRD))
)


def with_values(text: str) -> str:
    """The same with the values of numpy and torch."""
    text = text.replace("0)", "np.int64(0))").replace("1)", "tensor(1, device='cuda:0'))")
    return text.replace("'none'", "np.str_('none')").replace("[2, 3]", "array([2, 3], dtype=int64)")


def triples(order: str) -> str:
    """FIRST with a node or a score in each edge."""
    text, node = FIRST, 2
    for number in range(8):
        node = 2 + number % 4 // 2
        third = {"op, node, source": "", "op, source, node": f", {node}"}.get(order, ", 0.25")
        old = FIRST.split("('")[number + 1].split(")", maxsplit=1)[0]
        op, source = old.split("', ")
        put = f"{op}', {node}, {source}" if not third else f"{op}', {source}{third}"
        text = text.replace(f"('{old})", f"<{put}>", 1)
    return text.replace("<", "('").replace(">", ")")


@dataclass(frozen=True)
class Row:
    """A kind of file: an example, and the texts of the genotypes that it gives, by name."""

    kind: str
    file: str
    text: str
    gives: dict[str, str] = field(default_factory=lambda: {"": FIRST})
    series: bool = False


def log(*texts: str) -> dict[str, str]:
    return {str(number): text for number, text in enumerate(texts)}


NESTED = FIRST.replace("[(", "[[(").replace(")]", ")]]").replace("1), (", "1)], [(")
QUOTED = json.dumps({"epoch": 3, "genotype": FIRST})
THREE = {"FIRST": FIRST, "SECOND": SECOND, "BEST": SECOND}

ROWS = (
    Row("a repository's genotypes.py", "genotypes.py", DECLARED, THREE),
    Row("an assignment alone", "one.py", f"MINE = {FIRST}", {"MINE": FIRST}),
    Row("a class of typing.NamedTuple", "a.py",
        "class Genotype(NamedTuple):\n  normal: list\n  normal_concat: list\n  reduce: list\n"
        f"  reduce_concat: list\n\nA = Genotype({N}, [2, 3], reduce={R}, reduce_concat=[2, 3])",
        {"A": FIRST}),
    Row("parts under names", "a.py", f"N = {N[:-1]}] + []\nR = {R}\nC = list(range(2, 4))\n"
        "B = Genotype(normal=N, normal_concat=C, reduce=R, reduce_concat=C)", {"B": FIRST}),
    Row("Python 2", "a.py", f"A = {FIRST}\nB = {SECOND}\nprint A", {"A": FIRST, "B": SECOND}),
    Row("a search log", "log.txt", LOG, log(FIRST, SECOND, THIRD), series=True),
    Row("a log over several lines", "search.log",
        LOG.replace("), (", "),\n    ("), log(FIRST, SECOND, THIRD), series=True),
    Row("a log in colours", "log.txt", LOG.replace("genotype", "\x1b[31mgenotype\x1b[0m"),
        log(FIRST, SECOND, THIRD), series=True),
    Row("a log that was cut off", "log.txt", LOG[:-200], log(FIRST, SECOND), series=True),
    Row("quoted", "a.txt", f'"{FIRST}"'),
    Row("annotated", "a.py", f"x: Genotype = {FIRST}", {"x": FIRST}),
    Row("in a sentence", "a.txt", f"genotype is {FIRST} now"),
    Row("under another name", "a.txt", FIRST.replace("Genotype", "DARTSGenotype")),
    Row("with its module", "a.txt", FIRST.replace("Genotype", "genotypes.Genotype")),
    Row("quoted in JSON", "a.json", QUOTED),
    Row("records in JSON", "a.json", json.dumps([{"arch": FIRST, "acc": 97.1}, {"arch": SECOND}]),
        log(FIRST, SECOND)),
    Row("a line of JSON an epoch", "a.jsonl", f"{QUOTED}\n{json.dumps({'g': SECOND})}\n",
        log(FIRST, SECOND), series=True),
    Row("names in JSON", "a.json", json.dumps({"A": {"g": FIRST}, "B": {"g": SECOND}}),
        {"A": FIRST, "B": SECOND}),
    Row("quoted in YAML", "a.yaml", f"epoch: 3\ngenotype: {FIRST}\n"),
    Row("quoted in nested YAML", "a.yaml", f"s1:\n  '0.0':\n    1: {FIRST}\n    2: {SECOND}\n",
        {"1": FIRST, "2": SECOND}),
    Row("records in YAML", "a.yml", f"- arch: {FIRST}\n- arch: {SECOND}\n", log(FIRST, SECOND)),
    Row("with numpy's and torch's values", "a.txt", with_values(FIRST)),
    Row("printed by torch", "a.txt",
        triples("score").replace("0.25", "tensor(0.25, grad_fn=<SelectBackward0>)")),
    Row("ranges and sizes", "a.txt", FIRST.replace("[2, 3]", "range(2, 4)", 1).replace(
        "[2, 3]", "torch.Size([2, 3])")),
    Row("nested edges", "a.txt", NESTED),
    Row("(op, node, source)", "a.txt", triples("op, node, source")),
    Row("(op, source, node)", "a.txt", triples("op, source, node")),
    Row("(op, source, score)", "a.txt", triples("op, source, score")),
    Row("fields as JSON", "a.json", json.dumps(DATA)),
    Row("fields as YAML", "a.yaml", "normal_concat: [2, 3]\nreduce_concat: [2, 3]\n" + "".join(
        f"{kind}:\n" + "".join(f"- [{op}, {at}]\n" for op, at in DATA[kind])
        for kind in ("normal", "reduce"))),
    Row("fields as a dict", "a.txt", repr(DATA)),
    Row("fields as an OrderedDict", "a.txt", f"OrderedDict({list(DATA.items())!r})"),
    Row("fields as dict(...)", "a.txt", "dict(" + FIRST[len("Genotype("):]),
    Row("a list of fields", "a.json", json.dumps(list(DATA.values()))),
    Row("fields beside facts", "a.json", json.dumps({"name": "x", "acc": 97.1, **DATA})),
    Row("dictionaries in a log", "log.txt", f"1 found {DATA!r}\n2 found {DATA!r}\n",
        log(FIRST, FIRST), series=True),
    Row("an arch string in a line", "log.txt", f"info :: {ARCH}\n", {"": ARCH}),
    Row("AutoDL's Structure", "log.txt", f"Structure(4 nodes with {ARCH})", {"": ARCH}),
    Row("AutoDL's newer Structure", "log.txt", f"0: Structure(nodes=4 {ARCH})\n1: {OTHER}\n",
        log(ARCH, OTHER), series=True),
    Row("arch strings in a table", "a.csv", f"arch,acc\n{ARCH},93.1\n{OTHER},91\n",
        log(ARCH, OTHER)),
    Row("an arch string in JSON", "a.json", json.dumps({"arch": ARCH, "acc": 91}), {"": ARCH}),
    Row("ModelSpec(...)", "a.py", "cell = api.ModelSpec(\n  matrix=[[0, 1, 1], [0, 0, 1], "
        "[0, 0, 0]],\n  ops=['input', 'maxpool3x3', 'output'])", {"cell": MODULE}),
    Row("ModelSpec(...) of arrays", "log.txt", "best: ModelSpec(np.array([[0, 1, 1], [0, 0, 1], "
        "[0, 0, 0]]), ['input', 'maxpool3x3', 'output'])", {"": MODULE}),
    Row("[array(...), ops]", "a.txt", "[array([[0, 1, 1],\n       [0, 0, 1],\n       [0, 0, 0]]), "
        "['input', 'maxpool3x3', 'output']]", {"": MODULE}),
    Row("a module quoted in JSON", "a.json", json.dumps({"spec": "ModelSpec(matrix=[[0, 1, 1], "
        "[0, 0, 1], [0, 0, 0]], ops=['input', 'maxpool3x3', 'output'])"}), {"": MODULE}),
)  # fmt: skip


@pytest.fixture(params=ROWS, ids=lambda row: row.kind)
def row(request: pytest.FixtureRequest) -> Row:
    found = request.param
    assert isinstance(found, Row)
    return found


def test_a_kind_of_file_gives_its_genotypes(row: Row, tmp_path: Path) -> None:
    path = tmp_path / row.file
    path.write_text(row.text)
    expected = {name: load_genotype(text) for name, text in row.gives.items()}
    found = load_genotypes(path)
    assert [each.cells for each in found.values()] == [each.cells for each in expected.values()]
    if len(expected) > 1:
        assert list(found) == list(expected)
        for name, genotype in expected.items():
            assert load_genotype(f"{path}:{name}") == genotype
    if len(expected) == 1 or row.series:
        assert load_genotype(path).cells == list(expected.values())[-1].cells
        return
    with pytest.raises(NasirError) as caught:
        load_genotype(path)
    assert caught.value.code == "E109"
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
    shorter = [DATA["normal"][:3], *list(DATA.values())[1:]]
    error = refused(json.dumps(shorter))
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
