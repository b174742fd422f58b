"""`nasir plot`: look-ups in a benchmark, the files that it writes, and errors."""

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import nasir
from nasir import NasirError
from runners.benchmarks import import_benchmark
from runners.plot import PLOTS, NothingToDrawError, plot_run, read_run
from runners.plot import cells as cell_figures
from runners.plot import write as plot_files
from runners.plot.truth import draw_genotypes, look_up, truth
from tests.command_line import ROOT, call
from tests.run_directories import Course, append, write_facts, write_run

NB201 = Course("nasbench201", 6, stages=(3,), prune=True)
KEYS = (
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|skip_connect~2|",
)


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A benchmark whose accuracies tell the cell by its place among all 15,625."""
    path = tmp_path_factory.mktemp("benchmark") / "all.csv.gz"
    space = nasir.load_space("nasbench201")
    with gzip.open(path, "wt") as stream:
        stream.write("index,arch,cifar10_test_200,cifar100_test_200,cifar10_test_12\n")
        for index, genotype in enumerate(nasir.enumerate_genotypes(space)):
            key = nasir.dump_genotype(genotype, "nasbench201")
            stream.write(f"{index},{key},{index / 200},{index / 400},1.5\n")
    return path


def accuracy(genotype: nasir.Genotype) -> float:
    """What the benchmark says of a genotype on cifar10."""
    return nasir.rank(nasir.load_space("nasbench201"), genotype) / 200


# truth


def test_the_truth_is_the_benchmarks_of_every_epochs_genotype(
    tmp_path: Path, benchmark: Path
) -> None:
    run = read_run(write_run(tmp_path / "run", Course("nasbench201", 3)))
    found = look_up(run, benchmark)
    assert (found.best.dataset, found.best.epochs, found.best.accuracy) == (
        "cifar10",
        200,
        15624 / 200,
    )
    assert found.chosen == {epoch: accuracy(each) for epoch, each in run.genotypes.items()}
    for row in run.architecture:
        values = sorted(accuracy(each) for each in draw_genotypes(run, row, 100))
        least, lower, median, upper, most = found.bands[row.epoch]
        assert (least, most) == (values[0], values[-1])
        assert median == pytest.approx((values[49] + values[50]) / 2)
        assert lower <= median <= upper
    [axes] = truth(replace(run, benchmark=benchmark)).axes
    errors = {str(line.get_label()): np.asarray(line.get_ydata()) for line in axes.lines}
    shown = {label: [100 - float(error) for error in row] for label, row in errors.items()}
    assert shown["genotype of the epoch"] == pytest.approx(list(found.chosen.values()))
    assert shown["their median"] == pytest.approx([band[2] for band in found.bands.values()])
    assert {axes.yaxis.get_major_formatter()(error) for error in (3.0, 0.5)} == {"97", "99.5"}
    import_benchmark(benchmark, tmp_path / "all.bench")
    assert look_up(run, tmp_path / "all.bench") == found


def test_the_truth_is_of_the_runs_data_where_the_benchmark_has_it(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("nasbench201", 1, data="cifar100:/some/where"))
    keys = [nasir.dump_genotype(each, "nasbench201") for each in read_run(run).genotypes.values()]
    csv = tmp_path / "some.csv"
    csv.write_text(f"index,arch,cifar10_test_200,cifar100_test_200\n0,{keys[0]},90,70\n")
    found = look_up(read_run(run), csv)
    assert (found.best.dataset, found.chosen, found.best.accuracy) == ("cifar100", {0: 70.0}, 70.0)


def test_a_benchmark_of_another_space_leaves_the_truth_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("darts", 1))
    csv = tmp_path / "some.csv"
    csv.write_text(f"index,arch,cifar10_test_200\n0,{KEYS[0]},10\n")
    with pytest.raises(NothingToDrawError, match="not of NAS-Bench-201"):
        look_up(read_run(run), csv)


def test_a_benchmark_without_the_runs_cells_leaves_the_truth_out(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", NB201)
    csv = tmp_path / "some.csv"
    csv.write_text(f"index,arch,cifar10_test_200\n0,{KEYS[1]},90\n")
    with pytest.raises(NothingToDrawError, match="no result for"):
        look_up(read_run(run), csv)


# files


def test_all_figures_are_written_as_png_and_svg_and_the_cells_as_gif(
    tmp_path: Path, benchmark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plot_files, "DENSITY", 40)
    monkeypatch.setattr(cell_figures, "DENSITY", 40)
    run = write_run(tmp_path / "run", replace(NB201, epochs=2, eigenvalues=True))
    done = call("plot", run, "-o", tmp_path / "out", "--benchmark", benchmark)
    files = [Path(line) for line in done.out.splitlines()]
    searched = [name for name in PLOTS if name not in ("confusion", "queries")]  # of other runs
    names = [f"{name}.{kind}" for name in searched for kind in ("png", "svg")]
    assert sorted(file.name for file in files) == sorted([*names, "cells.gif"])
    assert done.code == 0
    for file in files:
        if file.suffix == ".svg":
            assert ET.parse(file).getroot().tag == "{http://www.w3.org/2000/svg}svg"
        else:
            with Image.open(file) as image:
                image.load()
                assert image.format == file.suffix[1:].upper()


def test_only_the_named_figures_are_written_beside_the_run_and_always_the_same(
    tmp_path: Path,
) -> None:
    run = write_run(tmp_path / "run", NB201)
    first = [file.read_bytes() for file in plot_run(run, only=("skips",)).files]
    again = plot_run(run, only=("skips",))
    assert [file.read_bytes() for file in again.files] == first
    assert again.files == (run / "plots" / "skips.png", run / "plots" / "skips.svg")
    assert again.left_out == {}


def test_an_epoch_that_was_run_again_counts_once_and_a_cut_line_does_not(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("nasbench201", 3))
    (run / "genotype.json").unlink()
    append(run / "times.jsonl", {"epoch": 2, "seconds": 1.0, "steps": 10})
    append(run / "metrics.jsonl", {"epoch": 2, "train": {"loss": 0.5}})
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 3, "tra')
    found = read_run(run)
    assert [row.epoch for row in found.metrics] == [0, 1, 2]
    assert found.metrics[2].score("train", "loss") == 0.5
    assert cell_figures.cells(found).heading == "Genotype of epoch 2"


def test_the_command_imports_matplotlib_only_when_it_draws() -> None:
    script = "import runners.cli.runs, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


# errors


def test_an_empty_run_has_nothing_to_draw(tmp_path: Path) -> None:
    write_facts(tmp_path, "darts")
    done = call("plot", tmp_path, "--json")
    error = json.loads(done.err.splitlines()[-1])["error"]
    assert (done.code, error["code"]) == (2, "E721")
    assert "curves: metrics.jsonl has no rows" in error["hint"]
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize(
    ("file", "text", "line", "says"),
    [
        ("metrics.jsonl", '{"epoch": 0}\n{"epo\n{"epoch": 2}\n', 2, "row is damaged"),
        ("metrics.jsonl", '{"epoch": -1}\n', 1, "'epoch'"),
        ("metrics.jsonl", '[1]\n', 1, "row is damaged"),
        ("metrics.jsonl", '{"epoch": 0, "train": {"loss": "x"}}\n', 1, "'train.loss'"),
        ("architecture.jsonl", '{"epoch": 0, "weights": {"b": [1]}}\n', 0, "1 weights for 2"),
        ("run.json", "{", 1, "run.json is damaged"),
        ("run.json", '{"seed": "x"}', 0, "'kind'"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_named_with_its_line(
    file: str, text: str, line: int, says: str, tmp_path: Path
) -> None:
    write_facts(tmp_path, "darts", choices={"b": ["x", "y"]})
    (tmp_path / file).write_text(text)
    with pytest.raises(NasirError, match="E604") as caught:
        read_run(tmp_path)
    assert says in str(caught.value)
    assert (caught.value.where.file, caught.value.where.line) == (str(tmp_path / file), line)


def test_an_unknown_figure_is_named_with_the_nearest(tmp_path: Path) -> None:
    done = call("plot", tmp_path, "--only", "curve")
    assert (done.code, "E505" in done.err, "did you mean 'curves'?" in done.err) == (2, True, True)


def test_figures_show_any_name_as_text(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("nasbench201", 2))
    facts = json.loads((run / "run.json").read_text())
    names = ["$\\frac$", "_hidden", "\x1b[31m\n\u202e", "x" * 3_000, "{}"]
    facts["choices"] = dict.fromkeys(facts["choices"], names)
    facts["method"]["name"] = "$\\frac$ \n"
    (run / "run.json").write_text(json.dumps(facts))
    done = plot_run(run, only=("curves", "entropy", "trajectory"))
    assert len(done.files) == 6
    drawn = (run / "plots" / "trajectory.svg").read_text(encoding="utf-8")
    assert "\\frac" in drawn
    assert "_hidden" in drawn
    assert drawn.replace("\n", "").isprintable()
