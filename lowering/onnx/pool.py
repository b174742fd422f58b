"""Pools in ONNX."""

import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
from nasir.ops import NoAttrs
from nasir.ops.pool import AVG_POOL, GLOBAL_POOL, MAX_POOL, AvgPoolAttrs, MaxPoolAttrs


def _max_pool(e: OnnxEmitter, a: MaxPoolAttrs, inputs: Values, weights: Values) -> ir.Value:
    """MaxPool pads with -inf, so that positions outside never win."""
    del weights
    pads = (*a.padding, *a.padding)
    return e.node("MaxPool", inputs[0], kernel_shape=a.kernel, strides=a.stride, pads=pads)


def _avg_pool(e: OnnxEmitter, a: AvgPoolAttrs, inputs: Values, weights: Values) -> ir.Value:
    del weights
    return e.node(
        "AveragePool",
        inputs[0],
        kernel_shape=a.kernel,
        strides=a.stride,
        pads=(*a.padding, *a.padding),
        count_include_pad=int(a.count_padding),
    )


def _global_pool(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    return e.node("GlobalAveragePool", inputs[0])


RULES = (
    OnnxRule(MAX_POOL, _max_pool),
    OnnxRule(AVG_POOL, _avg_pool),
    OnnxRule(GLOBAL_POOL, _global_pool),
)
