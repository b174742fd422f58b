"""Recipes: their constants, their files, their schedules."""

from pathlib import Path

import pytest

from nasir import NasirError
from runners.experiment.recipe import Recipe, read_recipe, recipe_names, recipe_of, with_values
from runners.experiment.schedule import training_epochs
from tests.command_line import call

# recipe: epochs, batch, lr, weight decay, clip, channels, layers, drop path, auxiliary, cutout
CONSTANTS = {
    "cifar10": (600, 96, 0.025, 3e-4, 5, 36, 20, 0.2, 0.4, 16),
    "cifar10-pc-darts": (600, 96, 0.025, 3e-4, 5, 36, 20, 0.3, 0.4, 16),
    "cifar10-drnas": (600, 64, 0.025, 3e-4, 5, 36, 20, 0.3, 0.4, 16),
    "cifar10-robustdarts": (600, 96, 0.025, 3e-4, 5, 16, 8, 0.2, 0.4, 16),
    "cifar100": (600, 96, 0.025, 3e-4, 5, 36, 20, 0.2, 0.4, 16),
    "cifar100-pc-darts": (600, 96, 0.025, 3e-4, 5, 36, 20, 0.3, 0.4, 16),
    "cifar100-drnas": (600, 64, 0.025, 3e-4, 5, 36, 20, 0.3, 0.4, 16),
    "cifar100-darts-pt": (600, 96, 0.025, 3e-4, 5, 16, 8, 0.2, 0.4, 16),
    "cifar100-robustdarts": (600, 96, 0.025, 3e-4, 5, 16, 8, 0.2, 0.4, 16),
    "svhn": (600, 96, 0.025, 3e-4, 5, 36, 20, 0.2, 0.4, 16),
    "svhn-darts-pt": (600, 96, 0.025, 3e-4, 5, 16, 8, 0.2, 0.4, 16),
    "svhn-robustdarts": (600, 96, 0.025, 3e-4, 5, 16, 8, 0.2, 0.4, 16),
    "imagenet": (250, 128, 0.1, 3e-5, 5, 48, 14, 0, 0.4, 0),
    "imagenet-pc-darts": (250, 1024, 0.5, 3e-5, 5, 48, 14, 0, 0.4, 0),
    "imagenet-drnas": (250, 768, 0.5, 3e-5, 5, 48, 14, 0, 0.4, 0),
    "imagenet-sdarts": (250, 1024, 0.5, 3e-5, 5, 48, 14, 0, 0.4, 0),
    "nasbench201": (200, 256, 0.1, 5e-4, 0, 16, 5, 0, 0, 0),
    "nasbench201-12": (12, 256, 0.1, 5e-4, 0, 16, 5, 0, 0, 0),
    "nasbench201-imagenet16": (200, 256, 0.1, 5e-4, 0, 16, 5, 0, 0, 0),
    "nnabla": (600, 96, 0.025, 3e-4, 5, 36, 20, 0.2, 0.4, 16),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_recipe_has_the_published_constants(name: str) -> None:
    found = read_recipe(name)
    train, optimizer, network = found.train, found.optimizer, found.network
    assert CONSTANTS[name] == (
        train.epochs,
        train.batch,
        optimizer.lr,
        optimizer.weight_decay,
        optimizer.clip,
        network.channels,
        network.layers,
        train.drop_path,
        train.auxiliary,
        found.pictures.cutout,
    )
    assert optimizer.momentum == 0.9
    assert optimizer.nesterov == name.startswith("nasbench201")
    assert train.smoothing == (0.1 if name.startswith("imagenet") else 0.0)


@pytest.mark.parametrize(
    ("name", "hidden", "decay", "state"), [("ptb", 850, 8e-7, 0.25), ("wikitext2", 700, 5e-7, 0.15)]
)
def test_a_language_recipe_has_the_published_constants(
    name: str, hidden: int, decay: float, state: float
) -> None:
    found = read_recipe(name)
    assert (found.network.hidden, found.optimizer.weight_decay) == (hidden, decay)
    assert (found.optimizer.lr, found.optimizer.clip, found.optimizer.momentum) == (20, 0.25, 0)
    assert (found.optimizer.average_after, found.train.batch, found.train.epochs) == (5, 64, 8000)
    assert (found.train.slowness, found.train.activation) == (1e-3, 0.0)
    text = found.text
    assert (text.bptt, text.columns, text.test_columns) == (35, 10, 1)
    assert (text.output, text.state, text.input) == (0.75, state, 0.75)
    assert (text.embedded, text.words) == (0.2, 0.1)


def test_every_recipe_is_tested_or_is_nasirs_own() -> None:
    assert set(recipe_names()) == {*CONSTANTS, "ptb", "wikitext2", "digits", "cifar10-short"}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_plain_data_and_back(name: str) -> None:
    found = read_recipe(name)
    assert recipe_of(found.facts()) == found


def test_a_linear_rate_warms_up_falls_and_falls_again_in_the_tail() -> None:
    found = read_recipe("imagenet-pc-darts")
    epochs = training_epochs(found, seed=0)
    at = {epoch: epochs[epoch].rate for epoch in (0, 4, 5, 244, 245, 249)}
    assert at == {
        0: pytest.approx(0.1),
        4: pytest.approx(0.5),
        5: pytest.approx(0.5 * 240 / 245),
        244: pytest.approx(0.5 / 245),
        245: pytest.approx(0.5 * 5 / (245 * 5)),
        249: pytest.approx(0.5 / (245 * 5)),
    }


def test_an_exponential_rate_falls_by_three_percent_an_epoch() -> None:
    found = read_recipe("imagenet")
    assert training_epochs(found, seed=0)[0].rate == pytest.approx(0.1)
    assert training_epochs(found, seed=0)[2].rate == pytest.approx(0.1 * 0.97**2)


def test_a_cosine_by_batches_falls_within_an_epoch() -> None:
    found = read_recipe("nnabla")
    first = training_epochs(found, seed=0)[0]
    assert first.rate_at(0.0) == pytest.approx(0.025)
    assert first.rate_at(0.9) < first.rate_at(0.1)
    assert training_epochs(read_recipe("cifar10"), seed=0)[0].rate_at(0.9) == pytest.approx(0.025)


def test_a_file_says_what_is_different(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "nasir: 1\nlike: cifar10-drnas\ntrain: {epochs: 7, keep: best, validation: 0.1}\n"
        "optimizer: {nesterov: true}\n"
    )
    found = read_recipe(str(path))
    assert (found.name, found.train.epochs, found.train.batch) == ("mine", 7, 64)
    assert (found.optimizer.nesterov, found.optimizer.lr) == (True, 0.025)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("nasir: 1\ntrain: {epoch: 7}\n", "E109", "unknown field 'epoch'"),
        ("nasir: 1\ntrain: {epochs: many}\n", "E109", "whole number"),
        ("nasir: 1\ntrain: {epochs: 0}\n", "E107", "from 1 to 100,000"),
        ("nasir: 1\noptimizer: {nesterov: 1}\n", "E109", "true or false"),
        ("nasir: 1\nschedule: {name: step}\n", "E109", "one of"),
        ("nasir: 1\nlike: cifar\n", "E751", "unknown recipe"),
        ("train: {epochs: 7}\n", "E109", "no field 'nasir'"),
        ("nasir: 2\n", "E110", "version 2"),
        ("nasir: 1\nsteps: 4\n", "E109", "unknown field 'steps'"),
    ],
)
def test_a_wrong_file_is_one_error_with_its_place(
    text: str, code: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(NasirError, match=message) as caught:
        read_recipe(str(path))
    assert caught.value.code == code
    assert str(path) in str(caught.value.where)


def test_values_take_fractions_words_and_switches() -> None:
    found = with_values(
        Recipe("x"),
        {"optimizer.lr": "1/8", "optimizer.nesterov": "on", "train.keep": "best"},
    )
    assert (found.optimizer.lr, found.optimizer.nesterov) == (0.125, True)
    assert found.train.keep == "best"


def test_recipes_are_listed_and_shown() -> None:
    listed = call("recipes").out
    assert all(name in listed for name in recipe_names())
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
    with pytest.raises(NasirError) as caught:
        read_recipe("r0.yaml")
    assert caught.value.code == "E106"
