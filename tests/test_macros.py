"""Macros spell out the layer sequences of the papers' code."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from nasir import Builder, ImageType, NasirError, Node, print_graph
from nasir.macros import EDGE_MACROS
from nasir.passes import expand

DATA = YAML(typ="safe", pure=True).load(Path(__file__).parent / "data" / "macros.yaml")
SEQUENCES: dict[str, list[str]] = DATA["edge_ops"]
SPELLED: list[dict[str, Any]] = DATA["spelled"]


def test_every_edge_op_has_its_sequence_in_this_table() -> None:
    assert set(SEQUENCES) == set(EDGE_MACROS)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", SEQUENCES)
def test_an_edge_op_is_its_published_sequence(op: str, stride: int) -> None:
    build = Builder(x=ImageType(4, 8, 8))
    graph = expand(build.graph(build(op, "x", name="m", stride=stride)))
    assert " ".join(_short(node) for node in graph) == SEQUENCES[op][stride - 1]


@pytest.mark.parametrize(("op", "margin"), [("dil_conv_3x3", 2), ("dil_conv_5x5", 4)])
def test_a_dilated_convolution_has_the_published_margin(op: str, margin: int) -> None:
    from nasir.ops.layers import ConvAttrs

    build = Builder(x=ImageType(4, 8, 8))
    attrs = expand(build.graph(build(op, "x", name="m")))["m/dw1"].attrs
    assert isinstance(attrs, ConvAttrs)
    assert attrs.margins == (margin, margin)


@pytest.mark.parametrize("row", SPELLED, ids=lambda row: row["op"])
def test_a_macro_is_spelled_out(row: dict[str, Any]) -> None:
    assert _text(row["op"], **row["attrs"]) == row["text"]


def test_the_auxiliary_head_of_imagenet_has_no_norm_after_the_second_convolution() -> None:
    text = _text("auxiliary_head", size=7, classes=10, stride=2, norm=False)
    assert "m/pool = avg_pool(m/relu1) {kernel=5, stride=2}: image[4,2,2]" in text
    assert "m/relu3 = relu(m/conv2): image[768,1,1]" in text
    assert "bn2" not in text


@pytest.mark.parametrize("op", ["conv3x3-bn-relu", "conv1x1-bn-relu"])
def test_nasbench101s_batch_norms_have_tensorflows_decay_in_torchs_meaning(op: str) -> None:
    build = Builder(x=ImageType(4, 8, 8))
    attrs = dict(expand(build.graph(build(op, "x", name="m")))["m/bn"].attrs)
    assert (attrs["momentum"], attrs["eps"]) == (0.003, 1e-5)


@pytest.mark.parametrize(
    ("op", "size", "attrs", "code"),
    [
        ("factorized_reduce", (8, 8), {"out": 5}, "E302"),
        ("residual_reduce", (7, 8), {"out": 8, "stride": 3}, "E302"),
        ("imagenet_classifier", (8, 8), {"classes": 10}, "E302"),
        ("auxiliary_head", (7, 7), {"classes": 10}, "E302"),
    ],
)
def test_what_does_not_fit_a_macro_is_an_error_with_the_image(
    op: str, size: tuple[int, int], attrs: dict[str, int], code: str
) -> None:
    error = _error(op, ImageType(4, *size), **attrs)
    assert error.code == code
    assert code == "E302" or f"image[4,{size[0]},{size[1]}]" in error.message
    assert op != "auxiliary_head" or "train.auxiliary=0" in error.hint


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (97, 97), (1, 9), (1, 1)])
@pytest.mark.parametrize("op", [*EDGE_MACROS, "residual_reduce", "factorized_reduce"])
def test_every_op_halves_odd_sizes_to_the_larger_half(op: str, size: tuple[int, int]) -> None:
    wide = {"out": 4} if op.endswith("_reduce") else {}
    build = Builder(x=ImageType(4, *size))
    graph = expand(build.graph(build(op, "x", name="m", stride=2, **wide)))
    assert graph.types[graph.outputs[0]] == ImageType(4, -(-size[0] // 2), -(-size[1] // 2))


def _short(node: Node) -> str:
    """`dw3x3*2/2` for a depthwise 3x3 convolution of dilation 2 and stride 2."""
    attrs = dict(node.attrs)
    text = {"batch_norm": "bn", "conv2d": "", "max_pool": "max", "avg_pool": "avg"}.get(
        node.op.name, node.op.name
    )
    if node.op.name == "conv2d":
        text = f"{'dw' if attrs['groups'] > 1 else ''}{attrs['kernel'][0]}x{attrs['kernel'][1]}"
        assert attrs["padding"] is None
        assert attrs["bias"] is False
        if attrs["dilation"] != (1, 1):
            text += f"*{attrs['dilation'][0]}"
    elif "kernel" in attrs:
        text += str(attrs["kernel"][0])
    vertical, horizontal = attrs.get("stride", (1, 1))
    if (vertical, horizontal) != (1, 1):
        text += f"/{vertical}" if vertical == horizontal else f"/{vertical}x{horizontal}"
    return text


def _text(op: str, size: int = 8, **attrs: int) -> str:
    build = Builder(x=ImageType(4, size, size))
    graph = expand(build.graph(build(op, "x", name="m", **attrs)))
    return "\n".join(print_graph(graph).splitlines()[2:])


def _error(op: str, image: ImageType, **attrs: int) -> NasirError:
    with pytest.raises(NasirError) as caught:
        Builder(x=image)(op, "x", name="m", **attrs)
    return caught.value
