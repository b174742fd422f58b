"""The figure of the confusion matrix: its shares are those of the counts."""

import json
from pathlib import Path

import numpy as np
import pytest

from runners.plot import read_run
from runners.plot.curves import confusion
from tests.refusals import fails_with
from tests.run_directories import Course, write_run


def written(folder: Path, content: object) -> Path:
    run = write_run(folder, Course("nasbench201", 2))
    (run / "confusion.json").write_text(
        content if isinstance(content, str) else json.dumps(content)
    )
    return run


def test_each_row_shows_shares_of_the_true_class(tmp_path: Path) -> None:
    counts = [[3, 1, 0], [0, 2, 2], [0, 0, 0]]
    facts = {"split": "test", "classes": ["cat", "dog", "owl"], "counts": counts}
    figure = confusion(read_run(written(tmp_path / "run", facts)))
    axes = figure.axes[0]
    shares = np.asarray(axes.images[0].get_array())
    assert shares.tolist() == [[75, 25, 0], [0, 50, 50], [0, 0, 0]]
    assert [text.get_text() for text in axes.texts] == ["75", "25", "50", "50"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog", "owl"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_many_classes_are_drawn_without_numbers(tmp_path: Path) -> None:
    counts = np.eye(120, dtype=int).tolist()
    facts = {"split": "valid", "classes": [str(i) for i in range(120)], "counts": counts}
    axes = confusion(read_run(written(tmp_path / "run", facts))).axes[0]
    assert not axes.texts
    assert len(axes.get_xticklabels()) < 120


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"split": "test", "classes": ["a"], "counts": [[1, 2]]}', '{"classes": []}'],
)
def test_a_damaged_one_is_one_error(content: str, tmp_path: Path) -> None:
    run = written(tmp_path / "run", content)
    with fails_with("E604"):
        confusion(read_run(run))
