"""ONNX files: functions and calls, names, shapes, metadata, determinism, and what is refused."""

import re
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import nasir
from lowering.onnx import IR_VERSION, OPSET, RULES, compare, encode, to_onnx
from lowering.onnx.export import check_model
from lowering.torch import to_torch
from nasir import Builder, Graph, ImageType, NasirError
from nasir.ops import PRIMITIVES
from nasir.passes import DISCRETE, run_passes
from tests.command_line import RESNET, call
from tests.refusals import fails_with


def darts(layers: int = 6, *, auxiliary: bool = False) -> Graph:
    size = 32 if auxiliary else 16
    return nasir.network(
        "darts_v2", "cifar", channels=4, layers=layers, resolution=size, auxiliary=auxiliary
    )


def model_of(graph: Graph, *, inline: bool = False) -> onnx.ModelProto:
    return onnx.load_model_from_string(encode(graph, to_torch(graph).state_dict(), inline=inline))


def facts(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def shapes(model: onnx.ModelProto) -> dict[str, tuple[str | int, ...]]:
    """The dimensions of every value of the main graph that has a type."""
    values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    return {
        value.name: tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in values
    }


def test_every_primitive_but_fused_ones_has_a_rule() -> None:
    assert set(RULES) == {op.name for op in PRIMITIVES.values() if "fused" not in op.traits}


def test_each_kind_of_cell_is_one_function_called_once_for_each_cell() -> None:
    model = model_of(darts(layers=6))
    assert [(f.domain, f.name) for f in model.functions] == [
        ("nasir", "normal"),
        ("nasir", "reduce"),
    ]
    calls = Counter(node.op_type for node in model.graph.node if node.domain == "nasir")
    assert calls == {"normal": 4, "reduce": 2}


def test_widths_are_attributes_of_the_function_and_given_at_each_call() -> None:
    model = model_of(darts())
    (normal,) = (function for function in model.functions if function.name == "normal")
    groups = {
        attribute.ref_attr_name or attribute.i
        for node in normal.node
        for attribute in node.attribute
        if attribute.name == "group"
    }
    assert list(normal.attribute) == ["width"]
    assert groups == {"width", 1}
    given = [node.attribute[0].i for node in model.graph.node if node.op_type == "normal"]
    assert given == [4, 4, 8, 16]


def test_an_inlined_model_has_no_functions_and_the_graphs_own_names() -> None:
    graph = darts()
    model = model_of(graph, inline=True)
    assert not model.functions
    assert [entry.domain for entry in model.opset_import] == [""]
    names = [node.output[0] for node in model.graph.node if node.op_type != "Constant"]
    lowered, _ = run_passes(graph, DISCRETE)
    assert names == [*(node.name for node in lowered.nodes[:-1]), "logits"]


def test_a_node_that_is_called_like_an_output_gets_another_name() -> None:
    b = Builder(image=ImageType(3, 4, 4))
    x = b("relu", "image", name="logits")
    model = model_of(b.graph(b("tanh", x, name="tanh")))
    assert [node.output[0] for node in model.graph.node] == ["logits_2", "logits"]


def test_outputs_that_are_inputs_or_occur_twice_are_copied() -> None:
    b = Builder(image=ImageType(3, 4, 4))
    x = b("relu", "image", name="relu")
    model = model_of(b.graph(x, x, "image"))
    assert [value.name for value in model.graph.output] == ["logits", "logits_2", "logits_3"]


def test_initializers_are_the_modules_weights_under_their_keys() -> None:
    graph = darts()
    module = to_torch(graph)
    state = module.state_dict()
    model = onnx.load_model_from_string(encode(graph, state))
    arrays = {entry.name: onnx.numpy_helper.to_array(entry) for entry in model.graph.initializer}
    lowered, _ = run_passes(graph, DISCRETE)
    assert list(arrays) == [ref.key for ref in lowered.params]
    assert all(np.array_equal(array, state[key].numpy()) for key, array in arrays.items())


def test_shape_inference_goes_through_the_functions() -> None:
    model = model_of(darts())
    expected = shapes(model)
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert shapes(inferred) == expected


def test_the_file_tells_genotype_space_skeleton_size_and_version() -> None:
    graph = darts()
    model = model_of(graph)
    found = facts(model)
    assert found.items() >= {f"nasir.{key}": value for key, value in graph.about.items()}.items()
    assert (found["nasir.version"], found["nasir.opset"]) == (nasir.__version__, str(OPSET))
    assert (found["nasir.space"], found["nasir.layers"]) == ("darts", "6")
    assert (model.producer_name, model.ir_version) == ("nasir", IR_VERSION)
    assert f"opset {OPSET}" in model.doc_string


def test_an_edited_graph_carries_no_genotype(tmp_path: Path) -> None:
    graph = darts().replace("c03/n2.e0/sep_conv_3x3", "dil_conv_3x3")
    module = to_torch(graph)
    path = to_onnx(graph, module, tmp_path / "edited.onnx")
    found = facts(onnx.load(path))
    assert "nasir.genotype" not in found
    assert found["nasir.edited"] == "yes"
    with fails_with("E108", "not written by nasir"):
        nasir.load_genotype(str(path))
    assert compare(graph, module, path).require().difference < 1e-4


def test_the_auxiliary_head_stays_out() -> None:
    model = model_of(darts(auxiliary=True))
    assert [value.name for value in model.graph.output] == ["logits"]
    assert not any(entry.name.startswith("aux") for entry in model.graph.initializer)


@pytest.mark.parametrize("inline", [False, True])
def test_exporting_twice_gives_equal_bytes(inline: bool, tmp_path: Path) -> None:
    graph = darts()
    module = to_torch(graph)
    files = [to_onnx(graph, module, tmp_path / f"{i}.onnx", inline=inline) for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_weights_that_are_missing_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with fails_with("E503", "the weights have no 'stem/conv"):
        to_onnx(darts(layers=4), nn.Identity(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_of_another_width_are_refused() -> None:
    graph = darts(layers=4)
    state = to_torch(graph).state_dict()
    state["stem/conv.weight"] = torch.zeros(5, 3, 3, 3)
    with fails_with("E503", re.escape("has shape [5, 3, 3, 3]")):
        encode(graph, state)


def test_a_path_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    graph = darts(layers=4)
    (tmp_path / "file").write_text("")
    with fails_with("E112"):
        to_onnx(graph, to_torch(graph), tmp_path / "file" / "net.onnx")


def test_a_model_whose_shapes_are_wrong_does_not_pass_the_check() -> None:
    model = model_of(darts(layers=4))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 11
    with fails_with("E504", "checker rejects"):
        check_model(model)


def test_a_missing_file_cannot_be_compared(tmp_path: Path) -> None:
    graph = darts(layers=4)
    with fails_with("E101"):
        compare(graph, to_torch(graph), tmp_path / "none.onnx")


def test_without_onnxruntime_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = darts(layers=4)
    module = to_torch(graph)
    path = to_onnx(graph, module, tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(NasirError, match="onnxruntime is not installed") as caught:
        compare(graph, module, path)
    assert (caught.value.code, caught.value.hint) == ("E501", "pip install nasir[runtime]")


def session_of(path: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("inline", [False, True])
def test_a_dynamic_model_reads_images_of_other_sizes(tmp_path: Path, *, inline: bool) -> None:
    graph = darts()
    module = to_torch(graph).eval()
    path = to_onnx(graph, module, tmp_path / "net.onnx", dynamic=True, inline=inline)
    model = onnx.load(path)
    assert shapes(model)["image"] == ("batch", 3, "height", "width")
    assert shapes(model)["logits"] == ("batch", 10)
    assert compare(graph, module, path).agrees
    larger = nasir.network("darts_v2", "cifar", channels=4, layers=6, resolution=24)
    twin = to_torch(larger).eval()
    twin.load_state_dict(module.state_dict())
    image = torch.randn(2, 3, 24, 24)
    (found,) = session_of(path).run(None, {"image": image.numpy()})
    assert np.abs(found - twin(image).detach().numpy()).max() < 1e-4
    assert session_of(path).run(None, {"image": image[:, :, :16].numpy()})[0].shape == (2, 10)


def test_dynamic_features_have_any_height_and_width(tmp_path: Path) -> None:
    graph = nasir.network("darts_v2", "imagenet", channels=4, layers=3, features=True)
    path = to_onnx(graph, to_torch(graph), tmp_path / "net.onnx", dynamic=True)
    found = session_of(path).run(None, {"image": np.zeros((1, 3, 64, 96), np.float32)})
    assert [x.shape[2:] for x in found] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_a_network_tied_to_one_size_is_an_error_that_names_the_op(tmp_path: Path) -> None:
    graph = nasir.network("darts_v2", "imagenet", channels=4, layers=3)
    with fails_with("E505", "the op 'linear' ties the network") as caught:
        to_onnx(graph, to_torch(graph), tmp_path / "net.onnx", dynamic=True)
    assert caught.value.where.file == "node head/linear"
    b = Builder(x=nasir.VectorType(4))
    vector = b.graph(b("relu", "x", name="y"))
    with pytest.raises(NasirError, match="reads no images") as caught:
        to_onnx(vector, to_torch(vector), tmp_path / "net.onnx", dynamic=True)
    assert not (tmp_path / "net.onnx").exists()


@pytest.mark.parametrize("inline", [False, True])
def test_half_models_read_and_give_float32(tmp_path: Path, *, inline: bool) -> None:
    graph = darts()
    module = to_torch(graph).eval()
    path = to_onnx(graph, module, tmp_path / "net.onnx", half=True, inline=inline)
    model = onnx.load(path)
    ends = [*model.graph.input, *model.graph.output]
    assert {x.type.tensor_type.elem_type for x in ends} == {onnx.TensorProto.FLOAT}
    assert {x.data_type for x in model.graph.initializer} == {onnx.TensorProto.FLOAT16}
    found = compare(graph, module, path)
    assert found.tolerance == 1e-2
    assert found.require().difference > 0
    whole = to_onnx(graph, module, tmp_path / "whole.onnx", inline=inline)
    assert path.stat().st_size < 0.9 * whole.stat().st_size


HALVES = ("examples/attention", "examples/segmentation", "nasbench101", "nasbench201")


@pytest.mark.parametrize("name", HALVES)
def test_half_and_dynamic_models_of_other_primitives_agree(tmp_path: Path, name: str) -> None:
    folder = Path(__file__).parents[1] / "spaces"
    space = nasir.load_space(folder / f"{name}.yaml")
    graph = nasir.network(
        nasir.sample(space, Random(3)), channels=8, layers=3, resolution=16, space=space
    )
    module = to_torch(graph).eval()
    path = to_onnx(graph, module, tmp_path / "net.onnx", half=True, dynamic=True)
    compare(graph, module, path).require()


def test_a_half_language_model_agrees(tmp_path: Path) -> None:
    genotype = nasir.sample(nasir.load_space("darts_rnn"), Random(0))
    graph = nasir.network(genotype, vocabulary=20, hidden=8)
    module = to_torch(graph).eval()
    path = to_onnx(graph, module, tmp_path / "net.onnx", half=True)
    assert compare(graph, module, path).require().tolerance == 1e-2
    with fails_with("E505", "the op 'chunk' needs opset 18, not 17"):
        to_onnx(graph, module, tmp_path / "old.onnx", opset=17)


@pytest.mark.parametrize("opset", [17, 18, 20])
def test_older_opsets_are_written_with_their_ir_version(tmp_path: Path, opset: int) -> None:
    graph = darts(layers=3)
    module = to_torch(graph).eval()
    path = to_onnx(graph, module, tmp_path / "net.onnx", opset=opset)
    model = onnx.load(path)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    assert versions == {"": opset, "nasir": 1}
    assert model.ir_version == {17: 8, 18: 8, 20: 9}[opset]
    assert facts(model)["nasir.opset"] == str(opset)
    assert compare(graph, module, path).agrees
    with fails_with("E505", "the opset is 17 to 21, not 22"):
        to_onnx(graph, module, path, opset=22)


def test_compile_writes_models_with_these_options(tmp_path: Path) -> None:
    size = ("--channels", "4", "--layers", "1", "--no-compile")
    options = ("--dynamic", "--half", "--opset", "17", "--inline")
    done = call("compile", RESNET, *size, *options, "--onnx", tmp_path / "n.onnx")
    assert done.code == 0, done.err
    model = onnx.load(tmp_path / "n.onnx")
    named = {"nasir.dynamic": "yes", "nasir.half": "yes", "nasir.opset": "17"}
    assert facts(model).items() >= named.items()
    assert "'dynamic' needs an ONNX file" in call("compile", RESNET, *size, "--dynamic").err
    assert call("compile", RESNET, *size, "--opset", "16", "--onnx", tmp_path / "o.onnx").code
