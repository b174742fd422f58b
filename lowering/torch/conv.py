"""Convolutions, cuts, margins and orders of channels in torch."""

import operator
from collections.abc import Callable
from itertools import accumulate
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from lowering.torch.layout import whole
from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops.conv import (
    CHANNEL_SHUFFLE,
    CHANNELS,
    CONV2D,
    CROP,
    PAD,
    ChannelsAttrs,
    ChannelShuffleAttrs,
    ConvAttrs,
    CropAttrs,
    PadAttrs,
)

Values = tuple[fx.Node, ...]


_THIN = 16
"""Images of fewer channels are strided before a 1x1 convolution, not by it."""


def strided_product(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int]
) -> Tensor:
    """A 1x1 convolution with a stride, for training.

    In torch 2.13, oneDNN writes beyond the gradient that it computes of such a convolution where
    the image is channels_last and has 8 channels or fewer.
    """
    if x.shape[1] >= _THIN or x.stride(1) != 1:
        return F.conv2d(x, weight, bias, stride)
    return F.conv2d(whole(x[..., :: stride[0], :: stride[1]]), weight, bias)


def _conv2d(e: TorchEmitter, a: ConvAttrs, inputs: Values, weights: Values) -> fx.Node:
    bias = weights[1] if a.bias else None
    pointwise = a.kernel == (1, 1) and a.margins == (0, 0) and a.groups == 1
    if e.training and pointwise and max(a.stride) > 1:
        return e.call(strided_product, inputs[0], weights[0], bias, a.stride)
    return e.call(F.conv2d, inputs[0], weights[0], bias, a.stride, a.margins, a.dilation, a.groups)


class _Crop(torch.autograd.Function):
    """An image without its first rows and columns; the gradient lies in memory as the image."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: int, left: int) -> Tensor:
        ctx.margin = (left, 0, top, 0)
        return x[..., top:, left:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride] - torch's is for any number
        return F.pad(whole(gradients[0]), ctx.margin), None, None


# torch leaves what `apply` returns untyped.
_apply = cast("Callable[..., Tensor]", _Crop.apply)  # pyright: ignore[reportUnknownMemberType] - as above


def crop(x: Tensor, top: int, left: int) -> Tensor:
    """An image without its first rows and columns, for training."""
    if torch.compiler.is_compiling():  # which lays out gradients itself
        return x[..., top:, left:]
    return _apply(x, top, left)


def _crop(e: TorchEmitter, a: CropAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    if e.training:
        return e.call(crop, inputs[0], a.top, a.left)
    cut = (..., slice(a.top, None), slice(a.left, None))
    return e.call(operator.getitem, inputs[0], cut)


def _pad(e: TorchEmitter, a: PadAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(F.pad, inputs[0], (0, a.right, 0, a.bottom))


def _channels(e: TorchEmitter, a: ChannelsAttrs, inputs: Values, weights: Values) -> fx.Node:
    """Pieces of one value are cut at once, and so is their gradient."""
    del weights
    spans = tuple(zip(accumulate(e.pieces, initial=0), e.pieces, strict=False))
    if (a.start, a.count) in spans:
        pieces = e.once(torch.split, inputs[0], e.pieces, 1)
        return e.call(operator.getitem, pieces, spans.index((a.start, a.count)))
    return e.call(operator.getitem, inputs[0], (slice(None), slice(a.start, a.start + a.count)))


def _shuffle(e: TorchEmitter, a: ChannelShuffleAttrs, inputs: Values, weights: Values) -> fx.Node:
    """One copy, which keeps the layout in memory."""
    del weights
    return e.call(F.channel_shuffle, inputs[0], a.groups)


RULES = (
    TorchRule(CONV2D, _conv2d),
    TorchRule(CROP, _crop),
    TorchRule(PAD, _pad),
    TorchRule(CHANNELS, _channels),
    TorchRule(CHANNEL_SHUFFLE, _shuffle),
)
