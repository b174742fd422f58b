"""Layers of images and vectors: convolutions, cuts and margins, batch norms, pools, linear maps."""

from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field

from nasir.errors import NasirError
from nasir.ops.spec import (
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
    expect_image,
    expect_vector,
    fan_in,
)
from nasir.types import ImageType, Type, VectorType, elements


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


def _conv(a: ConvAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "conv2d")
    if x.c % a.groups or a.out % a.groups:
        raise NasirError(
            "E302", f"groups={a.groups} must divide {x.c} input and {a.out} output channels"
        )
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = a.kernel, a.stride, a.margins, a.dilation
    return ImageType(a.out, window(x.h, kh, sh, ph, dh), window(x.w, kw, sw, pw, dw))


def _kernel(a: ConvAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    shape = (a.out, inputs[0].c // a.groups, *a.kernel)
    init = fan_in(shape[1] * shape[2] * shape[3])
    weight = ParamSpec("weight", shape, init)
    return (weight, ParamSpec("bias", (a.out,), init)) if a.bias else (weight,)


def _conv_macs(a: ConvAttrs, inputs: tuple[ImageType], y: ImageType) -> int:
    """One for each weight at each position; the bias is not counted."""
    return y.h * y.w * a.out * (inputs[0].c // a.groups) * a.kernel[0] * a.kernel[1]


def _conv_unit(a: ConvAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
    """A window where each channel is its own group, a product where the kernel is one pixel."""
    if a.bias:
        return None
    if a.groups == inputs[0].c == a.out:
        return ChainUnit(
            window="depthwise",
            kernel=a.kernel,
            stride=a.stride,
            dilation=a.dilation,
            padding=a.margins,
        )
    one = (1, 1)
    plain = a.kernel == a.stride == one and a.margins == (0, 0) and a.groups == 1
    return ChainUnit(product=a.out) if plain else None


CONV2D = OpSpec(
    name="conv2d",
    summary="2-d convolution, bias-free by default",
    attrs=ConvAttrs,
    arity=(1, 1),
    infer=_conv,
    params=_kernel,
    macs=_conv_macs,
    traits=frozenset({"linear", "absorbs_affine"}),
    widths=("out", "groups"),
    unit=_conv_unit,
)


class CropAttrs(Attrs):
    """Rows and columns dropped at the top and at the left."""

    top: Margin = 0
    left: Margin = 0


def _crop(a: CropAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "crop")
    if a.top >= x.h or a.left >= x.w:
        raise NasirError("E302", f"a crop of {a.top},{a.left} leaves nothing of {x.h}x{x.w} pixels")
    return replace(x, h=x.h - a.top, w=x.w - a.left)


CROP = OpSpec(
    name="crop",
    summary="drops rows at the top and columns at the left",
    attrs=CropAttrs,
    arity=(1, 1),
    infer=_crop,
    traits=frozenset({"linear"}),
)


class PadAttrs(Attrs):
    """Zero rows and columns added at the bottom and at the right."""

    bottom: Margin = 0
    right: Margin = 0


def _pad(a: PadAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "pad")
    return replace(x, h=x.h + a.bottom, w=x.w + a.right)


PAD = OpSpec(
    name="pad",
    summary="adds zero rows at the bottom and zero columns at the right",
    attrs=PadAttrs,
    arity=(1, 1),
    infer=_pad,
    traits=frozenset({"linear"}),
)


class ChannelsAttrs(Attrs):
    """The first channel, from 0, and how many there are from it on."""

    start: Annotated[int, Field(ge=0, le=1 << 20)] = 0
    count: Size


def _channels(a: ChannelsAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "channels")
    if a.start + a.count > x.c:
        last = a.start + a.count - 1
        raise NasirError("E302", f"channels {a.start} to {last} are not all among 0 to {x.c - 1}")
    return replace(x, c=a.count)


CHANNELS = OpSpec(
    name="channels",
    summary="`count` channels from number `start` on",
    attrs=ChannelsAttrs,
    arity=(1, 1),
    infer=_channels,
    traits=frozenset({"linear"}),
    widths=("start", "count"),
)


class ChannelShuffleAttrs(Attrs):
    """`groups`: how many equal groups of channels are dealt out in turns."""

    groups: Size


def _shuffle(a: ChannelShuffleAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "channel_shuffle")
    if x.c % a.groups:
        raise NasirError("E302", f"groups={a.groups} must divide {x.c} channels")
    return x


CHANNEL_SHUFFLE = OpSpec(
    name="channel_shuffle",
    summary="the first channel of each group, then the second of each, and so on",
    attrs=ChannelShuffleAttrs,
    arity=(1, 1),
    infer=_shuffle,
    traits=frozenset({"linear"}),
)


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
    name="batch_norm",
    summary="batch normalisation over (N, H, W), of vectors over N, for each channel",
    attrs=BatchNormAttrs,
    arity=(1, 1),
    infer=_normalised,
    params=_statistics,
    traits=frozenset({"stateful", "channel_affine"}),
    unit=_norm_unit,
)


class MaxPoolAttrs(Attrs):
    """Positions outside the image never win."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: MarginPair = (0, 0)


class AvgPoolAttrs(MaxPoolAttrs):
    """`count_padding`: whether positions outside the image count in the mean."""

    count_padding: bool = False


def _pool(a: MaxPoolAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "a pool")
    (kh, kw), (sh, sw), (ph, pw) = a.kernel, a.stride, a.padding
    if 2 * ph > kh or 2 * pw > kw:
        raise NasirError("E306", f"padding {ph},{pw} exceeds half of the kernel {kh},{kw}")
    return replace(x, h=window(x.h, kh, sh, ph), w=window(x.w, kw, sw, pw))


def _maximum(a: MaxPoolAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
    del inputs
    return ChainUnit(window="max", kernel=a.kernel, stride=a.stride, padding=a.padding)


def _average(a: AvgPoolAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
    del inputs
    if a.count_padding:
        return None
    return ChainUnit(window="avg", kernel=a.kernel, stride=a.stride, padding=a.padding)


MAX_POOL = OpSpec(
    name="max_pool",
    summary="maximum over a window",
    attrs=MaxPoolAttrs,
    arity=(1, 1),
    infer=_pool,
    traits=frozenset({"keeps_zero"}),
    unit=_maximum,
)

AVG_POOL = OpSpec(
    name="avg_pool",
    summary="mean over a window",
    attrs=AvgPoolAttrs,
    arity=(1, 1),
    infer=_pool,
    traits=frozenset({"linear"}),
    unit=_average,
)


def _global(_: NoAttrs, inputs: tuple[ImageType]) -> ImageType:
    return replace(expect_image(inputs[0], "global_pool"), h=1, w=1)


GLOBAL_POOL = OpSpec(
    name="global_pool",
    summary="mean over all positions, (C, H, W) -> (C, 1, 1)",
    attrs=NoAttrs,
    arity=(1, 1),
    infer=_global,
    traits=frozenset({"linear"}),
)


def _flatten(_: NoAttrs, inputs: tuple[Type]) -> VectorType:
    return VectorType(elements(inputs[0]))


FLATTEN = OpSpec(
    name="flatten",
    summary="(C, H, W) -> (C*H*W)",
    attrs=NoAttrs,
    arity=(1, 1),
    infer=_flatten,
    traits=frozenset({"linear"}),
)


class LinearAttrs(Attrs):
    """`out`: length of the result."""

    out: Size
    bias: bool = True


def _linear(a: LinearAttrs, inputs: tuple[Type]) -> VectorType:
    expect_vector(inputs[0], "linear")
    return VectorType(a.out)


def _linear_params(a: LinearAttrs, inputs: tuple[VectorType]) -> tuple[ParamSpec, ...]:
    init = fan_in(inputs[0].c)
    weight = ParamSpec("weight", (a.out, inputs[0].c), init)
    return (weight, ParamSpec("bias", (a.out,), init)) if a.bias else (weight,)


def _linear_macs(a: LinearAttrs, inputs: tuple[VectorType], _: VectorType) -> int:
    """One for each weight; the bias is not counted."""
    return a.out * inputs[0].c


LINEAR = OpSpec(
    name="linear",
    summary="linear map of a vector",
    attrs=LinearAttrs,
    arity=(1, 1),
    infer=_linear,
    params=_linear_params,
    macs=_linear_macs,
    traits=frozenset({"linear"}),
    widths=("out",),
)


class ProjectAttrs(Attrs):
    """`out`: length of the result; `init`: the weight starts uniform in ±init."""

    out: Size
    init: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.04


def _project(a: ProjectAttrs, inputs: tuple[Type]) -> VectorType:
    expect_vector(inputs[0], "project")
    return VectorType(a.out)


def _weight(a: ProjectAttrs, inputs: tuple[VectorType]) -> tuple[ParamSpec, ...]:
    return (ParamSpec("weight", (inputs[0].c, a.out), Init("uniform", a.init)),)


def _products(a: ProjectAttrs, inputs: tuple[VectorType], _: VectorType) -> int:
    """One for each weight."""
    return a.out * inputs[0].c


PROJECT = OpSpec(
    name="project",
    summary="x W without a bias, the weight (c, out) as recurrent cells have it",
    attrs=ProjectAttrs,
    arity=(1, 1),
    infer=_project,
    params=_weight,
    macs=_products,
    traits=frozenset({"linear"}),
    widths=("out",),
)


class ChunkAttrs(Attrs):
    """The part number `part`, from 0, of `of` equal parts."""

    part: Margin
    of: Size = 2


def _chunk(a: ChunkAttrs, inputs: tuple[Type]) -> VectorType:
    x = expect_vector(inputs[0], "chunk")
    if x.c % a.of:
        raise NasirError("E302", f"{x} cannot be cut into {a.of} equal parts")
    if a.part >= a.of:
        raise NasirError("E306", f"there is no part {a.part} of {a.of}: they count from 0")
    return VectorType(x.c // a.of)


CHUNK = OpSpec(
    name="chunk",
    summary="one of several equal parts of a vector",
    attrs=ChunkAttrs,
    arity=(1, 1),
    infer=_chunk,
    traits=frozenset({"linear"}),
)

OPS = (
    CONV2D,
    CROP,
    PAD,
    CHANNELS,
    CHANNEL_SHUFFLE,
    BATCH_NORM,
    MAX_POOL,
    AVG_POOL,
    GLOBAL_POOL,
    FLATTEN,
    LINEAR,
    PROJECT,
    CHUNK,
)
