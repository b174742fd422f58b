"""The commands on recurrent genotypes."""

import json
from pathlib import Path

import nasir
from tests.command_line import call

SMALL = ("--vocabulary", "20", "--hidden", "4")


def test_cost_counts_the_published_parameters_and_says_the_size() -> None:
    done = call("cost", "darts_v2@darts_rnn")
    assert done.code == 0
    assert "DARTS_V2: rnn skeleton, 10000 words, 850 hidden units" in done.out
    assert "22,960,000" in done.out
    facts = json.loads(call("cost", "enas", "--json", *SMALL).out)
    assert (facts["skeleton"], facts["vocabulary"], facts["hidden"]) == ("rnn", 20, 4)


def test_show_prints_a_graph_that_is_read_back() -> None:
    done = call("show", "penn_pgd", *SMALL)
    assert nasir.parse_graph(done.out) == nasir.network("penn_pgd", vocabulary=20, hidden=4)
    after = call("show", "penn_pgd", *SMALL, "--after", "evaluation")
    assert "dropout_mask(hidden)" in after.out
    assert "masked(" not in after.out


def test_compile_writes_files_that_agree(tmp_path: Path) -> None:
    done = call(
        "compile",
        "penn_pgd",
        *SMALL,
        "--no-compile",
        "--export",
        tmp_path / "net.pt2",
        "-o",
        tmp_path,
    )
    assert done.code == 0, done.err
    assert "log-probabilities of shape (5, 1, 20)" in done.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["size"] == {"skeleton": "rnn", "vocabulary": 20, "hidden": 4}
    measured = {row["form"]: row["difference"] for row in report["forms"]}
    assert measured.pop("eager") is None
    assert set(measured) == {"folded", "onnxruntime", "python", "export"}
    assert max(each["difference"] for each in measured.values()) < 1e-4
    assert nasir.load_genotype(tmp_path / "penn_pgd.onnx") == nasir.load_genotype("penn_pgd")
