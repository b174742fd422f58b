"""The commands that need no torch, on input that is right."""

import contextlib
import json
import re
from pathlib import Path

import pytest

import nasir
from runners.cli import COMMANDS, main
from runners.cli.entry import GROUPS
from runners.output import TextTable, paragraphs
from tests.command_line import RESNET, TINY, call

NNABLA = Path(__file__).resolve().parent.parent / "spaces" / "examples" / "DARTS_arch.json"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = call(name, "--help")
    assert done.code == 0
    assert f"Example: nasir {name}" in " ".join(done.out.split())


def test_the_help_lists_every_command_and_the_exit_codes() -> None:
    done = call("--help")
    assert done.code == 0
    assert all(f"  {name} " in done.out for name in COMMANDS)
    assert all(f"\n{title}:\n" in done.out for title in GROUPS)
    assert "0 done, 1 the work failed, 2 the call" in done.out


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("nasir co", "convert cost compare correlate compile"),
        ("nasir cost darts_v", "darts_v1 darts_v2"),
        ("nasir cost nasbench201_co", "nasbench201_connect"),
        ("nasir diff --from darts darts_v1 darts_v2", "darts_v2"),
        ("nasir sample natsb", "natsbench_size"),
        ("nasir search darts --space nasn", "nasnet"),
        ("nasir search darts --method pc", "pc-darts"),
        ("nasir methods dra", ""),
        ("nasir recipes cifar10-dr", "cifar10-drnas"),
        ("nasir convert darts_v1 --to enas", "enas"),
        ("nasir show darts_v1 --after cs", "cse"),
        ("nasir bench im", "import"),
        ("nasir --use no-such-extension cost darts_v", ""),
        ("nasir no-such-command dar", ""),
    ],
)
def test_shells_complete_names(
    line: str, found: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_NASIR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with contextlib.suppress(SystemExit):
        main()
    assert capsys.readouterr().out.split() == found.split()


def test_cost_as_json_counts_the_auxiliary_head_apart() -> None:
    facts = json.loads(call("cost", "darts_v2", "--auxiliary", "--json").out)
    assert facts["params"] == 3349342
    assert facts["auxiliary"]["params"] > 0
    assert "nodes" not in facts


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--version",), nasir.__version__),
        (("check", "--schema"), "https://json-schema.org/"),
        (("check", "nasnet"), "outside the space darts"),
        (("show", "--list"), "fold-batch-norm"),
        (("show", "darts_v2", *TINY), "nasir graph 1"),
        (("spaces", "--genotypes"), "DARTS_V2"),
        (("ops",), "sep_conv_3x3"),
        (("ops", "conv2d"), "absorbs_affine"),
        (("ops", "skip_connect"), "nothing: the input itself"),
    ],
)
def test_a_command_prints_what_it_lists(arguments: tuple[str, ...], shown: str) -> None:
    done = call(*arguments)
    assert (done.code, shown in done.out) == (0, True)


def test_files_are_written_where_the_option_says_and_named(tmp_path: Path) -> None:
    path = tmp_path / "new" / "arch.json"
    assert call("convert", "darts_v2", "--to", "nnabla", "-o", path).out == f"{path}\n"
    assert nasir.load_genotype(path) == nasir.load_genotype("darts_v2")
    done = call("draw", NNABLA, "-o", tmp_path / "d", "--format", "svg", "--format", "pdf")
    assert sorted(done.out.split()) == sorted(map(str, (tmp_path / "d").iterdir()))


def test_the_costs_of_nodes_add_up_to_the_total() -> None:
    facts = json.loads(call("cost", RESNET, "--nodes", "--json").out)
    for key in ("params", "macs", "activations"):
        assert sum(node[key] for node in facts["nodes"]) == facts[key]


@pytest.mark.parametrize("name", ["nasir", "nnabla", "darts"])
def test_convert_prints_what_dump_genotype_says(name: str) -> None:
    done = call("convert", NNABLA, "--to", name)
    assert done.code == 0
    assert nasir.load_genotype(done.out) == nasir.load_genotype(NNABLA)
    assert done.out.strip() == nasir.dump_genotype(nasir.load_genotype(NNABLA), name).strip()


def test_show_reads_a_graph_and_goes_on_from_it(tmp_path: Path) -> None:
    path = tmp_path / "net.txt"
    path.write_text(call("show", "darts_v2", *TINY).out)
    after = call("show", path, "--after", "cse").out
    assert after == call("show", "darts_v2", *TINY, "--after", "cse").out
    assert len(nasir.parse_graph(after)) > len(nasir.network("darts_v2", channels=4, layers=3))


@pytest.mark.parametrize("name", nasir.PASSES)
def test_show_prints_the_graph_after_any_pass(name: str) -> None:
    done = call("show", "c10_s4_pcdarts", *TINY, "--after", name)
    assert done.code == 0
    assert len(nasir.parse_graph(done.out)) > 0


def test_show_after_a_pass_leaves_inexact_passes_before_it_out() -> None:
    frozen = nasir.parse_graph(call("show", "darts_v2", *TINY, "--after", "freeze-noise").out)
    assert any(node.op.name == "batch_norm" for node in frozen)


def test_check_says_what_files_hold(tmp_path: Path) -> None:
    graph = tmp_path / "net.txt"
    graph.write_text(call("show", "darts_v2", *TINY).out)
    space = Path(__file__).resolve().parent.parent / "spaces" / "darts.yaml"
    facts = json.loads(call("check", NNABLA, space, graph, RESNET, "--json").out)
    assert [row["kind"] for row in facts] == ["genotype", "space", "graph", "genotype"]
    assert facts[0]["format"] == "nnabla"
    assert facts[0]["outside"] == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("method: mine\nlike: darts\nperturb: pgd", "method"),
        ("like: cifar10\ntrain: {epochs: 3}", "recipe"),
        ("of: darts\nsearch: {method: darts}", "experiment"),
    ],
)
def test_check_reads_what_runs_are_asked_for(text: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"nasir: 1\n{text}\n")
    assert [row["kind"] for row in json.loads(call("check", file, "--json").out)] == [kind]
    file.write_text(f"nasir: 1\n{text}\ntypo: 1\n")
    done = call("check", file)
    assert done.code == 2
    assert f"{file}:{text.count(chr(10)) + 3}:" in done.err


def test_check_reports_good_files_beside_a_bad_one(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"arch_normal": ')
    done = call("check", NNABLA, bad)
    assert done.code == 2
    assert done.out.startswith(str(NNABLA))
    assert done.err.startswith(f"{bad}:1:16: E104")


def test_diff_names_edges_outputs_and_cost() -> None:
    done = call("diff", "darts_v1", "darts_v2")
    assert done.code == 1
    rows = [line.split("  ") for line in done.out.splitlines()]
    assert ["normal", "node 3", "skip_connect(0)"] in [[c for c in row if c][:3] for row in rows]
    assert "3,169,414" in done.out
    assert "1.057" in done.out


def test_diff_of_other_kinds_of_cell_and_of_outputs() -> None:
    facts = json.loads(call("diff", RESNET, "darts_v2", "--json").out)
    assert [(row["cell"], row["place"]) for row in facts["differences"]] == [
        ("cell", "cell"),
        ("normal", "cell"),
        ("reduce", "cell"),
    ]
    facts = json.loads(call("diff", "nasnet", "amoebanet", "--json").out)
    places = [(row["cell"], row["place"]) for row in facts["differences"]]
    assert ("normal", "output") in places
    assert ("reduce", "output") in places
    assert not facts["equal"]


def test_spaces_are_listed_and_shown() -> None:
    names = [row["name"] for row in json.loads(call("spaces", "--json").out)]
    assert {"darts", "nasbench201"} <= set(names)
    for name in names:
        assert call("spaces", name).code == 0
    assert "cell cell: 1 input, 3 nodes" in call("spaces", "nasbench201").out
    edges = json.loads(call("spaces", "darts", "--json").out)["cells"]["normal"]["edges"]
    assert len(edges) == 14
    assert edges[0]["ops"][0] == "none"


def test_examples_are_copied_and_never_over_another_file(tmp_path: Path) -> None:
    done = call("examples", "-o", tmp_path)
    assert str(tmp_path / "mobile.yaml") in done.out.splitlines()
    assert call("examples", "-o", tmp_path).code == 0
    (tmp_path / "mobile.yaml").write_text("mine")
    (tmp_path / "DARTS_arch.json").unlink()
    done = call("examples", "-o", tmp_path)
    assert (done.code, "E112" in done.err) == (1, True)
    assert (tmp_path / "mobile.yaml").read_text() == "mine"
    assert not (tmp_path / "DARTS_arch.json").exists()


TABLES = {
    "methods": ("methods",),
    "one method": ("methods", "drnas-progressive"),
    "spaces": ("spaces",),
    "genotypes": ("spaces", "--genotypes"),
    "results": ("spaces", "--results"),
    "recipes": ("recipes",),
    "ops": ("ops",),
    "passes": ("show", "--list"),
    "cost": ("cost", "darts_v2", *TINY, "--nodes"),
    "diff": ("diff", "darts_v1", "darts_v2", *TINY),
}


def words(text: str) -> set[str]:
    return {word.rstrip(";:") for word in re.split(r"[\s│]+", text)}


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("arguments", TABLES.values(), ids=TABLES)
def test_no_name_in_a_table_is_cut_or_broken_on_a_terminal(
    arguments: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = call(*arguments).out
    monkeypatch.setattr("runners.output.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    drawn = call(*arguments).out
    assert drawn != plain
    heads = {"method", "space", "genotype", "system", "recipe", "op", "pass", "node", "value"}
    assert words(plain) - words(drawn) <= heads


def test_a_row_is_a_paragraph_where_the_longest_words_do_not_fit() -> None:
    table = TextTable(
        "about", ("name", "size", ""), (("a-very-long-name", 1, "x y"), ("b", 2, "z"))
    )
    assert paragraphs(table, 12) == [
        "about", "a-very-long-name", "  size: 1; x", "  y", "b", "  size: 2; z"
    ]  # fmt: skip
