"""Searching: every method, run directories, stages, and what can go wrong."""

import json
from pathlib import Path
from typing import Annotated, Any, cast

import pytest
import typer
from typer.testing import CliRunner

import nasir
from nasir import NasirError
from runners.cli.options import Fields, as_command
from runners.experiment import search as loop
from runners.experiment.experiment import Experiment, Search, read_experiment
from runners.experiment.method import METHODS
from runners.folder.display import Display
from runners.folder.facts import read_facts
from tests.command_line import ROOT, call
from tests.gate import gated
from tests.refusals import fails_with
from tests.runs import left, rows
from tests.searches import changed, run, tiny, write_text

FAST = ("darts", "darts-pt", "drnas-progressive", "gdas", "pc-darts", "random-ws", "sdarts-adv")
"""Methods that differ in their parts; beside them every method is tried in the slow tests."""


@pytest.mark.parametrize("method", gated(METHODS, FAST))
def test_a_method_ends_with_a_genotype_of_the_space(method: str, tmp_path: Path) -> None:
    result = run(tiny(method=method), tmp_path / "run")
    assert nasir.load_space("nasbench201").contains(result.genotype) == ()
    assert nasir.load_genotype(str(tmp_path / "run" / "genotype.json")) == result.genotype
    assert result.genotype.name == f"{method}_0"


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("space", ["darts", "s2", "nasbench1shot1_1"])
def test_a_method_runs_on_every_space_that_has_its_decisions(
    space: str, method: str, tmp_path: Path
) -> None:
    result = run(tiny(space, method), tmp_path / "run")
    assert nasir.load_space(space).contains(result.genotype) == ()


@pytest.mark.parametrize(
    "method", gated(["darts", "darts-2nd", "drnas", "gdas", "sdarts-rs"], ["gdas"])
)
def test_a_method_searches_recurrent_cells_on_text(method: str, tmp_path: Path) -> None:
    request = tiny("darts_rnn", method, data=write_text(tmp_path / "text"), sizes={"hidden": 8})
    result = run(changed(request, batch=4, limit=None), tmp_path / "run")
    assert nasir.load_space("darts_rnn").contains(result.genotype) == ()
    assert rows(tmp_path / "run")[0]["train"]["perplexity"] > 1


@pytest.mark.slow
def test_parts_of_different_methods_make_a_method(tmp_path: Path) -> None:
    parts = {"perturb": "pgd", "select": "projection", "edges": "softmax", "stop": "eigenvalue"}
    request = tiny(
        parts=parts, channels_fraction="1/2", drop_path=0.3, epochs=8, interval=1, memory="states"
    )
    result = run(request, tmp_path / "run")
    assert nasir.load_space("nasbench201").contains(result.genotype) == ()
    found = rows(tmp_path / "run")
    assert [row["phase"] for row in found][:3] == ["search", "search", "projection"]
    assert "eigenvalue" in found[0]
    assert found[1]["drop_path"] == 0.3
    assert "cell/n3" in rows(tmp_path / "run", "architecture.jsonl")[0]["weights"]


def test_a_run_directory_says_all_of_the_run(finished: Path) -> None:
    folder = finished / "search"
    facts = json.loads((folder / "run.json").read_text())
    for name in ("nasir", "torch", "python", "machine", "method", "space", "data", "settings"):
        assert facts[name], name
    assert (facts["seed"], facts["task"], facts["metric"]) == (0, "images", "accuracy")
    assert facts["choices"]["cell/n1.e0"] == ["none", "skip_connect", "nor_conv_1x1",
                                              "nor_conv_3x3", "avg_pool_3x3"]  # fmt: skip
    assert [row["epoch"] for row in rows(folder)] == [0, 1]
    for row in rows(folder, "architecture.jsonl"):
        for weights in row["weights"].values():
            assert sum(weights) == pytest.approx(1.0, abs=1e-5)
    assert {path.name for path in (folder / "genotypes").iterdir()} == {"0000.json", "0001.json"}
    assert [row["epoch"] for row in rows(folder, "times.jsonl")] == [0, 1]
    assert list((folder / "events").iterdir())


def test_logits_learn_and_weights_learn(tmp_path: Path) -> None:
    run(tiny(epochs=3, steps=None, limit=128, values={"logits.lr": 0.1}), tmp_path / "run")
    logits = [row["logits"] for row in rows(tmp_path / "run", "architecture.jsonl")]
    for name, row in logits[0].items():
        assert row != logits[-1][name]
    losses = [row["train"]["loss"] for row in rows(tmp_path / "run")]
    assert losses[-1] < losses[0]


def test_stages_prune_and_widen(tmp_path: Path) -> None:
    run(tiny(method="drnas-progressive", sizes={"channels": 8, "layers": 1}), tmp_path / "run")
    first, second = (row["weights"] for row in rows(tmp_path / "run", "architecture.jsonl"))
    assert all(sum(w > 0 for w in row) == 5 for row in first.values())
    assert all(sum(w > 0 for w in row) == 3 for row in second.values())


def test_projection_decides_every_edge(tmp_path: Path) -> None:
    run(tiny(method="darts-pt", epochs=8, interval=1), tmp_path / "run")
    found = rows(tmp_path / "run", "architecture.jsonl")
    decided = [sum(max(row) == 1.0 for row in at["weights"].values()) for at in found]
    assert decided == [0, 0, 1, 2, 3, 4, 5, 6]
    assert rows(tmp_path / "run")[-1]["lr"] == pytest.approx(0.0025)


def test_the_epochs_that_are_asked_for_are_all_epochs(tmp_path: Path) -> None:
    said: list[str] = []

    class Noting(Display):
        def say(self, text: str) -> None:
            said.append(text)

    result = loop.search(tiny(method="darts-pt", epochs=5), tmp_path / "run", Noting())
    assert said[0] == "5 epochs (4 of search; 1 of tuning between 6 projections)"
    assert result.plan.epochs == len(rows(tmp_path / "run")) == 5
    last = rows(tmp_path / "run", "architecture.jsonl")[-1]["weights"]
    assert all(max(row) == 1.0 for row in last.values()), "every edge is decided"


def test_a_finished_search_is_resumed_without_doing_anything(finished: Path) -> None:
    before = left(finished / "search")
    again = loop.resume(finished / "search", {}, Display())
    assert again.genotype == nasir.load_genotype(str(finished / "search" / "genotype.json"))
    assert left(finished / "search") == before


def test_resuming_with_other_settings_is_an_error_that_names_them(finished: Path) -> None:
    with fails_with("E726", "seed"):
        loop.resume(finished / "search", {"seed": 5}, Display())


def test_resuming_with_other_data_is_an_error(tmp_path: Path) -> None:
    data = write_text(tmp_path / "text")
    request = changed(tiny("darts_rnn", data=data, sizes={"hidden": 8}), batch=4, limit=None)
    run(request, tmp_path / "run")
    write_text(tmp_path / "text", 500)
    with pytest.raises(NasirError, match="fingerprint"):
        loop.resume(tmp_path / "run", {}, Display())


def test_a_loss_that_is_no_number_ends_the_search_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    request = tiny(
        epochs=3, values={"optimizer.lr": 1e15, "optimizer.clip": 0}, steps=None, limit=128
    )
    with fails_with("E741", "loss is"):
        run(request, tmp_path / "run")
    assert not (tmp_path / "run" / "genotype.json").exists()
    for row in rows(tmp_path / "run") if (tmp_path / "run" / "metrics.jsonl").exists() else []:
        assert row["train"]["loss"] == row["train"]["loss"]


def test_the_command_searches_shows_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    options = ("--channels", "4", "--layers", "1", "--limit", "64", "--batch", "32")
    done = call("search", "nasbench201", "--epochs", "2", *options, "-o", folder)
    assert done.code == 0, done.err
    assert f"nasir compile '{folder / 'genotype.json'}'" in done.out
    assert "epoch 2/2" in done.err
    again = call("search", "--resume", folder, "--json")
    assert json.loads(again.out)["genotype"] == json.loads((folder / "genotype.json").read_text())
    assert call("replay", folder).out.startswith(f"{folder} repeats to the bit: 2 epochs")
    compiled = call("compile", folder / "genotype.json", "--channels", "4", "--layers", "1",
                    "--no-compile", "-o", tmp_path / "out")  # fmt: skip
    assert compiled.code == 0, compiled.err


def test_methods_are_listed_and_shown() -> None:
    listed = json.loads(call("methods", "--json").out)
    assert [row["name"] for row in listed["methods"]] == list(METHODS)
    one = call("methods", "drnas-progressive").out
    assert "25,10,all,1/6 ; 25,10,4,1/4" in one
    assert "dirichlet" in one


def test_a_file_of_an_experiment_runs_and_options_replace_its_fields(tmp_path: Path) -> None:
    path = ROOT / "tests/data/faults/experiment.yaml"
    done = call("search", path, "--steps", "1", "--set", "logits.lr=0.1",
                "-o", tmp_path / "run")  # fmt: skip
    assert done.code == 0, done.err
    found = Experiment(**cast("Any", read_facts(tmp_path / "run")["experiment"]))
    file = read_experiment(str(path))
    assert file is not None
    assert found == file.having(run={"steps": 1}, values={"logits.lr": 0.1}, data="digits")
    assert "unknown genotype 'nasbench201'" in call("evaluate", path).err
    again = call("search", "--resume", tmp_path / "run", "--steps", "2")
    assert "run.steps was '1' and is '2'" in again.err


class Patient(Search):
    patience: int = 3
    """Epochs without a better loss."""


class PatientExperiment(Experiment):
    search: Patient | None = None  # pyright: ignore[reportIncompatibleVariableOverride] frozen


def test_a_new_option_of_a_search_is_one_field_of_its_model() -> None:
    """Command line, files and run.json follow."""
    given: list[Any] = []

    def command(asked: Annotated[dict[str, Any], Fields(PatientExperiment, ("of",))]) -> None:
        given.append(asked)

    app = typer.Typer()
    app.command()(as_command(command))
    assert "--patience" in CliRunner().invoke(app, ["--help"]).output
    assert CliRunner().invoke(app, ["--patience", "4"]).exit_code == 0
    assert given == [{"search": {"patience": 4}}]
    found = PatientExperiment(of="darts", **given[0])
    assert found.search is not None
    assert found.facts()["search"]["patience"] == 4
    with pytest.raises(NasirError, match="`patience` is 'x'"):
        PatientExperiment(of="darts", search=cast("Any", {"patience": "x"}))
