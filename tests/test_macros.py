"""Macros spell out the layer sequences of the papers' code."""

import pytest

from nasir import Builder, ImageType, NasirError, Node, print_graph
from nasir.macros import EDGE_MACROS
from nasir.passes import expand

SEQUENCES = {
    ("none", 1): "zero",
    ("none", 2): "zero/2",
    ("skip_connect", 1): "",
    ("skip_connect", 2): "relu 1x1/2 crop 1x1/2 concat bn",
    ("max_pool_3x3", 1): "max3",
    ("max_pool_3x3", 2): "max3/2",
    ("avg_pool_3x3", 1): "avg3",
    ("avg_pool_3x3", 2): "avg3/2",
    ("sep_conv_3x3", 1): "relu dw3x3 1x1 bn relu dw3x3 1x1 bn",
    ("sep_conv_3x3", 2): "relu dw3x3/2 1x1 bn relu dw3x3 1x1 bn",
    ("sep_conv_5x5", 1): "relu dw5x5 1x1 bn relu dw5x5 1x1 bn",
    ("sep_conv_5x5", 2): "relu dw5x5/2 1x1 bn relu dw5x5 1x1 bn",
    ("sep_conv_7x7", 1): "relu dw7x7 1x1 bn relu dw7x7 1x1 bn",
    ("sep_conv_7x7", 2): "relu dw7x7/2 1x1 bn relu dw7x7 1x1 bn",
    ("dil_conv_3x3", 1): "relu dw3x3*2 1x1 bn",
    ("dil_conv_3x3", 2): "relu dw3x3*2/2 1x1 bn",
    ("dil_conv_5x5", 1): "relu dw5x5*2 1x1 bn",
    ("dil_conv_5x5", 2): "relu dw5x5*2/2 1x1 bn",
    ("dua_sepc_3x3", 1): "relu dw3x3 1x1 bn relu dw3x3 1x1 bn",
    ("dua_sepc_3x3", 2): "relu dw3x3/2 1x1 bn relu dw3x3 1x1 bn",
    ("dua_sepc_5x5", 1): "relu dw5x5 1x1 bn relu dw5x5 1x1 bn",
    ("dua_sepc_5x5", 2): "relu dw5x5/2 1x1 bn relu dw5x5 1x1 bn",
    ("dil_sepc_3x3", 1): "relu dw3x3*2 1x1 bn",
    ("dil_sepc_3x3", 2): "relu dw3x3*2/2 1x1 bn",
    ("dil_sepc_5x5", 1): "relu dw5x5*2 1x1 bn",
    ("dil_sepc_5x5", 2): "relu dw5x5*2/2 1x1 bn",
    ("conv_7x1_1x7", 1): "relu 1x7 7x1 bn",
    ("conv_7x1_1x7", 2): "relu 1x7/1x2 7x1/2x1 bn",
    ("conv_3x1_1x3", 1): "relu 1x3 3x1 bn",
    ("conv_3x1_1x3", 2): "relu 1x3/1x2 3x1/2x1 bn",
    ("nor_conv_1x1", 1): "relu 1x1 bn",
    ("nor_conv_1x1", 2): "relu 1x1/2 bn",
    ("nor_conv_3x3", 1): "relu 3x3 bn",
    ("nor_conv_3x3", 2): "relu 3x3/2 bn",
    ("nor_conv_7x7", 1): "relu 7x7 bn",
    ("nor_conv_7x7", 2): "relu 7x7/2 bn",
    ("conv3x3-bn-relu", 1): "3x3 bn relu",
    ("conv3x3-bn-relu", 2): "3x3/2 bn relu",
    ("conv1x1-bn-relu", 1): "1x1 bn relu",
    ("conv1x1-bn-relu", 2): "1x1/2 bn relu",
    ("maxpool3x3", 1): "max3",
    ("maxpool3x3", 2): "max3/2",
    ("noise", 1): "gaussian",
    ("noise", 2): "gaussian/2",
}

SEP_CONV = """\
m/relu1 = relu(x): image[4,8,8]
m/dw1 = conv2d(m/relu1) {out=4, kernel=3, stride=2, groups=4}: image[4,4,4]
m/pw1 = conv2d(m/dw1) {out=4, kernel=1}: image[4,4,4]
m/bn1 = batch_norm(m/pw1): image[4,4,4]
m/relu2 = relu(m/bn1): image[4,4,4]
m/dw2 = conv2d(m/relu2) {out=4, kernel=3, groups=4}: image[4,4,4]
m/pw2 = conv2d(m/dw2) {out=4, kernel=1}: image[4,4,4]
m/bn2 = batch_norm(m/pw2): image[4,4,4]
output m/bn2"""

FACTORIZED_REDUCE = """\
m/relu = relu(x): image[4,8,8]
m/conv1 = conv2d(m/relu) {out=3, kernel=1, stride=2}: image[3,4,4]
m/shift = crop(m/relu) {top=1, left=1}: image[4,7,7]
m/conv2 = conv2d(m/shift) {out=3, kernel=1, stride=2}: image[3,4,4]
m/join = concat(m/conv1, m/conv2): image[6,4,4]
m/bn = batch_norm(m/join): image[6,4,4]
output m/bn"""

RESIDUAL_REDUCE = """\
m/relu1 = relu(x): image[4,8,8]
m/conv1 = conv2d(m/relu1) {out=8, kernel=3, stride=2}: image[8,4,4]
m/bn1 = batch_norm(m/conv1): image[8,4,4]
m/relu2 = relu(m/bn1): image[8,4,4]
m/conv2 = conv2d(m/relu2) {out=8, kernel=3}: image[8,4,4]
m/bn2 = batch_norm(m/conv2): image[8,4,4]
m/pool = avg_pool(x) {kernel=2, stride=2}: image[4,4,4]
m/short = conv2d(m/pool) {out=8, kernel=1}: image[8,4,4]
m/add = add(m/short, m/bn2): image[8,4,4]
output m/add"""

NORM_CLASSIFIER = """\
m/bn = batch_norm(x): image[4,8,8]
m/relu = relu(m/bn): image[4,8,8]
m/pool = global_pool(m/relu): image[4,1,1]
m/flatten = flatten(m/pool): vector[4]
m/linear = linear(m/flatten) {out=10}: vector[10]
output m/linear"""

CIFAR_AUXILIARY = """\
m/relu1 = relu(x): image[4,8,8]
m/pool = avg_pool(m/relu1) {kernel=5, stride=3}: image[4,2,2]
m/conv1 = conv2d(m/pool) {out=128, kernel=1}: image[128,2,2]
m/bn1 = batch_norm(m/conv1): image[128,2,2]
m/relu2 = relu(m/bn1): image[128,2,2]
m/conv2 = conv2d(m/relu2) {out=768, kernel=2, padding=0}: image[768,1,1]
m/bn2 = batch_norm(m/conv2): image[768,1,1]
m/relu3 = relu(m/bn2): image[768,1,1]
m/flatten = flatten(m/relu3): vector[768]
m/linear = linear(m/flatten) {out=10}: vector[10]
output m/linear"""


def test_every_edge_op_has_its_sequence_in_this_table() -> None:
    assert {name for name, _ in SEQUENCES} == set(EDGE_MACROS)


@pytest.mark.parametrize(("op", "stride"), SEQUENCES)
def test_an_edge_op_is_its_published_sequence(op: str, stride: int) -> None:
    build = Builder(x=ImageType(4, 8, 8))
    graph = expand(build.graph(build(op, "x", name="m", stride=stride)))
    assert " ".join(_short(node) for node in graph) == SEQUENCES[op, stride]


@pytest.mark.parametrize(("op", "margin"), [("dil_conv_3x3", 2), ("dil_conv_5x5", 4)])
def test_a_dilated_convolution_has_the_published_margin(op: str, margin: int) -> None:
    from nasir.ops.layers import ConvAttrs

    build = Builder(x=ImageType(4, 8, 8))
    attrs = expand(build.graph(build(op, "x", name="m")))["m/dw1"].attrs
    assert isinstance(attrs, ConvAttrs)
    assert attrs.margins == (margin, margin)


@pytest.mark.parametrize(
    ("op", "attrs", "text"),
    [
        ("sep_conv_3x3", {"stride": 2}, SEP_CONV),
        ("factorized_reduce", {"out": 6}, FACTORIZED_REDUCE),
        ("residual_reduce", {"out": 8, "stride": 2}, RESIDUAL_REDUCE),
        ("norm_classifier", {"classes": 10}, NORM_CLASSIFIER),
        ("auxiliary_head", {"classes": 10}, CIFAR_AUXILIARY),
        ("skip_connect", {}, "output x"),
    ],
)
def test_a_macro_is_spelled_out(op: str, attrs: dict[str, int], text: str) -> None:
    assert _text(op, **attrs) == text


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
