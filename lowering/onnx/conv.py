"""Convolutions, cuts, margins and orders of channels in ONNX."""

import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
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


def _truncate(e: OnnxEmitter, a: TruncateAttrs, inputs: Values, weights: Values) -> ir.Value:
    """From the first channel to the end."""
    del weights
    zero = e.integers("start", 0)
    return e.node("Slice", inputs[0], zero, _count(e, "end", a.channels, zero), _axes(e))


def _rest(e: OnnxEmitter, a: RestAttrs, inputs: Values, weights: Values) -> ir.Value:
    del weights
    start = _count(e, "start", a.channels, e.integers("zero", 0))
    return e.node("Slice", inputs[0], start, e.integers("end", END), _axes(e))


def _count(e: OnnxEmitter, part: str, channels: int, zero: ir.Value) -> ir.Value:
    """A vector of one number: one of the call where the instances of a function differ in it."""
    number = e.part("width", "Constant", value_int=e.width("value_int", "channels", channels))
    return e.part(part, "Unsqueeze", number, zero)


def _axes(e: OnnxEmitter) -> ir.Value:
    """The axis of the channels."""
    return e.integers("axes", 1)


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
    OnnxRule(TRUNCATE, _truncate),
    OnnxRule(REST, _rest),
    OnnxRule(CHANNEL_SHUFFLE, _shuffle),
)
