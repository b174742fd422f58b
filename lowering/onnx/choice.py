"""Mixtures, zeros and noise in ONNX. The batch is symbolic: shapes are read from the input."""

import numpy as np
import onnx_ir as ir

from lowering.onnx.rule import END, OnnxEmitter, OnnxRule, Values
from nasir.ops.choice import (
    DROP_PATH,
    FROZEN_GAUSSIAN,
    GAUSSIAN,
    MIX,
    ZERO,
    MixAttrs,
    StrideAttrs,
)
from nasir.ops.spec import NoAttrs


def _strided(e: OnnxEmitter, a: StrideAttrs, x: ir.Value) -> ir.Value:
    if a.stride == (1, 1):
        return x
    return e.part(
        "strided",
        "Slice",
        x,
        e.integers("starts", 0, 0),
        e.integers("ends", END, END),
        e.integers("axes", 2, 3),
        e.integers("steps", *a.stride),
    )


def _zero(e: OnnxEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Plain zeros: a NaN in the input does not pass, unlike 0 * x."""
    del weights
    shape = e.part("shape", "Shape", _strided(e, a, inputs[0]))
    return e.node("ConstantOfShape", shape, value=ir.tensor(np.zeros(1, dtype=np.float32)))


def _gaussian(e: OnnxEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Without a seed, so that every run draws anew."""
    del weights
    return e.node("RandomNormalLike", _strided(e, a, inputs[0]), mean=0.0, scale=1.0)


def _frozen(e: OnnxEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> ir.Value:
    """The buffer (1, C, H, W) once for each example."""
    del a
    batch = e.part("batch", "Shape", inputs[0], start=0, end=1)
    shape = e.part("shape", "Concat", batch, e.integers("ones", 1, 1, 1), axis=0)
    return e.node("Expand", weights[0], shape)


def _mix(e: OnnxEmitter, a: MixAttrs, inputs: Values, weights: Values) -> ir.Value:
    """ONNX broadcasts the single weights."""
    del weights
    terms: list[ir.Value] = []
    for value, option in zip(inputs[1:], a.options, strict=True):
        weight = e.part("weight", "Gather", inputs[0], e.integers("option", option), axis=0)
        terms.append(e.part("term", "Mul", value, weight))
    return e.node("Sum", *terms)


def _drop_path(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Nothing is dropped."""
    del a, weights
    return e.node("Identity", inputs[0])


RULES = (
    OnnxRule(ZERO, _zero),
    OnnxRule(GAUSSIAN, _gaussian),
    OnnxRule(FROZEN_GAUSSIAN, _frozen),
    OnnxRule(MIX, _mix),
    OnnxRule(DROP_PATH, _drop_path),
)
