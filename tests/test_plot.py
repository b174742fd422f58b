"""The figures of `nasir plot`: the numbers in them are those of the run."""

import io
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from runners.plot import PLOTS, read_run
from runners.plot.cells import animation, cells
from runners.plot.curves import (
    THRESHOLD,
    curves,
    eigenvalue,
    entropy,
    trajectory,
)
from tests.command_line import call
from tests.run_directories import Course, append, write_facts, write_run

NB201 = Course("nasbench201", 6, stages=(3,), prune=True)
DARTS = Course("darts", 4, projection=2, eigenvalues=True)
RECURRENT = Course("darts_rnn", 3, metric="perplexity", data="wikitext-2")
ONE_SHOT = Course("nasbench1shot1_1", 3)


def rows(path: Path, name: str) -> list[dict[str, Any]]:
    """The rows of a file of a run as they stand in it."""
    return [json.loads(line) for line in (path / name).read_text().splitlines()]


def drawn(axes: Axes, label: str) -> list[list[float]]:
    """The x and y of the line with that label."""
    [line] = [line for line in axes.lines if line.get_label() == label]
    return [list(np.asarray(line.get_xdata())), list(np.asarray(line.get_ydata()))]


def texts(figure: Figure) -> Iterator[str]:
    """What stands in the figure's legends."""
    for legend in figure.legends:
        yield from (text.get_text() for text in legend.get_texts())


# curves


@pytest.mark.parametrize("course", [NB201, RECURRENT], ids=["accuracy", "perplexity"])
def test_the_curves_are_the_rows_losses_scores_and_rates(course: Course, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", course)
    loss, score, rate = curves(read_run(run)).axes
    kept = rows(run, "metrics.jsonl")
    epochs = [row["epoch"] for row in kept]
    for split in ("train", "valid"):
        for axes, name in ((loss, "loss"), (score, course.metric)):
            assert drawn(axes, split) == [epochs, [row[split][name] for row in kept]]
    assert list(np.asarray(rate.lines[0].get_ydata())) == [row["lr"] for row in kept]
    assert course.metric in score.get_ylabel()


def test_an_evaluation_has_test_curves_and_no_decisions(tmp_path: Path) -> None:
    write_facts(tmp_path, "darts")
    for epoch in range(3):
        scores = {"loss": 1.0 / (epoch + 1), "accuracy": 60.0 + epoch}
        append(tmp_path / "metrics.jsonl", {"epoch": epoch, "train": scores, "test": scores})
    done = json.loads(call("plot", tmp_path, "--json").out)
    assert [Path(file).name for file in done["files"]] == ["curves.png", "curves.svg"]
    assert [each["figure"] for each in done["left_out"]] == list(PLOTS)[1:]
    assert all(each["reason"] for each in done["left_out"])
    figure = curves(read_run(tmp_path))
    assert drawn(figure.axes[1], "test") == [[0, 1, 2], [60.0, 61.0, 62.0]]
    assert list(texts(figure)) == ["train", "test"]


def test_losses_over_decades_have_plain_numbers_on_their_axis(tmp_path: Path) -> None:
    write_facts(tmp_path, "darts")
    for epoch in range(3):
        append(tmp_path / "metrics.jsonl", {"epoch": epoch, "train": {"loss": 2.0 / 10**epoch}})
    axes = curves(read_run(tmp_path)).axes[0]
    assert axes.get_yscale() == "log"
    labels = [label.get_text() for label in axes.get_yticklabels(which="both")]
    assert {"0.1", "1"} <= set(labels)
    assert not [label for label in labels if label.strip("0123456789.")]


def test_a_stage_is_a_line_and_a_projection_a_shade(tmp_path: Path) -> None:
    staged = curves(read_run(write_run(tmp_path / "a", NB201)))
    marks = [
        line for line in staged.axes[0].lines if list(np.asarray(line.get_xdata())) == [2.5] * 2
    ]
    assert len(marks) == 1
    assert {text.get_text() for text in staged.axes[0].texts} == {"stage 0", "stage 1"}
    projected = curves(read_run(write_run(tmp_path / "b", DARTS)))
    assert {text.get_text() for text in projected.axes[0].texts} == {"projection"}
    [shade] = projected.axes[0].patches
    assert shade.get_extents().transformed(projected.axes[0].transData.inverted()).x0 == 1.5


# eigenvalue


def test_the_eigenvalue_has_its_windowed_mean_and_the_rules_threshold(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", replace(DARTS, epochs=20))
    upper, lower = eigenvalue(read_run(run)).axes
    kept = [row for row in rows(run, "metrics.jsonl") if "eigenvalue" in row]
    measured = [row["eigenvalue"] for row in kept]
    assert drawn(upper, "measured") == [[row["epoch"] for row in kept], measured]
    _, means = drawn(upper, "mean of the last 5 measurements")
    assert means[-1] == pytest.approx(sum(measured[-5:]) / 5)
    growth = list(np.asarray(lower.lines[0].get_ydata()))
    assert growth[-1] == pytest.approx(sum(measured[-5:]) / sum(measured[-9:-4]))
    assert list(np.asarray(lower.lines[1].get_ydata())) == [THRESHOLD] * 2 == [1.3, 1.3]


# decisions


def test_every_entropy_is_a_line_and_the_mean_is_their_mean(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", DARTS)
    normal, reduce = entropy(read_run(run)).axes
    kept = [row["entropy"] for row in rows(run, "metrics.jsonl")]
    for axes, kind in ((normal, "normal"), (reduce, "reduce")):
        names = [name for name in kept[0] if name.startswith(kind)]
        lines = [list(np.asarray(line.get_ydata())) for line in axes.lines]
        assert lines[:14] == [[row[name] for row in kept] for name in names]
        assert lines[14] == pytest.approx(np.mean(lines[:14], axis=0))
        assert lines[15] == [math.log(8)] * 2


def test_every_decision_has_a_panel_with_its_options_weights(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Course("nasbench201", 4))
    figure = trajectory(read_run(run))
    kept = [row["weights"] for row in rows(run, "architecture.jsonl")]
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "0 → 1", "0 → 2", "1 → 2", "0 → 3", "1 → 3", "2 → 3",
    ]  # fmt: skip
    for axes, name in zip(figure.axes, kept[0], strict=True):
        lines = [list(np.asarray(line.get_ydata())) for line in axes.lines]
        assert lines == [list(each) for each in zip(*(row[name] for row in kept), strict=True)]
    assert sorted(texts(figure)) == sorted(
        json.loads((run / "run.json").read_text())["choices"]["cell/n1.e0"]
    )


def test_the_line_of_a_pruned_option_ends(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", NB201)
    axes = trajectory(read_run(run)).axes[0]
    last = rows(run, "architecture.jsonl")[-1]["weights"]["cell/n1.e0"]
    ends = [
        np.asarray(line.get_ydata())[-1] for line in axes.lines if np.size(line.get_xdata()) == 6
    ]
    assert [math.isnan(end) for end in ends] == [weight == 0 for weight in last]
    dots = [line.get_markevery() for line in axes.lines if line.get_marker() == "o"]
    assert dots == [[2], [2]]


@pytest.mark.parametrize(
    ("course", "panels", "some"),
    [(DARTS, 28, "reduce 4 → 5"), (RECURRENT, 36, "7 → 8"), (ONE_SHOT, 7, "node 3 reads")],
    ids=["darts", "rnn", "1shot1"],
)
def test_panels_do_not_share_a_place(
    course: Course, panels: int, some: str, tmp_path: Path
) -> None:
    axes = trajectory(read_run(write_run(tmp_path / "run", course))).axes
    places = {str(each.get_subplotspec()) for each in axes}
    assert len(places) == len(axes) == panels
    assert some in {each.get_title(loc="left") for each in axes}


def test_the_weights_of_edges_stand_beside_their_nodes(tmp_path: Path) -> None:
    choices = {"cell/n2.e0": ["a", "b"], "cell/n2.e1": ["a", "b"], "cell/n2": ["0", "1"]}
    write_facts(tmp_path, "darts", choices=choices)
    weights = {name: [0.25, 0.75] for name in choices}
    append(tmp_path / "architecture.jsonl", {"epoch": 0, "weights": weights})
    figure = trajectory(read_run(tmp_path))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["0 → 2", "1 → 2", "node 2 reads"]
    assert list(texts(figure)) == ["a", "b", "reads 0", "reads 1"]


# cells


@pytest.mark.parametrize("course", [NB201, RECURRENT, ONE_SHOT, DARTS], ids=lambda c: c.space)
def test_the_final_cells_show_every_op_of_the_genotype(course: Course, tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", course))
    tree = ET.fromstring(cells(run).svg)
    shown = [element.text for element in tree.iter() if element.tag.endswith("}text")]
    assert run.final is not None
    for cell in run.final.cells:
        for op in cell.named_ops:
            shown.remove(op)
    assert "Final genotype" in shown


def test_the_colours_of_an_animation_do_not_flicker(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run", NB201))
    grounds: list[set[tuple[int, ...]]] = []
    with Image.open(io.BytesIO(animation(run))) as image:
        for frame in range(6):
            image.seek(frame)
            pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
            colours, counts = np.unique(pixels, axis=0, return_counts=True)
            grounds.append({tuple(map(int, each)) for each in colours[np.argsort(counts)[-4:]]})
    assert all((255, 255, 255) in each and len(each & grounds[0]) >= 3 for each in grounds)
