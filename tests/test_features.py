"""Networks of features, weights of other numbers of classes, and modules with named arguments."""

import inspect
import json
import pickle
from pathlib import Path
from random import Random
from typing import Any

import onnx
import pytest
import torch

import lowering
import nasir
from lowering.onnx import to_onnx
from nasir import Graph, NasirError
from tests.command_line import RESNET, ROOT, call
from tests.refusals import fails_with

SMALL: dict[str, Any] = {"channels": 4, "layers": 3, "resolution": 32}


def network(**options: Any) -> Graph:
    return nasir.network("darts_v2", **SMALL | options)


def stages_of(graph: Graph) -> list[tuple[int, int]]:
    return [(each.channels, each.stride) for each in graph.features]


@pytest.mark.parametrize(
    ("skeleton", "options", "expected"),
    [
        ("cifar", SMALL, [(16, 1), (32, 2), (64, 4)]),
        ("nnabla", SMALL, [(16, 1), (32, 2), (64, 4)]),
        ("imagenet", {"channels": 4, "layers": 3}, [(2, 2), (4, 4), (16, 8), (32, 16), (64, 32)]),
    ],
)
def test_features_are_the_last_values_before_the_image_is_halved(
    skeleton: str, options: dict[str, Any], expected: list[tuple[int, int]]
) -> None:
    graph = nasir.network("darts_v2", skeleton, features=True, **options)
    assert stages_of(graph) == expected
    assert [each.name for each in graph.features] == [f"stage{i + 1}" for i in range(len(expected))]
    (side,) = {type_.shape[1] for _, type_ in graph.inputs}
    sides = [graph.types[name].shape[1:] for name in graph.outputs]
    assert sides == [(side // stride, side // stride) for _, stride in expected]


SPACES = {"nasbench201": 32, "nasbench101": 33, "nasbench1shot1_1": 32, "transnasbench101": 64}


@pytest.mark.parametrize("name", [*SPACES, "natsbench_size"])
def test_every_skeleton_of_images_has_features(name: str) -> None:
    space = nasir.load_space(name)
    genotype = nasir.sample(space, Random(1))
    size: dict[str, Any] = {} if name == "natsbench_size" else {"channels": 8, "layers": 3}
    size |= {"resolution": SPACES.get(name, 32)}
    graph, whole = (nasir.network(genotype, features=of, **size) for of in (True, False))
    strides = [stride for _, stride in stages_of(graph)]
    assert strides == ([2, 4, 8, 16, 32] if name == "transnasbench101" else [1, 2, 4])
    results = lowering.to_torch(graph).eval()(
        torch.zeros(1, 3, size["resolution"], size["resolution"])
    )
    assert [x.shape[1] for x in results] == [channels for channels, _ in stages_of(graph)]
    assert {ref.key for ref in whole.params} - {ref.key for ref in graph.params} <= {
        ref.key for ref in whole.params if ref.key.startswith("head")
    }


OWN = {
    "features": ([("c2", 8, 4), ("c3", 16, 8), ("c4", 32, 16)], (1, 3, 96, 96)),
    "decoder": (
        [("fine", 16, 1), ("middle", 32, 2), ("deep", 32, 2), ("coarse", 64, 4)],
        (1, 3, 64, 64),
    ),
    "signals": ([("stage1", 8, 2), ("stage2", 16, 4), ("stage3", 32, 8)], (1, 6, 128)),
}


@pytest.mark.parametrize("name", OWN)
def test_features_of_an_own_skeleton_are_its_stages(name: str, tmp_path: Path) -> None:
    expected, shape = OWN[name]
    genotype = nasir.sample(nasir.load_space(ROOT / "spaces" / "examples" / f"{name}.yaml"), 1)
    graph, whole = (nasir.network(genotype, features=of) for of in (True, False))
    assert [tuple(each) for each in graph.features] == expected
    assert not [key for ref in graph.params if (key := ref.key).startswith(("head", "aux"))]
    module, other = lowering.to_torch(graph).eval(), lowering.to_torch(whole, seed=1).eval()
    path, _ = lowering.to_python(whole, other, tmp_path / "net.py")
    lowering.load_weights(module, path.with_suffix(".safetensors"))
    x = torch.randn(shape)
    loaded: Any = lowering.load_python(path)
    for found, value in zip(loaded.forward_features(x), module(x), strict=True):
        torch.testing.assert_close(found, value)


def test_features_are_values_of_the_network_with_the_same_weights(tmp_path: Path) -> None:
    graph, whole = network(features=True), network()
    module, other = lowering.to_torch(graph).eval(), lowering.to_torch(whole, seed=1).eval()
    keys = [key for key in other.state_dict() if not key.startswith("head/")]
    assert list(module.state_dict()) == keys
    lowering.load_weights(module, lowering.save_weights(other, tmp_path / "w.safetensors"))
    image = torch.randn(2, 3, 32, 32)
    last = module(image)[-1]
    head = other.get_submodule("head/linear")
    expected = last.mean((2, 3)) @ head.weight.T + head.bias
    torch.testing.assert_close(expected, other(image))
    assert module.feature_info == graph.features != ()
    assert other.feature_info == ()


def test_a_text_of_features_parses_into_the_same_graph() -> None:
    graph = network(features=True)
    parsed = nasir.parse_graph(nasir.print_graph(graph))
    assert parsed == graph
    assert parsed.features == graph.features
    lowered, _ = nasir.run_passes(graph, ("expand", "cse"))
    assert lowered.features == graph.features


def test_networks_without_images_or_with_an_auxiliary_head_have_no_features() -> None:
    recurrent = nasir.sample(nasir.load_space("darts_rnn"), Random(0))
    with fails_with("E505", "no stages of images"):
        nasir.network(recurrent, hidden=8, vocabulary=8, features=True)
    with fails_with("E505", "no auxiliary one"):
        network(features=True, auxiliary=True)


def test_features_are_named_in_onnx_files(tmp_path: Path) -> None:
    graph = network(features=True)
    path = to_onnx(graph, lowering.to_torch(graph), tmp_path / "net.onnx")
    assert [value.name for value in onnx.load(path).graph.output] == ["stage1", "stage2", "stage3"]


def test_compile_writes_features_with_the_weights_of_a_training(tmp_path: Path) -> None:
    weights = lowering.save_weights(lowering.to_torch(network()), tmp_path / "w.safetensors")
    size = ("--channels", "4", "--layers", "3")
    files = ("--onnx", tmp_path / "n.onnx", "--python", tmp_path / "n.py", "--export")
    done = call(
        "compile", "darts_v2", *size, "--no-compile", "--features", "--weights", weights,
        *files, tmp_path / "n.pt2", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert json.loads(done.out)["output"] == [1, 16, 32, 32]
    assert call("compile", "darts_v2", *size, "--features", "--ship", tmp_path / "s").code


def test_weights_of_other_classes_are_loaded_without_the_head(tmp_path: Path) -> None:
    saved = lowering.to_torch(network(auxiliary=True), seed=3)
    path = lowering.save_weights(saved, tmp_path / "w.safetensors")
    module = lowering.to_torch(network(classes=3))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    hint = "compile with the genotype"
    with pytest.raises(NasirError) as caught:
        lowering.load_weights(module, path)
    assert caught.value.hint.startswith(hint)
    lowering.load_weights(module, path, head=False)
    for key, value in module.state_dict().items():
        expected = before[key] if key.startswith("head/linear") else saved.state_dict()[key]
        assert torch.equal(value, expected), key


def test_a_head_of_another_shape_is_an_error_that_names_the_option(tmp_path: Path) -> None:
    size = ("--channels", "4", "--layers", "1")
    graph = nasir.network(RESNET, channels=4, layers=1)
    path = lowering.save_weights(lowering.to_torch(graph), tmp_path / "w.safetensors")
    options = ("compile", RESNET, *size, "--classes", "3", "--no-compile", "--weights", path)
    done = call(*options)
    assert done.code
    assert "E503" in done.err
    assert "--without-head" in done.err
    assert "head=False" in done.err
    assert not call(*options, "--without-head").code
    wider = lowering.to_torch(nasir.network(RESNET, channels=8, layers=1))
    with fails_with("E503") as caught:
        lowering.load_weights(wider, path, head=False)
    assert "--without-head" not in caught.value.hint
    assert "needs weights" in call("compile", RESNET, "--without-head").err


def test_an_evaluation_starts_from_weights_of_other_classes(tmp_path: Path) -> None:
    size = ("--channels", "4", "--layers", "1")
    graph = nasir.network(RESNET, channels=4, layers=1, classes=3, resolution=8)
    path = lowering.save_weights(lowering.to_torch(graph, seed=1), tmp_path / "w.safetensors")
    short = ("--recipe", "digits", "--epochs", "1", "--steps", "1", *size)
    options = ("evaluate", RESNET, *short, "--weights", path, "-o", tmp_path / "run")
    failed = call(*options)
    assert "E503" in failed.err
    assert "--without-head" in failed.err
    done = call(*options, "--without-head")
    assert done.code == 0, done.err
    assert "without head" in done.err


def test_the_modules_arguments_are_the_graphs_inputs() -> None:
    module = lowering.to_torch(network()).eval()
    assert [*inspect.signature(module.forward).parameters] == ["image"]
    image = torch.randn(2, 3, 32, 32)
    assert torch.equal(module(image=image), module(image))
    with fails_with("E401", "takes 1 values"):
        module(image, image)
    again = pickle.loads(pickle.dumps(module))
    assert torch.equal(again(image=image), module(image))
    supernet = lowering.to_torch(nasir.supernet("nasbench201", channels=4, layers=1))
    assert [*inspect.signature(supernet.forward).parameters] == ["image", "mixture"]


@pytest.mark.parametrize("features", [False, True])
def test_torch_export_takes_the_module_by_names(tmp_path: Path, features: bool) -> None:
    module = lowering.to_torch(network(features=features)).eval()
    batch = torch.export.Dim("batch")
    image = torch.randn(2, 3, 32, 32)
    program = torch.export.export(module, (image,), dynamic_shapes={"image": {0: batch}})
    assert program.graph_signature.user_inputs == ("image",)
    torch.export.save(program, tmp_path / "net.pt2")
    again: Any = torch.export.load(tmp_path / "net.pt2").module()
    more = torch.randn(5, 3, 32, 32)
    for found, expected in zip(again(more), module(more), strict=True):
        assert torch.equal(found, expected)
    named: Any = torch.export.export(module, (), {"image": image}).module()
    assert torch.equal(named(image=image)[0], module(image)[0])


def test_a_python_file_gives_features_and_takes_other_classes(tmp_path: Path) -> None:
    module = lowering.to_torch(network(auxiliary=True), seed=2).eval()
    lowering.to_python(network(auxiliary=True), module, tmp_path / "net.py")
    loaded: Any = lowering.load_python(tmp_path / "net.py")
    image = torch.randn(2, 3, 32, 32)
    features = lowering.to_torch(network(features=True)).eval()
    lowering.load_weights(features, tmp_path / "net.safetensors")
    for found, expected in zip(loaded.forward_features(image), features(image), strict=True):
        torch.testing.assert_close(found, expected)
    before = loaded.head.linear
    loaded.reset_classifier(3)
    assert loaded(image).shape == (2, 3)
    assert loaded.head.linear is not before
    assert loaded.train()(image)[1].shape == (2, 3)
    again: Any = lowering.load_python(tmp_path / "net.py")
    assert [*inspect.signature(again.forward).parameters] == ["image"]
    batch = {"image": {0: torch.export.Dim("batch")}}
    program: Any = torch.export.export(again, (image,), dynamic_shapes=batch).module()
    assert torch.equal(program(image[:1].repeat(5, 1, 1, 1)), again(image[:1].repeat(5, 1, 1, 1)))
