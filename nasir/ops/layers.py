"""Layers of images and vectors: convolutions, cuts and margins, batch norms, pools, linear maps."""

from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from nasir.errors import NasirError
from nasir.ops.spec import (
    IS_LINEAR,
    ONES,
    ZEROS,
    Attrs,
    ChainUnit,
    Init,
    Margin,
    MarginPair,
    NoAttrs,
    OpSpec,
    Pair,
    ParamSpec,
    Size,
    Trait,
    expect,
    fan_in,
)
from nasir.types import ImageType, SequenceType, Type, VectorType, elements


def window(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Positions of a window along one axis. Raises an error when it does not fit once."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if count < 1:
        raise NasirError(
            "E302",
            f"a window of {dilation * (kernel - 1) + 1} does not fit into {size} pixels"
            + (f" with a margin of {padding}" if padding else ""),
            hint="use a larger image, or fewer reductions",
        )
    return count


def slid(x: ImageType, kernel: Pair, stride: Pair, margins: Pair, dilation: Pair) -> ImageType:
    """The type of the image with a pixel per window position."""
    h, w = map(window, x.shape[1:], kernel, stride, margins, dilation)
    return replace(x, h=h, w=w)


def _same(value: object) -> object:
    return None if value == "same" else value


class ConvAttrs(Attrs):
    """`padding` None is dilation * (kernel - 1) // 2: at stride 1 an odd kernel keeps the size."""

    out: Size
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Annotated[MarginPair | None, BeforeValidator(_same)] = None
    dilation: Pair = (1, 1)
    groups: Size = 1
    bias: bool = False

    @property
    def margins(self) -> tuple[int, int]:
        """The padding on each side, (vertical, horizontal)."""
        if self.padding is not None:
            return self.padding
        (kh, kw), (dh, dw) = self.kernel, self.dilation
        return (dh * (kh - 1) // 2, dw * (kw - 1) // 2)


def check_groups(x: ImageType, groups: int, out: int) -> None:
    """Raises an error for groups that do not divide the channels read and made."""
    if x.c % groups or out % groups:
        message = f"groups={groups} must divide {x.c} input and {out} output channels"
        raise NasirError("E302", message)


def _conv(a: ConvAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "conv2d")
    check_groups(x, a.groups, a.out)
    return replace(slid(x, a.kernel, a.stride, a.margins, a.dilation), c=a.out)


def _kernel(a: ConvAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    return _weights((a.out, inputs[0].c // a.groups, *a.kernel), bias=a.bias)


def _weights(shape: tuple[int, ...], *, bias: bool) -> tuple[ParamSpec, ...]:
    init = fan_in(prod(shape[1:]))
    weight = ParamSpec("weight", shape, init)
    return (weight, ParamSpec("bias", shape[:1], init)) if bias else (weight,)


def _conv_macs(a: ConvAttrs, inputs: tuple[ImageType], y: ImageType) -> int:
    """One per weight and position, without the bias."""
    return y.h * y.w * a.out * (inputs[0].c // a.groups) * prod(a.kernel)


def _conv_unit(a: ConvAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
    """A window where each channel is its own group, a product where the kernel is one pixel."""
    depthwise = a.groups == inputs[0].c == a.out
    if a.bias or not (depthwise or a.groups == 1):
        return None
    if a.kernel == a.stride == (1, 1) and a.margins == (0, 0) and not depthwise:
        return ChainUnit(product=a.out)
    window = ChainUnit(
        window="depthwise",
        kernel=a.kernel,
        stride=a.stride,
        dilation=a.dilation,
        padding=a.margins,
    )
    dense = {"window": "dense", "product": a.out}
    return window if depthwise else window.model_copy(update=dense)


CONV2D = OpSpec(
    "conv2d",
    "2-d convolution, bias-free by default",
    ConvAttrs,
    _conv,
    frozenset({"linear", "absorbs_affine"}),
    params=_kernel,
    macs=_conv_macs,
    widths=("out", "groups"),
    unit=_conv_unit,
)


class CropAttrs(Attrs):
    """Rows and columns dropped at the top and at the left."""

    top: Margin = 0
    left: Margin = 0


def _crop(a: CropAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "crop")
    if a.top >= x.h or a.left >= x.w:
        raise NasirError("E302", f"a crop of {a.top},{a.left} leaves nothing of {x.h}x{x.w} pixels")
    return replace(x, h=x.h - a.top, w=x.w - a.left)


CROP = OpSpec("crop", "drops rows at the top and columns at the left", CropAttrs, _crop, IS_LINEAR)


class PadAttrs(Attrs):
    """Rows and columns of zeros added at the bottom and at the right."""

    bottom: Margin = 0
    right: Margin = 0


def _pad(a: PadAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "pad")
    return replace(x, h=x.h + a.bottom, w=x.w + a.right)


_PAD = "adds zero rows at the bottom and zero columns at the right"
PAD = OpSpec("pad", _PAD, PadAttrs, _pad, IS_LINEAR)


class ChannelsAttrs(Attrs):
    """The index of the first channel, and the number of channels."""

    start: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    count: Size


def _channels(a: ChannelsAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "channels")
    if a.start + a.count > x.c:
        last = a.start + a.count - 1
        raise NasirError("E302", f"channels {a.start} to {last} are not all among 0 to {x.c - 1}")
    return replace(x, c=a.count)


_CHANNELS, _START = "`count` channels from number `start` on", ("start", "count")
CHANNELS = OpSpec("channels", _CHANNELS, ChannelsAttrs, _channels, IS_LINEAR, widths=_START)


class ChannelShuffleAttrs(Attrs):
    """`groups`: the number of equal groups whose channels are interleaved."""

    groups: Size


def _shuffle(a: ChannelShuffleAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "channel_shuffle")
    if x.c % a.groups:
        raise NasirError("E302", f"groups={a.groups} must divide {x.c} channels")
    return x


_SHUFFLE = "the first channel of each group, then the second of each, and so on"
CHANNEL_SHUFFLE = OpSpec("channel_shuffle", _SHUFFLE, ChannelShuffleAttrs, _shuffle, IS_LINEAR)


class SquareAttrs(Attrs):
    """`block`: the side of the squares of pixels whose values become channels, or come of them."""

    block: Size


def _deep(a: SquareAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "space_to_depth")
    if x.h % a.block or x.w % a.block:
        raise NasirError(
            "E302",
            f"{x.h}x{x.w} pixels are no squares of {a.block}x{a.block}",
            hint="choose a block that divides both sides, or pad the image first",
        )
    return ImageType(x.c * a.block**2, x.h // a.block, x.w // a.block)


def _spread(a: SquareAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "depth_to_space")
    if x.c % a.block**2:
        message = f"{x.c} channels are no multiple of the {a.block**2} pixels of a square"
        raise NasirError("E302", message)
    return ImageType(x.c // a.block**2, x.h * a.block, x.w * a.block)


_DEEP = "the pixels of each square as channels, (C, H, W) -> (C*b*b, H/b, W/b)"
_SPREAD = "the inverse of space_to_depth, (C*b*b, H, W) -> (C, H*b, W*b)"
SPACE_TO_DEPTH = OpSpec("space_to_depth", _DEEP, SquareAttrs, _deep, IS_LINEAR)
DEPTH_TO_SPACE = OpSpec("depth_to_space", _SPREAD, SquareAttrs, _spread, IS_LINEAR)
"""Channel c * b * b + i * b + j is row i, column j of the squares of channel c: the order of
torch's `pixel_unshuffle` and `pixel_shuffle` (arXiv:1609.05158, equation 4).
"""


class GroupNormAttrs(Attrs):
    """`groups`: the number of equal groups of channels."""

    groups: Size
    affine: bool = True
    eps: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1e-5


def _grouped(a: GroupNormAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "group_norm")
    check_groups(x, a.groups, x.c)
    return x


def scale_and_shift(a: Any, inputs: tuple[Type]) -> tuple[ParamSpec, ...]:
    """A weight and a bias for each channel, where `affine` says so."""
    shape = inputs[0].shape[:1]
    return (ParamSpec("weight", shape, ONES), ParamSpec("bias", shape, ZEROS)) if a.affine else ()


GROUP_NORM = OpSpec(
    "group_norm",
    "each group of channels minus its mean, over its deviation, for each example",
    GroupNormAttrs,
    _grouped,
    params=scale_and_shift,
    widths=("groups",),
)
"""Wu and He, arXiv:1803.08494, equations 1, 7; one group is their layer norm of a whole image."""


class BatchNormAttrs(Attrs):
    """`momentum` is the weight of the new statistics (torch's meaning; TensorFlow's is 1 - it).

    Without weights it can keep its running statistics in several `copies`, in training only.
    """

    affine: bool = True
    eps: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1e-5
    momentum: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    copies: Annotated[int, Field(ge=1, le=1 << 16)] = 1


def _normalised(a: BatchNormAttrs, inputs: tuple[Type]) -> Type:
    if a.affine and a.copies > 1:
        raise NasirError("E306", f"a batch norm with weights has no {a.copies} copies")
    if isinstance(inputs[0], (ImageType, VectorType)):
        return inputs[0]
    raise NasirError("E305", f"batch_norm takes an image or a vector, not {inputs[0]}")


def _statistics(a: BatchNormAttrs, inputs: tuple[ImageType | VectorType]) -> tuple[ParamSpec, ...]:
    shape = (inputs[0].c,)
    statistics = (
        ParamSpec("running_mean", shape, ZEROS, buffer=True),
        ParamSpec("running_var", shape, ONES, buffer=True),
    )
    if a.copies > 1:
        numbers = ("", *map(str, range(2, a.copies + 1)))
        return tuple(replace(s, name=f"{s.name}{n}") for n in numbers for s in statistics)
    if not a.affine:
        return statistics
    return (ParamSpec("weight", shape, ONES), ParamSpec("bias", shape, ZEROS), *statistics)


def _norm_unit(a: BatchNormAttrs, inputs: tuple[Type]) -> ChainUnit | None:
    if a.affine or a.copies > 1 or not isinstance(inputs[0], ImageType):
        return None
    return ChainUnit(eps=a.eps, momentum=a.momentum)


BATCH_NORM = OpSpec(
    "batch_norm",
    "batch normalisation over (N, H, W), of vectors over N, for each channel",
    BatchNormAttrs,
    _normalised,
    frozenset({"stateful", "channel_affine"}),
    params=_statistics,
    unit=_norm_unit,
)


class MaxPoolAttrs(Attrs):
    """Positions outside the image never win."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: MarginPair = (0, 0)


class AvgPoolAttrs(MaxPoolAttrs):
    """`count_padding`: include positions outside the image in the mean."""

    count_padding: bool = False


def _pool(a: MaxPoolAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect(ImageType, inputs[0], "a pool")
    (kh, kw), (ph, pw) = a.kernel, a.padding
    if 2 * ph > kh or 2 * pw > kw:
        raise NasirError("E306", f"padding {ph},{pw} exceeds half of the kernel {kh},{kw}")
    return slid(x, a.kernel, a.stride, a.padding, (1, 1))


def _pool_unit(a: MaxPoolAttrs, _: tuple[ImageType]) -> ChainUnit | None:
    mean = isinstance(a, AvgPoolAttrs)
    if mean and a.count_padding:
        return None
    kind = "avg" if mean else "max"
    return ChainUnit(window=kind, kernel=a.kernel, stride=a.stride, padding=a.padding)


_MAX, _MEAN = "maximum over a window", "mean over a window"
_KEEPS_ZERO: frozenset[Trait] = frozenset({"keeps_zero"})
MAX_POOL = OpSpec("max_pool", _MAX, MaxPoolAttrs, _pool, _KEEPS_ZERO, unit=_pool_unit)
AVG_POOL = OpSpec("avg_pool", _MEAN, AvgPoolAttrs, _pool, IS_LINEAR, unit=_pool_unit)


def _global(_: NoAttrs, inputs: tuple[ImageType]) -> ImageType:
    return replace(expect(ImageType, inputs[0], "global_pool"), h=1, w=1)


GLOBAL_POOL = OpSpec(
    "global_pool", "mean over all positions, (C, H, W) -> (C, 1, 1)", NoAttrs, _global, IS_LINEAR
)


def _flatten(_: NoAttrs, inputs: tuple[Type]) -> VectorType:
    return VectorType(elements(inputs[0]))


FLATTEN = OpSpec("flatten", "(C, H, W) -> (C*H*W)", NoAttrs, _flatten, IS_LINEAR)


class LinearAttrs(Attrs):
    """`out`: length of the result."""

    out: Size
    bias: bool = True


class ProjectAttrs(Attrs):
    """`out`: length of the result; `init`: the weight starts uniform in ±init."""

    out: Size
    init: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.04


def _product(op: str) -> Callable[[LinearAttrs | ProjectAttrs, tuple[Type]], VectorType]:
    def infer(a: LinearAttrs | ProjectAttrs, inputs: tuple[Type]) -> VectorType:
        expect(VectorType, inputs[0], op)
        return VectorType(a.out)

    return infer


def product_macs(a: Any, inputs: tuple[VectorType | SequenceType], _: Type) -> int:
    """One per weight, for a sequence at one step, without the bias."""
    return a.out * inputs[0].c


def _linear_params(a: LinearAttrs, inputs: tuple[VectorType]) -> tuple[ParamSpec, ...]:
    return _weights((a.out, inputs[0].c), bias=a.bias)


LINEAR = OpSpec(
    "linear",
    "linear map of a vector",
    LinearAttrs,
    _product("linear"),
    IS_LINEAR,
    params=_linear_params,
    macs=product_macs,
    widths=("out",),
)


def _weight(a: ProjectAttrs, inputs: tuple[VectorType]) -> tuple[ParamSpec, ...]:
    return (ParamSpec("weight", (inputs[0].c, a.out), Init("uniform", a.init)),)


PROJECT = OpSpec(
    "project",
    "x W without a bias, the weight (c, out) as recurrent cells have it",
    ProjectAttrs,
    _product("project"),
    IS_LINEAR,
    params=_weight,
    macs=product_macs,
    widths=("out",),
)


class ChunkAttrs(Attrs):
    """`part`: index of one of `of` equal parts."""

    part: Margin
    of: Size = 2


def _chunk(a: ChunkAttrs, inputs: tuple[Type]) -> VectorType:
    x = expect(VectorType, inputs[0], "chunk")
    if x.c % a.of:
        raise NasirError("E302", f"{x} cannot be cut into {a.of} equal parts")
    if a.part >= a.of:
        raise NasirError("E306", f"there is no part {a.part} of {a.of}: they count from 0")
    return VectorType(x.c // a.of)


CHUNK = OpSpec("chunk", "one of several equal parts of a vector", ChunkAttrs, _chunk, IS_LINEAR)

_MOVES = (CROP, PAD, CHANNELS, CHANNEL_SHUFFLE, SPACE_TO_DEPTH, DEPTH_TO_SPACE)
_IMAGES = (CONV2D, *_MOVES, BATCH_NORM, GROUP_NORM, MAX_POOL, AVG_POOL)
OPS = (*_IMAGES, GLOBAL_POOL, FLATTEN, LINEAR, PROJECT, CHUNK)
