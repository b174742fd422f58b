"""Sweeps: files, commands, kills, Ray; comparisons of runs against numbers worked out by hand."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import pytest

import nasir
from nasir import NasirError
from runners.output import TextTable
from runners.sweeps.results import FEW, NOISE, compare_runs, difference_of, html, latex, markdown
from runners.sweeps.running import sweep
from runners.sweeps.trials import read_sweep
from tests.command_line import call
from tests.processes import (
    Say,
    end_on_ray_despite_a_kill,
    fork,
    needs_fork,
    needs_ray,
    wait_for_checkpoint,
)
from tests.refusals import fails_with
from tests.searches import run, tiny

TINY = """
nasir: 1
of: nasbench201
data: digits
limit: 64
steps: 2
values: {train: {epochs: 2, batch: 32}, network: {channels: 4, layers: 1}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def names(folder: Path, text: str) -> list[str]:
    found = read_sweep(written(folder, text), folder / "out")
    return [trial.name for trial in found.trials]


def test_a_list_and_a_range_stand_for_each_of_their_values(tmp_path: Path) -> None:
    text = f"{TINY}method: [darts, drnas]\nseed: 0..2\n"
    found = read_sweep(written(tmp_path, text), tmp_path)
    assert [trial.name for trial in found.trials] == [
        *("darts-0", "darts-1", "darts-2"),
        *("drnas-0", "drnas-1", "drnas-2"),
    ]
    last = found.trials[-1].experiment
    assert (last.searching.method, last.seed, last.run.limit) == ("drnas", 2, 64)
    assert last.values["train.epochs"] == 2


def test_include_adds_trials_and_exclude_leaves_some_out(tmp_path: Path) -> None:
    text = f"{TINY}method: [darts, drnas]\nseed: 0..1\n"
    text += "include: [{method: gdas, seed: 7}, {method: darts}]\n"
    text += "exclude: [{method: drnas, seed: [1, 5]}]\n"
    assert names(tmp_path, text) == ["darts-0", "darts-1", "drnas-0", "gdas-7"]


def test_null_is_the_default(tmp_path: Path) -> None:
    text = f"{TINY}method: darts\nsearch: {{}}\ninclude: [{{method: gdas, limit: null}}]\n"
    found = read_sweep(written(tmp_path, text), tmp_path).trials
    assert [trial.experiment.run.limit for trial in found] == [64, None]


def test_trials_are_named_after_all_that_differs(tmp_path: Path) -> None:
    text = f"{TINY}method: darts\noptimizer.lr: [0.1, 0.2]\n"
    assert names(tmp_path, text) == ["optimizer.lr=0.1", "optimizer.lr=0.2"]
    text = f"{TINY}method: darts\ninclude: [{{steps: null}}]\n"
    first, second = names(tmp_path, text)
    assert "steps=2" in first
    assert "steps" not in second


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("metod: darts", "E109", "method"),
        ("seed: [0, -1]", "E107", "seed"),
        ("seed: 0..99999", "E106", "100,000 trials"),
        ("exclude: [{method: darts}]", "E109", "no trials"),
        ("include: {method: darts}", "E109", "list"),
        ("resources: {cpus: -1}", "E107", "cpus"),
    ],
)
def test_a_wrong_sweep_is_an_error_with_its_place(
    tmp_path: Path, line: str, code: str, says: str
) -> None:
    path = written(tmp_path, f"{TINY}{'' if 'metod' in line else 'method: darts'}\n{line}\n")
    with fails_with(code, says) as caught:
        read_sweep(path, tmp_path)
    assert caught.value.where.file == str(path)
    assert not caught.value.where.text or caught.value.where.line > 1


def test_the_printed_commands_are_the_trials(tmp_path: Path) -> None:
    """A run of the command is the trial's, and the sweep does not run it again."""
    text = f"{TINY}method: [darts, random]\nshuffled: true\n"
    text += "exclude: [{method: random}]\n"
    path, out = written(tmp_path, text), tmp_path / "a folder"
    shown = call("sweep", path, "-o", out, "--dry-run")
    assert shown.code == 0
    assert not out.exists()
    (line,) = shown.out.splitlines()
    command = shlex.split(line)
    assert command[:3] == ["nasir", "search", "nasbench201"]
    assert call(*command[1:]).code == 0
    (trial,) = read_sweep(path, out).trials
    facts = json.loads((trial.folder / "run.json").read_text())
    assert facts["experiment"] == trial.experiment.facts()
    before = (trial.folder / "genotype.json").stat().st_mtime_ns
    assert call("sweep", path, "-o", out).code == 0
    assert (trial.folder / "genotype.json").stat().st_mtime_ns == before
    assert call("sweep", path, "-o", out, "--dry-run").out == ""


def test_a_sweep_of_evaluations_compares_test_metrics(tmp_path: Path) -> None:
    genotype = tmp_path / "cell.json"
    genotype.write_text(nasir.dump_genotype(nasir.sample("nasbench201", 0)), encoding="utf-8")
    text = TINY.replace("of: nasbench201", f"of: {genotype}\nrecipe: digits\nseed: 0..1")
    path, out = written(tmp_path, text), tmp_path / "out"
    done = call("sweep", path, "-o", out, "--json")
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)["groups"]
    values = [json.loads((out / f"{n}/summary.json").read_text())["test"]["accuracy"] for n in "01"]
    assert row["mean"] == pytest.approx(fmean(values))
    assert json.loads((out / "table.json").read_text())["measure"] == "test accuracy"


def test_a_failed_trial_does_not_end_the_sweep(tmp_path: Path) -> None:
    text = f"{TINY}method: [darts, gdas]\ninclude: [{{method: darts, stop: none, mixture: nope}}]\n"
    path, out = written(tmp_path, text), tmp_path / "out"
    done = call("sweep", path, "-o", out, "--json")
    assert done.code == 1
    assert "nope" in done.err
    facts = json.loads(done.out)
    assert len(facts["failed"]) == 1
    assert [row["name"] for row in facts["groups"]] == ["darts", "gdas"]


def test_results_of_another_sweep_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sweep(written(tmp_path, "nasir: 1\nof: nasbench201\nmethod: random\n"), out) == {}
    with fails_with("E726", "the sweep had other settings"):
        sweep(written(tmp_path, "nasir: 1\nof: darts\nmethod: random\n"), out)


@needs_fork
@pytest.mark.usefixtures("one_thread")
def test_a_killed_sweep_goes_on_where_it_was(tmp_path: Path) -> None:
    """Finished trials stay, the one under way resumes, and the results are those of no kill."""
    text = f"{TINY}method: darts\nseed: 0..1\n".replace("epochs: 2", "epochs: 20")
    path, whole, out = written(tmp_path, text), tmp_path / "whole", tmp_path / "out"
    assert sweep(path, whole) == {}

    def work(say: Say) -> None:
        say("started")
        sweep(path, out)

    child = fork(work)
    assert child.line() == "started"
    wait_for_checkpoint(out / "1")
    child.kill()
    assert not (out / "1/genotype.json").exists()
    before = (out / "0/run.json").stat().st_mtime_ns, (out / "1/run.json").stat().st_mtime_ns
    assert sweep(path, out) == {}
    after = (out / "0/run.json").stat().st_mtime_ns, (out / "1/run.json").stat().st_mtime_ns
    assert after == before  # none was started anew
    for name in ("metrics.jsonl", "genotype.json"):
        for seed in "01":
            assert (out / seed / name).read_text() == (whole / seed / name).read_text()


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("killed", ["driver", "worker"])
def test_a_sweep_on_ray_survives_kills(tmp_path: Path, killed: str) -> None:
    text = f"{TINY}method: darts\nseed: 0..1\n".replace("epochs: 2", "epochs: 60")
    path, whole, out = written(tmp_path, text), tmp_path / "whole", tmp_path / "out"
    assert sweep(path, whole) == {}
    command = ("sweep", path, "-o", out, "--ray", "local")
    end_on_ray_despite_a_kill(killed, command, command, out / "0", "genotype.json")
    for name in ("metrics.jsonl", "genotype.json"):
        for seed in "01":
            assert (out / seed / name).read_text() == (whole / seed / name).read_text()


def test_ray_that_is_missing_is_an_error_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = written(tmp_path, "nasir: 1\nof: nasbench201\nmethod: random\n")
    with pytest.raises(NasirError, match="ray is not installed") as caught:
        sweep(path, tmp_path / "out", "local")
    assert (caught.value.code, caught.value.hint) == ("E501", "pip install 'nasir[cluster]'")


def finished(folder: Path, method: str, seed: int, values: Sequence[float]) -> Path:
    """A search that ended with these held-out accuracies, one for each epoch."""
    run(tiny(method="random", seed=seed), folder)
    facts = json.loads((folder / "run.json").read_text())
    facts["method"]["name"] = facts["experiment"]["search"]["method"] = method
    (folder / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    rows = [{"epoch": at, "valid": {"accuracy": value}} for at, value in enumerate(values)]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "metrics.jsonl").write_text(lines, encoding="utf-8")
    return folder


def several(folder: Path, method: str, values: Sequence[float]) -> list[Path]:
    return [
        finished(folder / f"{method}-{seed}", method, seed, (10.0, value))
        for seed, value in enumerate(values)
    ]


def test_statistics_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    runs = several(tmp_path, "random", (50.0, 52.0, 54.0))
    runs += several(tmp_path, "drnas", (60.0, 62.0, 64.0)) + several(
        tmp_path, "darts", (49.0, 54.0)
    )
    runs += several(tmp_path, "gdas", (90.0,))
    found = {group.name: group for group in compare_runs(runs).groups}
    random, drnas, darts, gdas = (found[name] for name in ("random", "drnas", "darts", "gdas"))
    assert (random.mean, random.deviation, random.best, random.worst) == (52.0, 2.0, 54.0, 50.0)
    assert (random.runs, random.difference, random.note) == (3, None, "")
    assert drnas.difference is not None
    assert drnas.difference.value == 10.0
    assert 6.0 <= drnas.difference.low < 10.0 < drnas.difference.high <= 14.0
    assert (drnas.note, darts.note, gdas.note) == ("", NOISE, FEW)
    assert gdas.deviation is None
    genotypes = [nasir.load_genotype(tmp_path / f"darts-{seed}/genotype.json") for seed in (0, 1)]
    costs = [nasir.cost(nasir.network(genotype)) for genotype in genotypes]
    assert darts.params == fmean(cost.params for cost in costs)
    assert darts.macs == fmean(cost.macs for cost in costs)


def test_an_interval_of_the_difference_covers_it_as_often_as_it_says() -> None:
    """Twenty runs of each, from normal distributions one apart."""
    import numpy as np

    random = np.random.default_rng(1)
    covered = 0
    for _ in range(60):
        found = difference_of(list(random.normal(1, 1, 20)), list(random.normal(0, 1, 20)))
        covered += found.low <= 1.0 <= found.high
    assert 50 <= covered <= 60


def test_runs_with_other_settings_are_other_groups(tmp_path: Path) -> None:
    runs = several(tmp_path, "drnas", (60.0, 61.0, 62.0))
    facts = json.loads((runs[2] / "run.json").read_text())
    facts["experiment"]["values"]["optimizer.lr"] = 0.5
    (runs[2] / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    found = compare_runs(runs).groups
    assert [(group.name, group.runs) for group in found] == [
        ("drnas", 2),
        ("drnas, optimizer.lr=0.5", 1),
    ]


def test_the_measure_of_a_table_is_the_cells_accuracy_beside_the_published(tmp_path: Path) -> None:
    runs = several(tmp_path, "drnas", (60.0, 61.0))
    texts = [
        nasir.dump_genotype(nasir.load_genotype(each / "genotype.json"), "nasbench201")
        for each in runs
    ]
    table = tmp_path / "table.csv"
    rows = [f"{i},{text},{91.0 + 2 * i}" for i, text in enumerate(texts)]
    table.write_text("\n".join(["index,arch,cifar10_test_200", *rows]) + "\n", encoding="utf-8")
    found = compare_runs(runs, table)
    (group,) = found.groups
    assert (found.measure, group.mean) == ("test accuracy (table)", 92.0)
    assert group.published == "94.36 ± 0.00"


def test_unfinished_runs_are_named_and_none_finished_is_an_error(tmp_path: Path) -> None:
    runs = several(tmp_path, "drnas", (60.0, 61.0))
    (runs[1] / "genotype.json").unlink()
    assert compare_runs(runs).unfinished == (str(runs[1]),)
    with pytest.raises(NasirError, match="none of 1 runs has ended"):
        compare_runs(runs[1:])


def test_the_command_compares_and_writes_every_file(tmp_path: Path) -> None:
    runs = several(tmp_path, "random", (50.0, 52.0)) + several(tmp_path, "drnas", (60.0, 61.0))
    out = tmp_path / "out"
    done = call("compare", *runs, "-o", out)
    assert done.code == 0
    assert "+9.50" in done.out
    assert sorted(path.name for path in out.iterdir()) == [
        *("curves.png", "curves.svg"),
        *(f"table.{kind}" for kind in ("csv", "html", "json", "md", "tex")),
    ]
    assert "drnas,2,60.5," in (out / "table.csv").read_text()


def test_names_are_quoted_in_every_format() -> None:
    table = TextTable("<b>", ("", "x_1"), (("a|b & <i> $5% {c}\\", 1),))
    assert "a\\|b" in markdown(table)
    assert "<i>" not in html(table)
    assert "&lt;b&gt;" in html(table)
    assert r"a|b \& <i> \$5\% \{c\}\textbackslash{}" in latex(table)
    assert r"x\_1" in latex(table)
