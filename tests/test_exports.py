"""Files of networks, ONNX and Python, compute what the networks compute in torch."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from torch import Tensor, nn

import nasir
from lowering.onnx import TOLERANCE, Comparison, compare, encode, to_onnx
from lowering.python import load_python, to_python
from lowering.torch import to_inference, to_torch
from nasir import Builder, Genotype, Graph, ImageType
from nasir.formats.load import Entry, entries, load_entry
from nasir.ops import PRIMITIVES
from nasir.passes import INFERENCE, expand, freeze_noise
from tests.command_line import ROOT
from tests.gate import gated
from tests.refusals import fails_with
from tests.supernets import with_parts
from tests.test_modules import MIXED

NOISY = "c10_s4_pcdarts"
DENSE = (
    "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
SPARSE = "|none~0|+|nor_conv_3x3~0|none~1|+|avg_pool_3x3~0|none~1|skip_connect~2|"
NOISY_CELLS = (
    "Genotype(normal=[('noise', 0), ('sep_conv_3x3', 1), ('noise', 1), ('none', 2)], "
    "normal_concat=[2, 3], reduce=[('noise', 0), ('skip_connect', 1), ('conv_7x1_1x7', 0), "
    "('none', 1)], reduce_concat=[2, 3])"
)
RECURRENT = ("ENAS", "DARTS_V1@darts_rnn", "DARTS_V2@darts_rnn", "penn_random", "penn_pgd")
SUPERNETS = ("darts", "s1", "nasbench201", "nasbench1shot1_2")
SLOW = ("partial darts",)
STYLED = ("auxiliary", "norms", "features", "twin edges", "noise", "attention", "penn_pgd",
          "partial s1", "modules, nasbench101", "partial nasbench201")  # fmt: skip
TEXTS = Path(__file__).parent / "data"
EXAMPLE_SPACES = ROOT / "spaces" / "examples"
WIDTHS: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXTS / "widths.yaml")


def trained(graph: Graph, seed: int = 0) -> nn.Module:
    """The network as if it had been trained: no batch norm is close to the identity."""
    module = to_torch(graph, seed=seed)
    state = module.state_dict()
    generator = torch.Generator().manual_seed(seed)
    for key in [key for key in state if key.endswith(".running_mean")]:
        norm = key.removesuffix(".running_mean")
        shape = state[key].shape
        state[key].copy_(torch.randn(shape, generator=generator) * 0.3)
        state[f"{norm}.running_var"].copy_(torch.rand(shape, generator=generator) + 0.5)
        if f"{norm}.weight" in state:
            state[f"{norm}.weight"].copy_(torch.rand(shape, generator=generator) + 0.5)
            state[f"{norm}.bias"].copy_(torch.randn(shape, generator=generator) * 0.3)
    return module


def small(name: str = "darts_v2") -> Graph:
    return nasir.network(name, "cifar", channels=4, layers=4, resolution=16)


def run(content: bytes, image: NDArray[np.float32]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": image})[0], dtype=np.float32)


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


CELLS = [entry for entry in entries() if load_entry(entry).space == "darts"]


def named(entry: Entry) -> str:
    return f"{entry.name}@{entry.catalogue}"


def _pools(b: Builder) -> list[str]:
    below = b("add", "image", b("relu", "image", name="relu"), name="sum")
    pool = {"kernel": 3, "padding": 1}
    return [
        b("max_pool", below, name="max", **pool),
        b("max_pool", below, name="max2", stride=2, kernel=(3, 2), padding=(1, 0)),
        b("avg_pool", below, name="inside", **pool),
        b("avg_pool", below, name="around", count_padding=True, **pool),
        b("avg_pool", below, name="strided", stride=(2, 1), count_padding=True, **pool),
        b("global_pool", below, name="global"),
    ]


def _convolutions(b: Builder) -> list[str]:
    x = b("conv2d", "image", name="full", out=8, kernel=(1, 3), bias=True)
    return [
        b("conv2d", x, name="depthwise", out=8, kernel=3, groups=8, dilation=2, stride=2),
        b("conv2d", x, name="valid", out=4, kernel=(3, 2), padding=0, stride=(2, 1)),
        b("crop", x, name="crop", top=1, left=2),
        b("pad", x, name="pad", bottom=2, right=1),
        b("channels", x, name="first", count=3),
        b("channels", x, name="inner", start=3, count=4),
        b("channel_shuffle", x, name="shuffled", groups=4),
    ]


def _norms(b: Builder) -> list[str]:
    return [
        b("batch_norm", "image", name="affine", eps=1e-3),
        b("batch_norm", "image", name="plain", affine=False),
    ]


def _merges(b: Builder) -> list[str]:
    x = b("sigmoid", "image", name="sigmoid")
    y = b("tanh", "image", name="tanh")
    factor = b("global_pool", x, name="factor")
    return [
        b("mul", x, y, name="product"),
        b("mul", factor, y, name="scaled"),
        b("mul", y, factor, name="scaled2"),
        b("add", x, y, "image", name="sum3"),
        b("concat", x, y, "image", name="joined"),
        b("mean", x, y, "image", name="mean3"),
        b("mean", x, y, name="mean2"),
        b("silu", "image", name="silu"),
        b("hardsigmoid", "image", name="hardsigmoid"),
        b("hardswish", "image", name="hardswish"),
        b("gelu", "image", name="gelu"),
        b("sub", x, y, name="less"),
    ]


def _vectors(b: Builder) -> list[str]:
    x = b("flatten", "image", name="flat")
    y = b("linear", x, name="linear", out=5)
    z = b("project", b("concat", y, x, name="both"), name="project", out=6, init=0.5)
    parts = [b("chunk", z, name=f"part{i}", part=i, of=3) for i in range(3)]
    bare = b("linear", b("relu", y, name="relu"), name="bare", out=3, bias=False)
    return [y, bare, b("batch_norm", z, name="bn"), *parts]


def _choices(b: Builder) -> list[str]:
    noise = b("frozen_gaussian", "image", name="frozen", stride=2)
    return [
        noise,
        b("concat", noise, b("zero", "image", name="zero", stride=2), name="half"),
        b("gaussian", "image", name="fresh", stride=(2, 1)),
        b("zero", "image", name="still"),
    ]


def _mixtures(b: Builder) -> list[str]:
    weights = b.choose(nasir.Choice("normal/n2.e0", "op on edge", ("none", "relu", "tanh")))
    values = [b(op, "image", name=op) for op in ("relu", "tanh")]
    chance = b.choose(nasir.Choice("normal/n2.e1", "op on edge", ("tanh",)))
    path = b("drop_path", values[1], chance, name="path")
    return [b("mix", weights, *values, name="mixed", options=(1, 2)), values[0], path]


def _attention(b: Builder) -> list[str]:
    x = b("conv2d", "image", name="wide", out=4, kernel=1)
    turned = b("reshape", x, name="turned", channels=2, height=2)
    scores = b("matmul", turned, turned, name="scores", transpose_first=True, scaled=True)
    shares = b("softmax", scores, name="shares", axis=3)
    mixed = b("matmul", turned, shares, name="mixed", transpose_second=True)
    flat = b("reshape", x, name="vector", channels=1, width=1)
    return [
        scores,
        b("matmul", turned, shares, name="plain"),
        *(b("softmax", x, name=f"softmax{axis}", axis=axis) for axis in (1, 2, 3)),
        b("reshape", mixed, x, name="back"),
        b("softmax", b("flatten", flat, name="flat"), name="softmax_vector", axis=-1),
        b("layer_norm", "flat", name="norm_vector", axis=-1),
        b("layer_norm", x, name="norm", eps=1e-3),
        b("layer_norm", x, name="bare", affine=False),
    ]


def _squares(b: Builder) -> list[str]:
    x = b("pad", "image", name="even", bottom=1)
    deep = b("space_to_depth", x, name="deep", block=2)
    return [
        deep,
        b("depth_to_space", deep, name="back", block=2),
        *(b("transpose", x, name=f"t{i}{j}", first=i, second=j) for i, j in ((2, 3), (1, 3))),
        b("group_norm", deep, name="norm", groups=3, eps=1e-3),
        b("group_norm", deep, name="bare", groups=12, affine=False),
    ]


def _larger(b: Builder) -> list[str]:
    made = [
        b("conv_transpose2d", "image", name="twice", out=4, kernel=3, stride=2, bias=True),
        b("conv_transpose2d", "image", name="groups", out=6, kernel=(2, 5), stride=3, groups=3),
        b("conv_transpose2d", "image", name="dilated", out=2, kernel=3, dilation=2),
        b("conv_transpose2d", "image", name="own", out=2, kernel=4, stride=(2, 3), padding=(0, 1),
          bottom_right=(1, 2)),
    ]  # fmt: skip
    for op in ("resize_nearest", "resize_bilinear"):
        made.append(b(op, "image", name=f"{op}_by", factor=(3, 2)))
        made += [b(op, "image", x, name=f"{op}_{x}") for x in (made[0], made[3])]
        made.append(b(op, made[0], "image", name=f"{op}_smaller"))
    return made


EXAMPLES = (
    _pools,
    _convolutions,
    _norms,
    _merges,
    _vectors,
    _choices,
    _mixtures,
    _attention,
    _squares,
    _larger,
)


def example(build: Callable[[Builder], list[str]]) -> Graph:
    b = Builder(image=ImageType(3, 7, 6))
    return b.graph(*build(b))


def test_the_examples_have_every_primitive() -> None:
    used = {node.op.name for build in EXAMPLES for node in example(build)}
    (recurrent,) = expand(nasir.network("penn_pgd")).bodies
    used |= {node.op.name for node in (*recurrent, *nasir.network("penn_pgd"))}
    assert used == {op.name for op in PRIMITIVES.values() if "fused" not in op.traits}


def shipped(name: str, **size: Any) -> Graph:
    return nasir.network(name, channels=4, **size)


def drawn(space: str, seed: int = 3, **size: Any) -> Graph:
    """The network of a genotype that is drawn from a space, shipped or an example."""
    path = EXAMPLE_SPACES / f"{space}.yaml"
    found = nasir.load_space(path if path.exists() else space)
    given: dict[str, Any] = {"channels": 4} | size
    return nasir.network(nasir.sample(found, seed), **given)


def by_width(name: str) -> Graph:
    """A network of an op whose numbers depend on the width."""
    space = {
        "nasir": 1, "space": "widths", "skeleton": "nasbench201",
        "ops": {"by_width": {"steps": WIDTHS[name]}},
        "cells": {"cell": {"inputs": 1, "nodes": 1, "ops": ["by_width"], "output": [1]}},
    }  # fmt: skip
    return nasir.network(nasir.sample(json.dumps(space), 0), channels=4, layers=1)


def squeezed() -> Graph:
    def squeeze_excite(b: Builder, x: str) -> str:
        y = b("global_pool", x, name="pool")
        y = b("conv2d", y, name="squeeze", out=4, kernel=1, bias=True)
        y = b("conv2d", b("relu", y, name="relu"), name="excite", out=16, kernel=1, bias=True)
        return b("mul", x, b("sigmoid", y, name="gate"), name="scale")

    return shipped("darts_v2", layers=3).insert_after("c00/out", squeeze_excite, under="c00/se")


GRAPHS: dict[str, Callable[[], Graph]] = {
    **{build.__name__[1:]: lambda build=build: example(build) for build in EXAMPLES},
    **{f"{n} layers": lambda n=n: shipped("darts_v2", layers=n) for n in (3, 6, 8)},
    "auxiliary": lambda: shipped("darts_v2", layers=6, auxiliary=True),
    "features": lambda: shipped("darts_v2", layers=3, features=True),
    "twin edges": lambda: shipped("nasnet", layers=6),
    "imagenet": lambda: shipped("darts_v2", skeleton="imagenet", layers=3, classes=20),
    "nasbench201": lambda: shipped(DENSE, layers=2),
    "nasbench201 with dead edges": lambda: shipped(SPARSE, layers=1),
    "noise": lambda: shipped(NOISY_CELLS, layers=5),
    "frozen": lambda: freeze_noise(expand(shipped(NOISY_CELLS, layers=5))),
    "edited": squeezed,
    "folded": lambda: nasir.run_passes(shipped("darts_v2", layers=3), INFERENCE)[0],
    "attention": lambda: drawn("attention", 1, layers=3, resolution=16),
    "segmentation": lambda: drawn("segmentation", 1, layers=3, resolution=16),
    "decoder": lambda: drawn("decoder", resolution=97),
    "signals": lambda: drawn("signals", resolution=131),
    "features of an own skeleton": lambda: drawn("features", columns=67),
    **{
        f"modules, {name}": lambda name=name: nasir.network(
            Genotype("nasbench101", (MIXED,)), name, channels=7, layers=3, resolution=16
        )
        for name in ("nasbench101", "nasbench1shot1")
    },
    **{name: lambda name=name: nasir.network(name, vocabulary=30, hidden=5) for name in RECURRENT},
    **{f"partial {name}": lambda name=name: with_parts(name) for name in SUPERNETS},
    **{f"widths, {name}": lambda name=name: by_width(name) for name in WIDTHS},
    "bodies": lambda: nasir.parse_graph((TEXTS / "faults" / "bodies.txt").read_text()),
    "bodies in bodies": lambda: nasir.parse_graph((TEXTS / "bodies.txt").read_text()),
}


each = pytest.mark.parametrize("name", gated(GRAPHS, {*GRAPHS} - {*SLOW}))


def given(graph: Graph, batch: int = 2) -> list[Tensor]:
    """Values of the graph's inputs, those of its choices included."""
    generator = torch.Generator().manual_seed(2)
    found: list[Tensor] = []
    for name, type_ in graph.inputs:
        if isinstance(type_, nasir.TokenType):
            found.append(torch.randint(type_.vocabulary, (4, batch), generator=generator))
        elif isinstance(type_, nasir.SequenceType):
            found.append(torch.randn(4, batch, *type_.shape, generator=generator))
        else:
            choice = any(one.name == name for one in graph.choices)
            value = torch.randn(*([] if choice else [batch]), *type_.shape, generator=generator)
            found.append(value.softmax(0) if choice else value)
    return found


@pytest.mark.parametrize("inline", [False, True])
@each
def test_an_onnx_file_computes_what_the_network_computes(
    name: str, inline: bool, tmp_path: Path
) -> None:
    graph = GRAPHS[name]()
    module = trained(graph)
    path = to_onnx(graph, module, tmp_path / "net.onnx", inline=inline)
    for batch in (1, 3):
        found = compare(graph, module, path, batch=batch).require()
        assert found.difference < 1e-5 * max(1.0, found.magnitude)
    if "genotype" in graph.about:
        assert nasir.network(nasir.load_genotype(path)).about["space"] == graph.about["space"]


@each
def test_a_python_file_computes_what_the_network_computes(name: str, tmp_path: Path) -> None:
    graph = freeze_noise(GRAPHS["frozen" if name == "noise" else name]())
    module = trained(graph).eval()
    path, _ = to_python(graph, module, tmp_path / "net.py")
    values = given(graph)
    rest = len(values) - len(graph.choices)
    mixture = {each.name: value for each, value in zip(graph.choices, values[rest:], strict=True)}
    torch.manual_seed(0)
    expected = module(*values[:rest], *([mixture] if mixture else []))
    torch.manual_seed(0)
    found = load_python(path)(*values)
    both = (value if isinstance(value, tuple) else (value,) for value in (found, expected))
    for ours, theirs in zip(*both, strict=True):
        if graph.choices:
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", STYLED)
def test_a_python_file_is_formatted(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    path, _ = to_python(graph, trained(graph), tmp_path / "net.py")
    options = ["--isolated", "--no-cache", "--config=line-length=100", str(path)]
    for command in (["format", "--check"], ["check", "--select=E,F,I,B,UP"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, *options], check=True)


def test_a_nan_does_not_pass_through_a_strided_zero() -> None:
    b = Builder(image=ImageType(3, 5, 5))
    graph = b.graph(b("zero", "image", name="zero", stride=2))
    result = run(encode(graph, {}), np.full((2, 3, 5, 5), np.nan, dtype=np.float32))
    assert np.array_equal(result, np.zeros((2, 3, 3, 3)))


@pytest.mark.parametrize("entry", gated(CELLS, CELLS[::40]), ids=named)
def test_a_shipped_network_agrees_and_gives_its_genotype_back(entry: Entry, tmp_path: Path) -> None:
    genotype = load_entry(entry)
    graph = nasir.network(genotype, "cifar", channels=4, layers=4, resolution=16)
    module = trained(graph)
    path = to_onnx(graph, module, tmp_path / "net.onnx")
    assert compare(graph, module, path).require().difference < TOLERANCE
    assert nasir.load_genotype(str(path)) == genotype


@pytest.mark.slow
@pytest.mark.parametrize("entry", CELLS, ids=named)
def test_a_shipped_network_of_full_width_agrees(entry: Entry, tmp_path: Path) -> None:
    genotype = load_entry(entry)
    graph = nasir.network(genotype, "cifar", channels=36, layers=20)
    module = trained(graph)
    path = to_onnx(graph, module, tmp_path / "net.onnx")
    assert compare(graph, module, path).require().difference < TOLERANCE
    assert nasir.load_genotype(str(path)) == genotype


@pytest.mark.parametrize("inline", [False, True])
def test_functions_and_their_inlining_compute_bitwise_the_same(inline: bool) -> None:
    graph = small()
    state = trained(graph).state_dict()
    image = noise(2, 3, 16, 16)
    plain = run(encode(graph, state), image)
    assert np.array_equal(run(encode(graph, state, inline=inline), image), plain)


def test_a_network_with_folded_batch_norms_agrees_with_the_one_it_comes_from(
    tmp_path: Path,
) -> None:
    graph = small()
    module = trained(graph)
    folded = to_inference(graph, module)
    path = to_onnx(folded.graph, folded, tmp_path / "folded.onnx")
    assert path.read_bytes() == encode(folded.graph, module.state_dict())
    assert b"folded_weight" in path.read_bytes()
    assert compare(graph, module, path).require().difference < TOLERANCE


def test_noise_is_compared_through_a_twin_with_fixed_noise(tmp_path: Path) -> None:
    graph = small(NOISY)
    module = trained(graph)
    result = compare(graph, module, to_onnx(graph, module, tmp_path / "net.onnx"))
    assert result.frozen
    assert result.require().difference < 1e-5


def test_a_file_with_noise_and_other_weights_is_found_out(tmp_path: Path) -> None:
    graph = small(NOISY)
    path = to_onnx(graph, trained(graph), tmp_path / "net.onnx")
    with fails_with("E504", "not what this network exports to"):
        compare(graph, trained(graph, seed=1), path)


def test_the_tolerance_grows_with_large_outputs_and_refuses_nan() -> None:
    assert Comparison(0.9e-4, 0.1, 1).agrees
    assert not Comparison(1.1e-4, 0.1, 1).agrees
    assert Comparison(0.9e-2, 100.0, 1).agrees
    assert not Comparison(float("nan"), 1.0, 1).agrees
