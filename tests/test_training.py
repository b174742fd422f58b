"""Training found networks, and what trainings and searches have in common: seeds, kills, errors."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import nasir
from nasir import NasirError
from runners.experiment import search as loop
from runners.experiment import train as training
from runners.experiment.build import build_training
from runners.experiment.experiment import Experiment
from runners.experiment.trained import replay
from runners.folder.checkpoint import last_checkpoint
from runners.folder.display import Display
from tests.command_line import ROOT, call
from tests.processes import fork, needs_fork
from tests.refusals import fails_with
from tests.runs import Telling, apart, left, rows
from tests.searches import changed, tiny
from tests.searches import run as search
from tests.trainings import small, small_text, train

OVERFITS = {"optimizer.lr": 10}
"""The held-out text counts in another step than the training text: its loss rises by a tenth as
the training text is learned, far from where it would hang on rounding."""


def test_a_run_directory_says_all_of_the_training(finished: Path) -> None:
    folder = finished / "evaluate"
    facts = json.loads((folder / "run.json").read_text())
    assert (facts["kind"], facts["genotype"]["name"], facts["seed"]) == ("evaluate", "DARTS_V2", 0)
    assert facts["recipe"]["optimizer"]["lr"] == 0.05
    assert facts["data"]["text"] == "digits"
    first, second = rows(folder)
    assert set(first) == {"epoch", "phase", "lr", "train", "drop_path", "test"}
    assert (first["drop_path"], second["drop_path"]) == (0.0, pytest.approx(0.05))
    assert set(first["test"]) == {"loss", "accuracy"}
    assert [row["steps"] for row in rows(folder, "times.jsonl")] == [2, 2]
    summary = json.loads((folder / "summary.json").read_text())
    graph = nasir.network("darts_v2", channels=4, layers=3, resolution=8)
    assert summary["params"] == nasir.cost(graph).params
    assert summary["latency"]["folded"] > 0
    assert nasir.load_genotype(str(folder / "genotype.json")) == nasir.load_genotype("darts_v2")
    assert list((folder / "events").iterdir())


def test_training_lowers_the_loss_at_the_rates_of_the_schedule(tmp_path: Path) -> None:
    train(small(limit=512, values={"train.epochs": 4}), tmp_path / "run")
    found = rows(tmp_path / "run")
    assert found[-1]["train"]["loss"] < 0.8 * found[0]["train"]["loss"]
    rates = [row["lr"] for row in found]
    assert rates == [pytest.approx(0.025 * (1 + math.cos(math.pi * e / 4))) for e in range(4)]


@pytest.mark.parametrize(
    "values",
    [
        {"train.smoothing": 0.1, "train.drop_path": 0.3, "train.ema": 0.9,
         "optimizer.nesterov": True, "optimizer.clipped": "tensor", "images.flip": True,
         "images.cutout": 4, "images.cutouts": "batch"},
        {"train.validation": 0.25, "train.keep": "best", "train.measure": 2,
         "run.precision": "bf16", "run.layout": "channels_first", "train.tail": "dropped",
         "schedule.by": "batch", "train.batch": 24},
        pytest.param({"run.compile": "on"}, marks=pytest.mark.slow),
    ],
    ids=len,
)  # fmt: skip
def test_every_value_of_a_recipe_trains(values: dict[str, str], tmp_path: Path) -> None:
    done = train(small(values=values), tmp_path / "run")
    assert math.isfinite(done.summary["test"]["loss"])
    assert done.summary["params"] > 0


def test_the_best_epoch_is_what_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    values: dict[str, Any] = {"train.epochs": 4, "train.validation": 0.3, "train.keep": "best"}
    values["optimizer.lr"] = 1.0  # so that the last epoch is not the best
    done = train(small(values=values, seed=1), tmp_path / "run")
    losses = [row["valid"]["loss"] for row in rows(tmp_path / "run")]
    assert done.summary["best_epoch"] == losses.index(min(losses))
    assert done.summary["valid"]["loss"] == pytest.approx(min(losses), rel=1e-6)


def test_a_recurrent_cell_trains_and_is_measured_on_the_test_text_at_the_end(
    tmp_path: Path,
) -> None:
    values = {"train.keep": "last"}
    done = train(small_text(tmp_path / "text", values=values), tmp_path / "run")
    first, second = rows(tmp_path / "run")
    assert set(first) >= {"train", "valid"}
    assert "test" not in first
    assert second["test"]["perplexity"] == pytest.approx(done.summary["test"]["perplexity"])
    assert not (tmp_path / "run" / "confusion.json").exists()


def test_weights_are_averaged_where_validation_stands_still(tmp_path: Path) -> None:
    said: list[str] = []

    class Listening(Display):
        def say(self, text: str) -> None:
            """Keeps it."""
            said.append(text)

    values = {"train.epochs": 8, "optimizer.average_after": 2} | OVERFITS
    request = small_text(tmp_path / "text", values=values)
    training.evaluate(request, tmp_path / "run", Listening())
    assert [text for text in said if "averaged from here on" in text]
    losses = [row["valid"]["loss"] for row in rows(tmp_path / "run")]
    began = next(e for e in range(3, 8) if losses[e] > min(losses[: e - 2]))
    steps = [row["steps"] for row in rows(tmp_path / "run", "times.jsonl")]
    checkpoint = last_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    assert checkpoint.state["hooks"]["average"]["count"] == sum(steps[began + 1 :])


def test_the_auxiliary_head_trains_and_is_no_part_of_the_networks_cost(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    images, labels = source.integers(256, size=(20, 32, 32, 3)), source.integers(10, size=20)
    images = images.astype(np.uint8)
    np.savez(tmp_path / "images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    values = {"train.auxiliary": 0.4, "train.batch": 10, "train.epochs": 1}
    request = small(data=str(tmp_path / "images.npz"), values=values, limit=None)
    done = train(request, tmp_path / "run")
    plain = nasir.cost(nasir.network("darts_v2", channels=4, layers=3))
    assert done.summary["params"] == plain.params
    kept = load_file(tmp_path / "run" / "weights.safetensors")
    assert any(key.startswith("aux/") for key in kept)


WORK: dict[str, Callable[[dict[str, Any], Path], object]] = {
    "search": lambda given, folder: search(changed(tiny(), **given), folder),
    "evaluate": lambda given, folder: train(small(**given), folder),
}


@pytest.mark.parametrize("kind", WORK)
def test_a_seed_repeats_to_the_bit_and_another_does_not(kind: str, tmp_path: Path) -> None:
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        WORK[kind]({"seed": seed}, tmp_path / name)
    a, b, c = (left(tmp_path / name) for name in "abc")
    assert a == b
    assert a["metrics.jsonl"] != c["metrics.jsonl"]


@pytest.mark.parametrize(
    ("kind", "name"), [("search", "metrics.jsonl"), ("evaluate", "weights.safetensors")]
)
def test_replay_says_whether_a_run_repeats(
    kind: str, name: str, finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished / kind, tmp_path / "run")
    assert replay(folder, Display()).difference == ""
    content = (folder / name).read_bytes()
    at = content.index(b'"loss": ') + 8 if kind == "search" else len(content) - 1
    (folder / name).write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    assert replay(folder, Display()).difference.startswith(name)


def killed(kind: str, folder: Path) -> Experiment:
    """A run of four epochs, which is killed: a search by a method, or a training on this data."""
    values: dict[str, Any] = {"train.epochs": 4, "train.ema": 0.8}
    if kind == "text":
        values |= {"optimizer.average_after": 1} | OVERFITS
        return small_text(folder / "text", values=values)
    if kind == "images":
        return small(values=values | {"train.validation": 0.2, "train.keep": "best"})
    return tiny(method=kind, epochs=4)


@needs_fork
@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("text", 1),
        ("drnas-progressive", 1),
        *(
            pytest.param(kind, 5, marks=pytest.mark.slow)
            for kind in ("text", "images", "darts", "drnas-progressive", "darts-pt")
        ),
    ],
)
def test_a_run_that_is_killed_goes_on_as_if_nothing_had_happened(
    kind: str, kills: int, tmp_path: Path
) -> None:
    experiment, whole = killed(kind, tmp_path), tmp_path / "whole"
    of = loop if experiment.search else training
    work = loop.search if experiment.search else training.evaluate
    apart(lambda say: work(experiment, whole, Display()))
    lines = len(rows(whole)) + sum(row["steps"] for row in rows(whole, "times.jsonl"))
    moments = torch.randint(1, lines, (kills,), generator=torch.Generator().manual_seed(len(kind)))
    for number, moment in enumerate(int(x) for x in moments):
        folder = tmp_path / f"killed{number}"
        child = fork(lambda say, to=folder: (work(experiment, to, Telling(say)), None)[1])
        for _ in range(moment):
            child.line()
        child.kill()
        apart(lambda say, to=folder: of.resume(to, {}, Display()))
        assert left(folder) == left(whole), f"killed after {moment} of {lines} lines"


def test_a_training_begins_with_the_weights_of_a_search(tmp_path: Path) -> None:
    found = tmp_path / "found"
    search(tiny(method="random-ws"), found)
    request = small(str(found), sizes={}, inherit=str(found), values={"optimizer.lr": 0})
    done = train(request, tmp_path / "run")
    assert done.summary["size"]["channels"] == 4
    kept = load_file(tmp_path / "run" / "weights.safetensors")
    name = max((found / "checkpoints").iterdir())
    searched = torch.load(name, weights_only=True)["state"]["weights"]
    convolutions = [key for key in kept if key.endswith("conv.weight") and key in searched]
    assert convolutions
    for key in convolutions:
        assert torch.equal(kept[key], searched[key]), key


def test_a_training_begins_with_the_weights_of_a_file(tmp_path: Path, finished: Path) -> None:
    folder = finished / "evaluate"
    train(small(weights=str(folder), values={"optimizer.lr": 0}), tmp_path / "two")
    one, two = (load_file(each / "weights.safetensors") for each in (folder, tmp_path / "two"))
    learnt = [key for key in one if "running" not in key]
    assert all(torch.equal(one[key], two[key]) for key in learnt)


def test_weights_of_a_search_on_part_of_the_channels_do_not_fit(tmp_path: Path) -> None:
    search(tiny(method="random-ws", channels_fraction="1/2"), tmp_path / "found")
    request = small(str(tmp_path / "found"), sizes={}, inherit=str(tmp_path / "found"))
    with fails_with("E503", "in the search, and"):
        train(request, tmp_path / "run")
    assert not (tmp_path / "run").exists()


SEARCHES: list[tuple[dict[str, Any], str, str]] = [
    ({"method": "dart"}, "E201", "unknown method"),
    ({"parts": {"perturb": "noize"}}, "E201", "unknown part"),
    ({"parts": {"mixture": "dirichlet", "perturb": "pgd"}}, "E505", "softmax"),
    ({"channels_fraction": "2/3"}, "E505", "1/K"),
    ({"channels_fraction": "a"}, "E505", "is not a fraction"),
    ({"channels_fraction": "1/3"}, "E302", "cannot be divided by 3"),
    ({"epochs": 0}, "E107", "`epochs` is 0, and .* from 1 to 100,000"),
    ({"batch": 0}, "E107", "`batch` is 0"),
    ({"split": 1.5}, "E107", "`split` is 1.5"),
    ({"drop_path": -0.1}, "E107", "`drop_path` is -0.1"),
    ({"method": "darts-pt", "epochs": 1}, "E505", "1 epochs are too few for the search and 6"),
    ({"method": "darts-pt", "epochs": 6, "interval": 1}, "E505", "6 epochs are too few"),
    ({"values": {"rte": 1.0}}, "E505", "no setting of a search"),
    ({"values": {"optimizer.lr": -1.0}}, "E107", "`lr` is -1"),
    ({"sizes": {"hidden": 4}}, "E505", "no size 'hidden'"),
    ({"sizes": {"in_channels": 1}}, "E505", "the data has 3 in_channels, not 1"),
    ({"of": "nasbench101"}, "E505", "no supernet"),
    ({"of": "nasbench1shot1_1", "drop_path": 0.2}, "E505", "no path"),
    ({"data": "cifar11:x"}, "E701", "unknown data"),
    ({"device": "cuda:7"}, "E502", "GPU"),
    ({"precision": "int4"}, "E502", "precision"),
]
TRAININGS: list[tuple[dict[str, Any], str, str]] = [
    ({"recipe": "cifar9"}, "E201", "unknown recipe"),
    ({"values": {"lr": 1}}, "E109", "no setting of a recipe"),
    ({"values": {"optimizer.lrr": 1}}, "E109", "no field 'lrr'"),
    ({"values": {"optimizer.lr": "fast"}}, "E109", "is .*must be a"),
    ({"values": {"optimizer.lr": -1}}, "E107", "from 0 to"),
    ({"values": {"optimizer.lr": "nan"}}, "E109", "from 0 to"),
    ({"values": {"train.epochs": 1.5}}, "E109", "is .*must be a"),
    ({"values": {"train.drop_path": 1}}, "E107", "below 1"),
    ({"values": {"schedule.name": "cosinus"}}, "E109", "one of"),
    ({"values": {"train.keep": "best"}}, "E505", "requires validation data"),
    ({"recipe": "cifar10"}, "E505", "does not name its data"),
    ({"values": {"images.area": 0.3}}, "E505", "for images that stay in files"),
    ({"sizes": {"classes": 3}}, "E505", "has 10 classes"),
    ({"sizes": {"hidden": 4}}, "E505", "no size 'hidden'"),
    ({"sizes": {"in_channels": 1}}, "E505", "the data has 3 in_channels, not 1"),
    ({"values": {"run.precision": "int4"}}, "E502", "precision"),
    ({"values": {"train.tail": "dropped", "train.batch": 65}}, "E702", "no batch"),
    ({"device": "cuda:7"}, "E502", "GPU"),
    ({"of": "darts_v9"}, "E201", "darts_v9"),
    ({"weights": "nowhere.safetensors"}, "E101", "does not exist"),
]


@pytest.mark.parametrize(
    ("kind", "changes", "code", "message"),
    [*(("search", *row) for row in SEARCHES), *(("evaluate", *row) for row in TRAININGS)],
)
def test_what_cannot_be_is_said_before_anything_is_written(
    kind: str, changes: dict[str, Any], code: str, message: str, tmp_path: Path
) -> None:
    with fails_with(code, message):
        WORK[kind](changes, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_cells_without_edges_that_could_be_dropped_say_how_they_train(tmp_path: Path) -> None:
    genotype = nasir.dump_genotype(nasir.sample(nasir.load_space("nasbench1shot1_1"), 1))
    request = small(genotype, sizes={"channels": 8, "layers": 2})
    with pytest.raises(NasirError, match="no path") as caught:
        train(request, tmp_path / "run")
    assert (caught.value.code, caught.value.hint) == ("E505", "--set train.drop_path=0")
    request = changed(request, values={"train.drop_path": 0})
    assert train(request, tmp_path / "run").summary["params"] > 0


def test_the_space_s_own_size_comes_before_the_recipe_s_and_after_what_is_asked_for() -> None:
    space = str(ROOT / "spaces" / "examples" / "three_kinds.yaml")
    genotype = nasir.dump_genotype(nasir.sample(nasir.load_space(space), 0))
    request = Experiment(of=genotype, recipe="digits", space=space)
    asked = [
        request,
        changed(request, values={"network.layers": 12}),
        changed(request, sizes={"layers": 15}),
        Experiment(of="darts_v2", recipe="digits"),
    ]
    assert [build_training(each).graph.about["layers"] for each in asked] == ["9", "12", "15", "5"]


def test_text_is_not_accumulated(tmp_path: Path) -> None:
    request = small_text(tmp_path / "text", values={"train.accumulate": 2})
    with fails_with("E505", "not accumulated"):
        train(request, tmp_path / "run")


@pytest.mark.parametrize(
    ("work", "hint"),
    [
        (lambda folder: train(small(), folder), "train.batch=16 should fit"),
        (lambda folder: search(tiny(), folder), "--batch 16 should fit"),
    ],
    ids=["training", "search"],
)
def test_too_little_memory_is_an_error_with_a_batch_that_fits(
    work: Callable[[Path], object], hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 TB")

    monkeypatch.setattr("runners.experiment.learner.Learner.learn", full)
    monkeypatch.setattr("runners.experiment.learner.free_bytes", lambda device: 40_000_000)
    with fails_with("E744", "not enough for batches of 32") as caught:
        work(tmp_path / "run")
    assert hint in caught.value.hint


def test_the_command_trains_shows_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    options = ("--channels", "4", "--layers", "3", "--limit", "64", "--batch", "32")
    done = call(
        "evaluate", "darts_v2", "--recipe", "digits", "--epochs", "2", *options, "-o", folder
    )
    assert done.code == 0, done.err
    assert "test accuracy" in done.out
    assert "multiply-adds" in done.out
    assert f"next: nasir plot '{folder}'; nasir compile '{folder}' --onnx" in done.out
    assert "epoch 2/2" in done.err
    again = call("evaluate", "--resume", folder, "--json")
    assert json.loads(again.out)["params"] > 0
    assert call("replay", folder).out.startswith(f"{folder} repeats to the bit: 2 epochs")
    plotted = call("plot", folder)
    assert (folder / "plots" / "confusion.png").is_file(), plotted.err
    assert (folder / "plots" / "curves.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("search",), "SPACE is missing"),
        (("search", "darts", "--memory", "some"), "--memory is 'some'"),
        (("search", "darts", "--set", "rate"), "is not NAME=VALUE"),
        (("search", "darts", "--resume", ".", "-o", "y"), "contradict"),
        (("search", "--resume", "nowhere"), "no such run"),
        (("replay", "nowhere"), "no such run"),
        (("methods", "dart"), "did you mean 'darts'"),
        (("evaluate",), "GENOTYPE is missing"),
        (("evaluate", "darts_v2", "--set", "rate"), "is not NAME=VALUE"),
        (("evaluate", "darts_v2", "--resume", "."), "takes neither"),
        (("evaluate", "--resume", "nowhere"), "no such run"),
        (("recipes", "cifar"), "did you mean 'cifar10'"),
    ],
)
def test_wrong_calls_are_one_error(arguments: tuple[str, ...], message: str) -> None:
    done = call(*arguments)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize("command", ["search", "evaluate"])
def test_an_unfinished_run_has_no_genotype_to_take(command: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(f'{{"kind": "{command}"}}')
    with fails_with("E721", "no genotype yet") as caught:
        train(changed(small(), of=str(tmp_path)), tmp_path / "out")
    assert caught.value.hint == f"nasir {command} --resume {tmp_path}"
