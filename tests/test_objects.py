"""Searches and evaluations of Python objects: data sets, loaders, losses and metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import nasir
import runners
from nasir import NasirError
from runners.experiment.search import search
from runners.experiment.train import evaluate
from runners.folder.facts import read_facts
from runners.plot import plot_run
from tests.command_line import call
from tests.refusals import fails_with

VALUES = {"train.epochs": 2, "train.batch": 8, "network.channels": 4, "network.layers": 1}
BRIEF = {"like": "nasbench201", "train": {"epochs": 2, "batch": 8, "drop_path": 0, "auxiliary": 0}}


def images(kind: str, count: int = 48) -> TensorDataset:
    """Images whose means are what is learned."""
    x = torch.randn(count, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    means = x.mean((1, 2, 3))
    targets: dict[str, Tensor] = {
        "classes": (means > 0).long(),
        "labels": torch.stack([means > 0, means > 0.05, means < -0.05], 1).float(),
        "regression": means[:, None],
    }
    return TensorDataset(x, targets[kind])


class ExactMatch:
    """A metric with torchmetrics' methods: the share of examples with all labels right."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.right = self.count = 0

    def clone(self) -> "ExactMatch":
        return ExactMatch()

    def to(self, device: Any) -> "ExactMatch":
        return self

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.right += int(((outputs > 0) == (targets > 0.5)).all(1).sum())
        self.count += len(targets)

    def compute(self) -> Tensor:
        return torch.tensor(self.right / max(self.count, 1))


def mean_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """The mean absolute difference."""
    return (outputs - targets).abs().mean()


TASKS = {
    "classes": runners.DataTask(images("classes"), test=images("classes", 16), classes=2),
    "labels": runners.DataTask(
        images("labels"),
        test=images("labels", 16),
        loss=F.binary_cross_entropy_with_logits,
        metric=ExactMatch(),
        classes=3,
    ),
    "regression": runners.DataTask(
        images("regression"),
        test=images("regression", 16),
        loss=F.mse_loss,
        metric=mean_error,
        greater=False,
        classes=1,
    ),
}
METRIC = {"classes": "accuracy", "labels": "exactmatch", "regression": "mean_error"}


@pytest.mark.parametrize("kind", TASKS)
def test_a_task_of_objects_is_searched_evaluated_and_replayed(kind: str, tmp_path: Path) -> None:
    task, name = TASKS[kind], METRIC[kind]
    found = search("nasbench201", tmp_path / "search", method="darts", data=task, values=VALUES)
    assert set(found.row["valid"]) == {"loss", name}
    facts: Any = read_facts(tmp_path / "search")
    assert (facts["metric"], facts["task"]) == (name, "objects")
    assert not runners.replay(tmp_path / "search", data=task).difference
    sizes = {f"network.{each}": VALUES[f"network.{each}"] for each in ("channels", "layers")}
    trained = evaluate(found.genotype, tmp_path / "run", recipe=BRIEF, data=task, values=sizes)
    assert set(trained.summary["test"]) >= {"loss", name}
    assert plot_run(tmp_path / "run", tmp_path / "plots")


def test_a_run_of_objects_resumes_with_them_alone(tmp_path: Path) -> None:
    task, out = TASKS["classes"], tmp_path / "run"
    search("nasbench201", out, data=task, values=VALUES)
    with pytest.raises(NasirError, match="which is not in use") as caught:
        runners.resume(out, {})
    assert "again" in (caught.value.hint or "")
    again = runners.resume(out, {}, data=task)
    assert again.row["epoch"] == 1


def test_a_run_of_objects_is_exported_without_them(tmp_path: Path) -> None:
    genotype = nasir.sample(nasir.load_space("nasbench201"), 0)
    sizes = {"network.channels": 4, "network.layers": 1}
    run = tmp_path / "run"
    evaluate(genotype, run, recipe=BRIEF, data=TASKS["classes"], values=sizes)
    done = call("compile", run, "--no-compile", "--onnx", tmp_path / "net.onnx")
    assert done.code == 0, done.err
    assert (tmp_path / "net.onnx").is_file()
    assert "of the test data" not in done.out
    again = call("evaluate", run, "-o", tmp_path / "again")
    assert "does not name its data" in again.err


def test_an_evaluation_of_a_run_has_its_data(tmp_path: Path) -> None:
    images, run = tmp_path / "images.npz", tmp_path / "run"
    x = np.random.default_rng(0).integers(0, 256, (48, 16, 16), dtype=np.uint8)
    np.savez(images, x_train=x, y_train=np.arange(48) % 3, x_test=x, y_test=np.arange(48) % 3)
    search("nasbench201", run, data=str(images), values=VALUES)
    recipe = tmp_path / "brief.yaml"
    recipe.write_text("nasir: 1\nrecipe: brief\nlike: nasbench201\ntrain: {epochs: 1, batch: 8}\n")
    sizes = ("--channels", "4", "--layers", "1")
    done = call("evaluate", run, "--recipe", recipe, *sizes, "-o", tmp_path / "trained")
    assert done.code == 0, done.err
    facts: Any = read_facts(tmp_path / "trained")
    assert facts["data"]["text"] == str(images)
    assert facts["size"]["classes"] == 3


def test_a_setting_without_its_section_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(NasirError) as caught:
        search("nasbench201", tmp_path / "run", data=TASKS["classes"], values={"epochs": 1})
    assert caught.value.hint == "did you mean train.epochs?"


def test_the_order_of_a_loader_is_said_not_to_repeat(tmp_path: Path) -> None:
    loader = DataLoader(images("classes"), batch_size=8, shuffle=True)
    with pytest.raises(NasirError, match="a loader cannot be split"):
        search("nasbench201", tmp_path / "no", data=runners.DataTask(loader, classes=2))
    task = runners.DataTask(loader, valid=loader, classes=2)
    search("nasbench201", tmp_path / "run", data=task, values=VALUES)
    assert read_facts(tmp_path / "run")["repeats"] is False
    with pytest.raises(NasirError, match="cannot be repeated"):
        runners.replay(tmp_path / "run", data=task)


def test_methods_and_spaces_are_objects_too(tmp_path: Path) -> None:
    method = runners.read_method("drnas", "nasbench201").having(name="mine")
    space = nasir.load_space("nasbench201")
    found = search(space, tmp_path / "a", method=method, data=TASKS["classes"], values=VALUES)
    assert found.genotype.name == "mine_0"
    like = {"like": "darts", "regularise": {"part": "l2", "decay": 0.1}}
    search(space, tmp_path / "b", method=like, data=TASKS["classes"], values=VALUES)
    facts: Any = read_facts(tmp_path / "b")
    assert facts["method"]["regularise_values"]["decay"] == 0.1


def test_another_space_under_a_shipped_name_is_the_one_that_is_searched(tmp_path: Path) -> None:
    text = nasir.load_space("nasbench201").text
    space = nasir.load_space(text.replace("nor_conv_1x1", "nor_conv_7x7"))
    search(space, tmp_path / "run", data=TASKS["classes"], values=VALUES)
    facts: Any = read_facts(tmp_path / "run")
    assert all("nor_conv_7x7" in options for options in facts["choices"].values())


def test_a_task_from_an_extension_is_named_like_data(tmp_path: Path) -> None:
    def noisy(argument: str) -> runners.DataTask:
        return runners.DataTask(images("classes", int(argument)), classes=2)

    with nasir.use(nasir.Extension(name="own", tasks={"noisy": noisy})):
        search("nasbench201", tmp_path / "run", data="noisy:40", values=VALUES)
        facts: Any = read_facts(tmp_path / "run")
        assert facts["data"]["text"] == "noisy:40"


@pytest.mark.parametrize(
    "wrong", [[(torch.zeros(3), 1)] * 16, [(torch.zeros(1, 4, 4), "x")] * 16, []]
)
def test_data_of_other_shapes_is_refused(wrong: Any, tmp_path: Path) -> None:
    with fails_with("E702"):
        search("nasbench201", tmp_path / "run", data=runners.DataTask(wrong), values=VALUES)


def test_results_show_themselves_shortly(tmp_path: Path) -> None:
    found = search("nasbench201", tmp_path / "run", data=TASKS["classes"], values=VALUES)
    assert repr(found).startswith("<Result genotype=darts_0, epochs=2, valid loss=")
    assert "</table><svg" in found._repr_html_()
    shown = runners.Evaluation({"test": {"loss": 1.5}, "params": 3}, tmp_path)
    assert "test loss=1.5" in repr(shown)
    for each in (found, shown):
        assert "\n" not in repr(each)
        assert len(repr(each)) <= 300
