"""Ops as papers mean them, each a composition of primitives.

Layer sequences are those of the original code: ReLU comes before a convolution (after the batch
norm in NAS-Bench-101), convolutions have no bias, batch norm follows. A new op of that kind is
one function here and one row below.
"""

import copyreg
from collections.abc import Callable
from functools import partial
from typing import Any

from nasir.errors import NasirError
from nasir.ops import PRIMITIVES, Attrs, Macro, NoAttrs, Op, Size
from nasir.ops.spec import expect
from nasir.table import Table
from nasir.template import Scope
from nasir.types import ImageType


class EdgeAttrs(Attrs):
    """Attributes of an edge's op: `affine` is off in a supernet, `stride` is 2 in a reduction."""

    stride: Size = 1
    affine: bool = True


class BlockAttrs(EdgeAttrs):
    """Attributes of a block that changes the number of channels to `out`."""

    out: Size


class KernelAttrs(BlockAttrs):
    """`kernel`: side of the square window."""

    kernel: Size = 1


class ClassAttrs(Attrs):
    """`classes`: length of the logits."""

    classes: Size


def relu_conv_bn(b: Scope, inputs: tuple[str, ...], a: KernelAttrs) -> str:
    """ReLU, convolution, batch norm."""
    x = b("relu", inputs[0], name="relu")
    x = b("conv2d", x, name="conv", out=a.out, kernel=a.kernel, stride=a.stride)
    return b("batch_norm", x, name="bn", affine=a.affine)


def factorized_reduce(b: Scope, inputs: tuple[str, ...], a: BlockAttrs) -> str:
    """Halves height and width with two 1x1 convolutions, the second shifted by one pixel.

    As in the DARTS family it pads nothing where both sizes are even (quirk A4). An odd size, which
    fails there, gets a zero row or column, but one of 1 is neither padded nor shifted.
    """
    if a.out % 2:
        raise NasirError(
            "E302",
            f"a factorized reduce needs an even number of channels, not {a.out}",
            hint=f"try {a.out + 1}",
        )
    _, height, width = expect(ImageType, b.type(inputs[0]), "a factorized reduce").shape
    x = b("relu", inputs[0], name="relu")
    first = b("conv2d", x, name="conv1", out=a.out // 2, kernel=1, stride=2)
    bottom, right = (size % 2 * (size > 1) for size in (height, width))
    if bottom or right:
        x = b("pad", x, name="pad", bottom=bottom, right=right)
    return _second_half(b, x, first, a, (int(height > 1), int(width > 1)))


def padded_factorized_reduce(b: Scope, inputs: tuple[str, ...], a: BlockAttrs) -> str:
    """A factorized reduce of any size: pads a zero row and column at the bottom and right.

    As in nnabla and AutoDL; for even sizes equal to the unpadded one.
    """
    x = b("relu", inputs[0], name="relu")
    first = b("conv2d", x, name="conv1", out=a.out // 2, kernel=1, stride=2)
    return _second_half(b, b("pad", x, name="pad", bottom=1, right=1), first, a, (1, 1))


def _second_half(b: Scope, x: str, first: str, a: BlockAttrs, shift: tuple[int, int]) -> str:
    """Joins the shifted half of a factorized reduce to the first half."""
    shifted = b("crop", x, name="shift", top=shift[0], left=shift[1])
    out = a.out - b.channels(first)
    second = b("conv2d", shifted, name="conv2", out=out, kernel=1, stride=2)
    joined = b("concat", first, second, name="join")
    return b("batch_norm", joined, name="bn", affine=a.affine)


def _none(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return b("zero", inputs[0], name="zero", stride=a.stride)


def _noise(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    return b("gaussian", inputs[0], name="noise", stride=a.stride)


def _skip(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
    if a.stride == 1:
        return inputs[0]
    block = BlockAttrs(out=b.channels(inputs[0]), affine=a.affine)
    return factorized_reduce(b, inputs, block)


def _pool(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs, op: str) -> str:
    return b(op, inputs[0], name="pool", kernel=3, stride=a.stride, padding=1)


def _depthwise(b: Scope, x: str, number: str, kernel: int, dilation: int, a: EdgeAttrs) -> str:
    """ReLU, depthwise and pointwise convolution, batch norm."""
    c = b.channels(x)
    x = b("relu", x, name=f"relu{number}")
    x = b(
        "conv2d",
        x,
        name=f"dw{number}",
        out=c,
        kernel=kernel,
        stride=a.stride,
        dilation=dilation,
        groups=c,
    )
    x = b("conv2d", x, name=f"pw{number}", out=c, kernel=1)
    return b("batch_norm", x, name=f"bn{number}", affine=a.affine)


def _sep(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs, kernel: int) -> str:
    x = _depthwise(b, inputs[0], "1", kernel, 1, a)
    return _depthwise(b, x, "2", kernel, 1, EdgeAttrs(affine=a.affine))


def _dil(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs, kernel: int) -> str:
    return _depthwise(b, inputs[0], "1", kernel, 2, a)


def _split(b: Scope, inputs: tuple[str, ...], a: EdgeAttrs, kernel: int) -> str:
    """A full (1, k) and then a (k, 1) convolution; the name has them the other way round."""
    c, s = b.channels(inputs[0]), a.stride
    x = b("relu", inputs[0], name="relu")
    x = b("conv2d", x, name="conv1", out=c, kernel=(1, kernel), stride=(1, s))
    x = b("conv2d", x, name="conv2", out=c, kernel=(kernel, 1), stride=(s, 1))
    return b("batch_norm", x, name="bn", affine=a.affine)


_DECAYED = 0.003
"""The momentum of NAS-Bench-101's batch norms: TensorFlow's decay of 0.997 in torch's meaning.

NAS-Bench-1Shot1's code passes 0.997 to torch, which is the opposite, and is not reproduced.
"""


def _conv_bn_relu(b: Scope, inputs: tuple[str, ...], a: KernelAttrs) -> str:
    """Convolution, batch norm, ReLU, in NAS-Bench-101's order."""
    x = b("conv2d", inputs[0], name="conv", out=a.out, kernel=a.kernel, stride=a.stride)
    x = b("batch_norm", x, name="bn", affine=a.affine, momentum=_DECAYED)
    return b("relu", x, name="relu")


def _conv(
    b: Scope, inputs: tuple[str, ...], a: EdgeAttrs, kernel: int, block: Callable[..., str]
) -> str:
    """A block that keeps the number of channels."""
    attrs = KernelAttrs(out=b.channels(inputs[0]), kernel=kernel, stride=a.stride, affine=a.affine)
    return block(b, inputs, attrs)


_nor = partial(_conv, block=relu_conv_bn)
_post = partial(_conv, block=_conv_bn_relu)


def _conv_bn(b: Scope, inputs: tuple[str, ...], a: KernelAttrs) -> str:
    x = b("conv2d", inputs[0], name="conv", out=a.out, kernel=a.kernel, stride=a.stride)
    return b("batch_norm", x, name="bn", affine=a.affine)


def _residual(b: Scope, inputs: tuple[str, ...], a: BlockAttrs) -> str:
    """NAS-Bench-201's reduction: two 3x3 blocks beside a 2x2 mean and a bare 1x1 convolution.

    Along an odd size, which fails there, the mean is of 3 pixels around each second one.
    """
    x = inputs[0]
    image = expect(ImageType, b.type(x), "a residual reduction")
    odd = [size % a.stride for size in image.shape[1:]]
    if any(odd) and a.stride != 2:
        raise NasirError(
            "E302",
            f"a residual reduction needs height and width divisible by {a.stride}, not {b.type(x)}",
            hint="choose an image size that the reductions divide evenly",
        )
    for number, stride in (("1", a.stride), ("2", 1)):
        x = b("relu", x, name=f"relu{number}")
        x = b("conv2d", x, name=f"conv{number}", out=a.out, kernel=3, stride=stride)
        x = b("batch_norm", x, name=f"bn{number}", affine=a.affine)
    window: dict[str, Any] = {"kernel": 2, "stride": a.stride}
    if any(odd):
        window |= {"kernel": (2 + odd[0], 2 + odd[1]), "padding": (odd[0], odd[1])}
    short = b("avg_pool", inputs[0], name="pool", **window)
    short = b("conv2d", short, name="short", out=a.out, kernel=1)
    return b("add", short, x, name="add")


def _head(b: Scope, inputs: tuple[str, ...], a: ClassAttrs) -> str:
    x = b("global_pool", inputs[0], name="pool")
    return b("linear", b("flatten", x, name="flatten"), name="linear", out=a.classes)


def _norm_head(b: Scope, inputs: tuple[str, ...], a: ClassAttrs) -> str:
    x = b("batch_norm", inputs[0], name="bn")
    return _head(b, (b("relu", x, name="relu"),), a)


def _imagenet_head(b: Scope, inputs: tuple[str, ...], a: ClassAttrs) -> str:
    """A fixed 7x7 mean, as in the original: other sizes of the last map do not fit."""
    x = b("avg_pool", inputs[0], name="pool", kernel=7)
    if b.type(x).shape[1:] != (1, 1):
        raise NasirError(
            "E302",
            f"the imagenet head takes 7x7 feature maps, not {b.type(inputs[0])}",
            hint="use images of 224x224 and at least 2 layers",
        )
    return b("linear", b("flatten", x, name="flatten"), name="linear", out=a.classes)


class AuxiliaryAttrs(ClassAttrs):
    """`stride` of the pool; `norm`: batch norm after the second convolution; `bias` of `linear`."""

    stride: Size = 3
    norm: bool = True
    bias: bool = True


def _auxiliary(b: Scope, inputs: tuple[str, ...], a: AuxiliaryAttrs) -> str:
    """The DARTS auxiliary head: 8x8 maps, stride 3 (CIFAR), or 7x7, stride 2 (ImageNet)."""
    if b.type(inputs[0]).shape[1:] != ((8, 8) if a.stride == 3 else (7, 7)):
        raise NasirError(
            "E302",
            f"the auxiliary head takes {'8x8' if a.stride == 3 else '7x7'} feature maps, "
            f"not {b.type(inputs[0])}",
            hint="leave the auxiliary head out (nasir evaluate: --set train.auxiliary=0), "
            "or use the skeleton's own image size",
        )
    x = b("relu", inputs[0], name="relu1")
    x = b("avg_pool", x, name="pool", kernel=5, stride=a.stride)
    x = b("conv2d", x, name="conv1", out=128, kernel=1)
    x = b("relu", b("batch_norm", x, name="bn1"), name="relu2")
    x = b("conv2d", x, name="conv2", out=768, kernel=2, padding=0)
    if a.norm:
        x = b("batch_norm", x, name="bn2")
    x = b("flatten", b("relu", x, name="relu3"), name="flatten")
    return b("linear", x, name="linear", out=a.classes, bias=a.bias)


def _identity(b: Scope, inputs: tuple[str, ...], a: NoAttrs) -> str:
    del b, a
    return inputs[0]


def _edge(name: str, summary: str, body: Callable[..., str]) -> Macro:
    return Macro(name, summary, EdgeAttrs, body, on_edge=True)


EDGE_MACROS: Table[Macro] = Table(
    _edge("none", "zeros", _none),
    _edge("skip_connect", "identity; at stride 2 a factorized reduce", _skip),
    _edge("max_pool_3x3", "3x3 maximum", partial(_pool, op="max_pool")),
    _edge("avg_pool_3x3", "3x3 mean, margin not counted", partial(_pool, op="avg_pool")),
    _edge("sep_conv_3x3", "separable 3x3 convolution, twice", partial(_sep, kernel=3)),
    _edge("sep_conv_5x5", "separable 5x5 convolution, twice", partial(_sep, kernel=5)),
    _edge("sep_conv_7x7", "separable 7x7 convolution, twice", partial(_sep, kernel=7)),
    _edge("dil_conv_3x3", "dilated separable 3x3 convolution", partial(_dil, kernel=3)),
    _edge("dil_conv_5x5", "dilated separable 5x5 convolution", partial(_dil, kernel=5)),
    _edge("conv_7x1_1x7", "full 1x7, then 7x1 convolution", partial(_split, kernel=7)),
    _edge("conv_3x1_1x3", "full 1x3, then 3x1 convolution", partial(_split, kernel=3)),
    _edge("nor_conv_1x1", "ReLU, 1x1 convolution, batch norm", partial(_nor, kernel=1)),
    _edge("nor_conv_3x3", "ReLU, 3x3 convolution, batch norm", partial(_nor, kernel=3)),
    _edge("nor_conv_7x7", "ReLU, 7x7 convolution, batch norm", partial(_nor, kernel=7)),
    _edge("conv3x3-bn-relu", "3x3 convolution, batch norm, ReLU", partial(_post, kernel=3)),
    _edge("conv1x1-bn-relu", "1x1 convolution, batch norm, ReLU", partial(_post, kernel=1)),
    _edge("maxpool3x3", "3x3 maximum, as max_pool_3x3", partial(_pool, op="max_pool")),
    _edge("dua_sepc_3x3", "sep_conv_3x3 as AutoDL calls it", partial(_sep, kernel=3)),
    _edge("dua_sepc_5x5", "sep_conv_5x5 as AutoDL calls it", partial(_sep, kernel=5)),
    _edge("dil_sepc_3x3", "dil_conv_3x3 as AutoDL calls it", partial(_dil, kernel=3)),
    _edge("dil_sepc_5x5", "dil_conv_5x5 as AutoDL calls it", partial(_dil, kernel=5)),
    _edge("noise", "fresh N(0, 1) noise in place of the input", _noise),
    kinds=("edge",),
)

BLOCK_MACROS: Table[Macro] = Table(
    Macro("conv_bn", "convolution, batch norm", KernelAttrs, _conv_bn),
    Macro("conv_bn_relu", "convolution, batch norm, ReLU", KernelAttrs, _conv_bn_relu),
    Macro("relu_conv_bn", "ReLU, convolution, batch norm", KernelAttrs, relu_conv_bn),
    Macro("factorized_reduce", "half the size, no pixel lost", BlockAttrs, factorized_reduce),
    Macro(
        "padded_factorized_reduce",
        "half of any size, no pixel lost",
        BlockAttrs,
        padded_factorized_reduce,
    ),
    Macro("residual_reduce", "NAS-Bench-201's reduction block", BlockAttrs, _residual),
    Macro("classifier", "mean over positions, linear", ClassAttrs, _head),
    Macro("norm_classifier", "batch norm, ReLU, mean, linear", ClassAttrs, _norm_head),
    Macro("imagenet_classifier", "7x7 mean, linear", ClassAttrs, _imagenet_head),
    Macro("auxiliary_head", "the DARTS auxiliary head", AuxiliaryAttrs, _auxiliary),
    kinds=("block",),
)

_IDENTITY = Macro("identity", "the input itself", NoAttrs, _identity)

ACTIVATIONS: Table[Op] = Table(
    EDGE_MACROS["none"],
    PRIMITIVES["tanh"],
    PRIMITIVES["relu"],
    PRIMITIVES["sigmoid"],
    _IDENTITY,
    kinds=("activation",),
)
"""The ops that genotypes of recurrent cells may have, each inside a highway."""

MACROS: Table[Op] = Table(
    *EDGE_MACROS.values(),
    *(op for op in ACTIVATIONS.values() if op.name not in EDGE_MACROS),
    kinds=("edge", "activation"),
)
"""The ops that genotypes may have."""

ALL_OPS: Table[Op] = Table(
    *PRIMITIVES.values(),
    *EDGE_MACROS.values(),
    *BLOCK_MACROS.values(),
    _IDENTITY,
    kinds=("primitive", "edge", "block"),
)
"""The ops that graphs may have."""


def _macro_named(name: str) -> Macro:
    macro = ALL_OPS[name]
    assert isinstance(macro, Macro)
    return macro


copyreg.pickle(Macro, lambda macro: (_macro_named, (macro.name,)))  # a copy is the macro itself

__all__ = [
    "ACTIVATIONS",
    "ALL_OPS",
    "BLOCK_MACROS",
    "EDGE_MACROS",
    "MACROS",
    "EdgeAttrs",
    "NoAttrs",
]
