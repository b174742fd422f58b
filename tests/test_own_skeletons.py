"""Skeletons that a space defines itself: built, lowered, searched, written down, and refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import TensorDataset

import lowering
import nasir
import runners
from nasir import NasirError
from nasir.space.cells import add_cell, cells_of
from nasir.space.layout import Size
from nasir.space.load import space_schema
from nasir.space.skeletons import Skeleton
from runners.experiment.search import search
from runners.experiment.train import evaluate
from runners.folder.facts import read_facts
from tests.command_line import ROOT, call

EXAMPLES = ROOT / "spaces" / "examples"
NAMES = ("decoder", "signals", "features")
SMALL: dict[str, Any] = {
    "nasir": 1,
    "space": "small",
    "skeleton": {
        "stem": [{"op": "conv_bn", "out": "C", "kernel": 3}],
        "stages": [
            {"cell": "cell", "count": "N", "width": "C"},
            {"name": "half", "cell": "cell", "count": 2, "width": "2 * C", "stride": 2},
        ],
        "head": [{"op": "classifier", "name": "logits", "classes": "classes"}],
        "auxiliary": {"after": "half", "steps": [{"op": "classifier", "classes": "classes"}]},
    },
    "cells": {
        "cell": {
            "inputs": 1,
            "nodes": 2,
            "ops": ["skip_connect", "nor_conv_3x3"],
            "keep": 1,
            "output": [2],
        }
    },
    "size": {"channels": 4, "layers": 1, "classes": 3, "resolution": 9},
}


def having(*path: str | int, value: Any) -> str:
    """The small space as text, with another value there."""
    data: Any = json.loads(json.dumps(SMALL))
    inner = data
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(data, indent=2)


def drawn(name: str) -> nasir.Genotype:
    return nasir.sample(EXAMPLES / f"{name}.yaml", 3)


@pytest.mark.parametrize("name", NAMES)
def test_an_onnx_file_has_the_space_of_its_network(name: str, tmp_path: Path) -> None:
    genotype = drawn(name)
    graph = nasir.network(genotype, channels=4)
    onnx = lowering.to_onnx(graph, lowering.to_torch(graph), tmp_path / "net.onnx")
    again = nasir.load_genotype(str(onnx))
    assert (again, again.definition) == (genotype, genotype.definition)
    assert nasir.network(again) == nasir.network(genotype)


@pytest.mark.parametrize("name", NAMES)
def test_costs_without_networks_are_those_of_networks(name: str) -> None:
    genotype = drawn(name)
    cost = nasir.cost(nasir.network(genotype))
    (found,) = nasir.costs(EXAMPLES / f"{name}.yaml", [genotype])
    assert found == (cost.params, cost.macs, cost.activations)


def test_the_parts_stand_where_the_file_puts_them() -> None:
    graph = nasir.network(nasir.sample(json.dumps(SMALL), 0), layers=2, auxiliary=True)
    assert [cell.name for cell in graph.cells] == ["c00", "c01", "c02", "c03"]
    assert graph.outputs == ("head.logits",)
    assert graph.auxiliary == ("aux.classifier",)
    assert graph.about["skeleton"] == "own"


def test_a_decoder_labels_each_pixel_of_images_of_any_shape() -> None:
    graph = nasir.network(drawn("decoder"), resolution=97, columns=33, auxiliary=True)
    assert str(graph.types[graph.outputs[0]]) == "image[5,97,33]"
    assert str(graph.types[graph.auxiliary[0]]) == "image[5,97,33]"


@pytest.mark.parametrize("skeleton", ["cifar", "nnabla", "imagenet_search", "nasbench201"])
def test_published_skeletons_take_images_of_97_pixels(skeleton: str) -> None:
    space = "nasbench201" if skeleton == "nasbench201" else "darts"
    graph = nasir.network(nasir.sample(space, 1), skeleton, channels=4, resolution=97)
    nasir.run_passes(graph, nasir.passes.DISCRETE)
    nasir.supernet(space, skeleton, channels=4, resolution=97)


def test_a_stage_leaves_the_width_alone_or_changes_it() -> None:
    graph = nasir.supernet(having("skeleton", "stages", 1, value={"name": "half", "cell": "cell"}))
    assert not [node.name for node in graph if "/pre" in node.name]
    graph = nasir.supernet(json.dumps(SMALL))
    assert [node.name for node in graph if "/pre" in node.name] == ["c01/pre0"]


FAULTS: dict[str, tuple[tuple[str | int, ...], Any, str, str]] = {
    "an unknown op": (("stem", 0, "op"), "convv", "E201", '"op": "convv"'),
    "an unknown cell": (("stages", 0, "cell"), "cel", "E202", '"cell": "cel"'),
    "an unknown value": (("auxiliary", "after"), "hal", "E202", '"after": "hal"'),
    "an unknown output": (("outputs",), ["nothing"], "E202", '"nothing"'),
    "a name twice": (("stages", 1, "name"), "stage1", "E109", '"name": "stage1"'),
    "no value": (("stages", 0, "width"), "D", "E306", '"width": "D"'),
    "a stride": (("stages", 0, "stride"), 3, "E302", '"stride": 3'),
    "a count": (("stages", 0, "count"), "0 - N", "E302", '"count": "0 - N"'),
    "an attribute": (("head", 0, "clases"), 3, "E306", '"clases": 3'),
    "a type": (("head", 0), {"op": "linear", "out": 3}, "E305", "{"),
    "a field": (("stages", 0, "wdth"), 3, "E109", '"wdth": 3'),
    "an empty stage": (("stages", 0), {}, "E109", "{}"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_has_its_place_in_the_file(name: str) -> None:
    path, value, code, text = FAULTS[name]
    with pytest.raises(NasirError) as caught:
        nasir.load_space(having("skeleton", *path, value=value))
    assert (caught.value.code, text in caught.value.where.text) == (code, True), caught.value


def test_a_cell_that_stands_nowhere_is_a_fault() -> None:
    cell = SMALL["cells"]["cell"]
    with pytest.raises(NasirError, match="puts the cell 'other' nowhere"):
        nasir.load_space(having("cells", "other", value=cell))
    inner = cell | {"ops": ["other", "skip_connect"]}
    nasir.load_space(having("cells", value={"other": cell, "cell": inner}))


def test_sizes_that_a_file_leaves_open_are_decided() -> None:
    space = nasir.load_space(having("size", "channels", value=[4, 8]))
    assert {dict(nasir.sample(space, seed).size)["channels"] for seed in range(9)} == {4, 8}
    assert nasir.supernet(space).types["stem.conv_bn"].shape[0] == 8
    assert nasir.count_classes(space) <= space.total


def test_the_schema_and_the_catalogue_know_them(tmp_path: Path) -> None:
    assert "OwnSkeletonModel" in space_schema()["$defs"]
    shown = call("spaces", EXAMPLES / "decoder.yaml")
    assert (shown.code, "skeleton own" in shown.out) == (0, True)
    (tmp_path / "g.json").write_text(nasir.dump_genotype(drawn("signals")))
    cost = call("cost", tmp_path / "g.json")
    assert "signals of 128 points, 6 channels each" in cost.out


def ladder(b: nasir.Builder, design: Any, size: Size) -> tuple[str, None]:
    """Cells one behind the other, and the mean of what each of them emits."""
    x = b("conv_bn", "image", name="stem", out=size.channels, kernel=3)
    values: list[str] = []
    for layer in range(size.layers):
        x = add_cell(b, f"c{layer:02d}", "cell", cells_of(design), [x], 1)
        values.append(x)
    joined = b("mean", *values, name="joined") if len(values) > 1 else x
    return b("classifier", joined, name="head", classes=size.classes), None


def test_a_function_of_a_builder_is_a_skeleton() -> None:
    row = Skeleton("ladder", "the mean of all cells", Size(8, 3, 10, 32), ladder)
    with nasir.use(nasir.Extension(name="ladder", skeletons=[row])):
        graph = nasir.network(nasir.sample("nasbench201", 0), "ladder", layers=4)
        assert len(graph["joined"].inputs) == 4
        assert len(nasir.supernet("nasbench201", "ladder").cells) == 3


def examples(name: str, count: int) -> TensorDataset:
    """Images with masks of their bright pixels, or windows of waves of one of two lengths."""
    random = torch.Generator().manual_seed(0)
    if name == "decoder":
        x = torch.randn(count, 1, 13, 21, generator=random)
        return TensorDataset(x, (F.avg_pool2d(x, 3, 1, 1)[:, 0] > 0).long())
    if name == "signals":
        kind = torch.arange(count) % 2
        wave = torch.arange(40.0) / (1 + 2 * kind[:, None])
        noise = torch.randn(count, 3, 40, generator=random)
        return TensorDataset(torch.sin(wave)[:, None] + 0.1 * noise, kind)
    x = torch.randn(count, 3, 32, 24, generator=random)
    return TensorDataset(x, F.avg_pool2d(x, 4).mean(1))


def boxes_and_scores(outputs: Any, target: Tensor) -> Tensor:
    """The errors of scores and boxes at the finest level."""
    scores, boxes, *coarser = outputs
    assert len(coarser) == 2
    return F.mse_loss(scores[:, 0], target) + boxes.square().mean()


def negative_error(outputs: Any, target: Tensor) -> float:
    return -float(boxes_and_scores(outputs, target))


METRICS = {"decoder": "accuracy", "signals": "accuracy", "features": "negative_error"}


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_searched_and_trained(name: str, tmp_path: Path) -> None:
    several: dict[str, Any] = (
        {"loss": boxes_and_scores, "metric": negative_error} if name == "features" else {}
    )
    task = runners.DataTask(
        examples(name, 32), test=examples(name, 16), classes=None if several else 2, **several
    )
    values = {"train.epochs": 1, "train.batch": 8, "network.channels": 4}
    space = EXAMPLES / f"{name}.yaml"
    found = search(str(space), tmp_path / "search", method="darts", data=task, values=values)
    assert set(found.row["valid"]) == {"loss", METRICS[name]}
    auxiliary = 0.4 if name == "decoder" else 0.0
    recipe: dict[str, Any] = {
        "like": "nasbench201",
        "train": {"epochs": 12, "batch": 8, "drop_path": 0, "auxiliary": auxiliary},
        "optimizer": {"lr": 0.1},
    }
    trained: Any = evaluate(found.genotype, tmp_path / "run", recipe=recipe, data=task)
    assert trained.summary["size"]["skeleton"] == "own"
    facts: Any = read_facts(tmp_path / "run")
    assert facts["size"]["in_channels"] == task.train[0][0].shape[0]
    if not several:
        assert trained.summary["test"]["accuracy"] > 75


def test_images_do_not_fit_a_network_of_signals(tmp_path: Path) -> None:
    task = runners.DataTask(examples("decoder", 160), classes=2)
    with pytest.raises(NasirError, match="the network reads signal"):
        search(str(EXAMPLES / "signals.yaml"), tmp_path / "run", method="darts", data=task)
