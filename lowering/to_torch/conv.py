"""Convolutions, cuts, margins and orders of channels in torch."""

import operator

import torch.nn.functional as F
from torch import fx

from lowering.to_torch.rule import Emitter, Rule
from nasir.ops.conv import (
    CHANNEL_SHUFFLE,
    CONV2D,
    CROP,
    PAD,
    REST,
    TRUNCATE,
    ChannelShuffleAttrs,
    ConvAttrs,
    CropAttrs,
    PadAttrs,
    RestAttrs,
    TruncateAttrs,
)

Values = tuple[fx.Node, ...]


def _conv2d(e: Emitter, a: ConvAttrs, inputs: Values, weights: Values) -> fx.Node:
    bias = weights[1] if a.bias else None
    return e.call(F.conv2d, inputs[0], weights[0], bias, a.stride, a.margins, a.dilation, a.groups)


def _crop(e: Emitter, a: CropAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    cut = (..., slice(a.top, None), slice(a.left, None))
    return e.call(operator.getitem, inputs[0], cut)


def _pad(e: Emitter, a: PadAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(F.pad, inputs[0], (0, a.right, 0, a.bottom))


def _truncate(e: Emitter, a: TruncateAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(operator.getitem, inputs[0], (slice(None), slice(None, a.channels)))


def _rest(e: Emitter, a: RestAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(operator.getitem, inputs[0], (slice(None), slice(a.channels, None)))


def _shuffle(e: Emitter, a: ChannelShuffleAttrs, inputs: Values, weights: Values) -> fx.Node:
    """One copy, which keeps the layout in memory."""
    del weights
    return e.call(F.channel_shuffle, inputs[0], a.groups)


RULES = (
    Rule(CONV2D, _conv2d),
    Rule(CROP, _crop),
    Rule(PAD, _pad),
    Rule(TRUNCATE, _truncate),
    Rule(REST, _rest),
    Rule(CHANNEL_SHUFFLE, _shuffle),
)
