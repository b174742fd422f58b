"""Convolutions, and the cuts, margins and orders of channels that go with them."""

from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field

from nasir.errors import NasirError
from nasir.ops.spec import (
    Attrs,
    ChainUnit,
    Margin,
    MarginPair,
    OpSpec,
    Pair,
    ParamSpec,
    Size,
    expect_image,
    fan_in,
)
from nasir.types import ImageType


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


def _infer(a: ConvAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "conv2d")
    if x.c % a.groups or a.out % a.groups:
        raise NasirError(
            "E302", f"groups={a.groups} must divide {x.c} input and {a.out} output channels"
        )
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = a.kernel, a.stride, a.margins, a.dilation
    return ImageType(a.out, window(x.h, kh, sh, ph, dh), window(x.w, kw, sw, pw, dw))


def _params(a: ConvAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    shape = (a.out, inputs[0].c // a.groups, *a.kernel)
    init = fan_in(shape[1] * shape[2] * shape[3])
    weight = ParamSpec("weight", shape, init)
    return (weight, ParamSpec("bias", (a.out,), init)) if a.bias else (weight,)


def _macs(a: ConvAttrs, inputs: tuple[ImageType], y: ImageType) -> int:
    """One for each weight at each position; the bias is not counted."""
    return y.h * y.w * a.out * (inputs[0].c // a.groups) * a.kernel[0] * a.kernel[1]


def _unit(a: ConvAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
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
    infer=_infer,
    params=_params,
    macs=_macs,
    traits=frozenset({"linear", "absorbs_affine"}),
    widths=("out", "groups"),
    unit=_unit,
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

OPS = (CONV2D, CROP, PAD, CHANNELS, CHANNEL_SHUFFLE)
