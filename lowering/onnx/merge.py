"""Sums, products and joins in ONNX."""

import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
from nasir.ops import NoAttrs
from nasir.ops.merge import ADD, CONCAT, MEAN, MUL, SUB


def _add(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Two values as Add, which runtimes fuse into the convolution before it."""
    del a, weights
    return e.node("Add" if len(inputs) == 2 else "Sum", *inputs)


def _mean(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    return e.node("Mean", *inputs)


def _mul(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """ONNX broadcasts the (N, C, 1, 1) side."""
    del a, weights
    return e.node("Mul", *inputs)


def _concat(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    return e.node("Concat", *inputs, axis=1)


def _sub(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    return e.node("Sub", *inputs)


RULES = (
    OnnxRule(ADD, _add),
    OnnxRule(MUL, _mul),
    OnnxRule(CONCAT, _concat),
    OnnxRule(SUB, _sub),
    OnnxRule(MEAN, _mean),
)
