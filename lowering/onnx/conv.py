"""Convolutions, cuts, margins and orders of channels in ONNX."""

import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
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

END = (1 << 63) - 1
"""ONNX's way to say "to the end" of an axis."""


def _conv2d(e: OnnxEmitter, a: ConvAttrs, inputs: Values, weights: Values) -> ir.Value:
    return e.node(
        "Conv",
        inputs[0],
        *weights,
        kernel_shape=a.kernel,
        strides=a.stride,
        pads=(*a.margins, *a.margins),
        dilations=a.dilation,
        group=e.width("group", "groups", a.groups),
    )


def _crop(e: OnnxEmitter, a: CropAttrs, inputs: Values, weights: Values) -> ir.Value:
    del weights
    starts = e.integers("starts", a.top, a.left)
    return e.node(
        "Slice", inputs[0], starts, e.integers("ends", END, END), e.integers("axes", 2, 3)
    )


def _pad(e: OnnxEmitter, a: PadAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Zeros: Pad's default value."""
    del weights
    pads = e.integers("pads", 0, 0, a.bottom, a.right)
    return e.node("Pad", inputs[0], pads, None, e.integers("axes", 2, 3))


def _channels(e: OnnxEmitter, a: ChannelsAttrs, inputs: Values, weights: Values) -> ir.Value:
    del weights
    start = _number(e, "start", a.start)
    end = e.part("end", "Add", start, _number(e, "count", a.count))
    return e.node("Slice", inputs[0], start, end, e.integers("axes", 1))


def _number(e: OnnxEmitter, name: str, number: int) -> ir.Value:
    """A vector of one number: one of the call where the instances of a function differ in it."""
    if name not in e.widths:
        return e.integers(name, number)
    width = e.part("width", "Constant", value_int=e.width("value_int", name, number))
    return e.part(name, "Unsqueeze", width, e.integers("zero", 0))


def _shuffle(e: OnnxEmitter, a: ChannelShuffleAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Groups and their members become two axes, which are swapped; sizes are the input's own."""
    del weights
    x = inputs[0]
    size = e.part("size", "Shape", x, start=2)
    groups = e.part("groups", "Concat", e.integers("split", 0, a.groups, -1), size, axis=0)
    parts = e.part("parts", "Reshape", x, groups)
    swapped = e.part("swapped", "Transpose", parts, perm=(0, 2, 1, 3, 4))
    return e.node("Reshape", swapped, e.part("shape", "Shape", x))


RULES = (
    OnnxRule(CONV2D, _conv2d),
    OnnxRule(CROP, _crop),
    OnnxRule(PAD, _pad),
    OnnxRule(CHANNELS, _channels),
    OnnxRule(CHANNEL_SHUFFLE, _shuffle),
)
