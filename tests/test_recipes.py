"""Recipes: their constants, their files, their schedules."""

from pathlib import Path

import pytest

from nasir import NasirError
from runners.experiment.fields import with_values
from runners.experiment.learner import training_epochs
from runners.experiment.recipe import RECIPES, Recipe, read_recipe
from tests.command_line import call
from tests.refusals import fails_with


def test_a_linear_rate_warms_up_falls_and_falls_again_in_the_tail() -> None:
    found = read_recipe("imagenet-pc-darts")
    epochs = training_epochs(found, seed=0)
    at = {epoch: epochs[epoch].lr for epoch in (0, 4, 5, 244, 245, 249)}
    assert at == {
        0: pytest.approx(0.1),
        4: pytest.approx(0.5),
        5: pytest.approx(0.5 * 240 / 245),
        244: pytest.approx(0.5 / 245),
        245: pytest.approx(0.5 * 5 / (245 * 5)),
        249: pytest.approx(0.5 / (245 * 5)),
    }


def test_a_cosine_by_batches_falls_within_an_epoch() -> None:
    found = read_recipe("nnabla")
    first = training_epochs(found, seed=0)[0]
    assert first.lr_at(0.0) == pytest.approx(0.025)
    assert first.lr_at(0.9) < first.lr_at(0.1)
    assert training_epochs(read_recipe("cifar10"), seed=0)[0].lr_at(0.9) == pytest.approx(0.025)


def test_a_file_says_what_is_different(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "nasir: 1\nlike: cifar10-drnas\ntrain: {epochs: 7, keep: best, validation: 0.1}\n"
        "optimizer: {nesterov: true}\n"
    )
    found = read_recipe(str(path))
    assert (found.name, found.train.epochs, found.train.batch) == ("mine", 7, 64)
    assert (found.optimizer.nesterov, found.optimizer.lr) == (True, 0.025)


def test_values_take_fractions_words_and_switches() -> None:
    found = with_values(
        Recipe(),
        {"optimizer.lr": "1/8", "optimizer.nesterov": "on", "run.compile": "on"},
    )
    assert (found.optimizer.lr, found.optimizer.nesterov) == (0.125, True)
    assert found.run.compile == "on"


def test_recipes_are_listed_and_shown() -> None:
    listed = call("recipes").out
    assert all(name in listed for name in RECIPES)
    assert "optimizer.weight_decay" in call("recipes", "ptb").out
    assert '"epochs": 200' in call("recipes", "nasbench201", "--json").out


def test_recipes_in_a_circle_are_called_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, like in (("a", "b"), ("b", "a"), ("c", "c")):
        Path(f"{name}.yaml").write_text(f"nasir: 1\nlike: {like}.yaml\n")
    for name, circle in (("a", "a.yaml to b.yaml to a.yaml"), ("c", "c.yaml to c.yaml")):
        with pytest.raises(NasirError, match=circle) as caught:
            read_recipe(f"{name}.yaml")
        assert (caught.value.code, caught.value.where.line) == ("E109", 2)
    for number in range(20):
        Path(f"r{number}.yaml").write_text(f"nasir: 1\nlike: r{number + 1}.yaml\n")
    with fails_with("E106"):
        read_recipe("r0.yaml")
