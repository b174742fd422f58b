"""Functions of each scalar in ONNX."""

from functools import partial

import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
from nasir.ops import NoAttrs
from nasir.ops.pointwise import HARDSIGMOID, HARDSWISH, RELU, SIGMOID, SILU, TANH


def _unary(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values, op: str) -> ir.Value:
    del a, weights
    return e.node(op, inputs[0])


def _silu(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Swish came in opset 24: here it is two nodes."""
    del a, weights
    return e.node("Mul", inputs[0], e.part("gate", "Sigmoid", inputs[0]))


def _hardsigmoid(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """ONNX's own slope is 0.2, torch's 1/6."""
    del a, weights
    return e.node("HardSigmoid", inputs[0], alpha=1 / 6, beta=0.5)


RULES = (
    OnnxRule(RELU, partial(_unary, op="Relu")),
    OnnxRule(SIGMOID, partial(_unary, op="Sigmoid")),
    OnnxRule(TANH, partial(_unary, op="Tanh")),
    OnnxRule(SILU, _silu),
    OnnxRule(HARDSIGMOID, _hardsigmoid),
    OnnxRule(HARDSWISH, partial(_unary, op="HardSwish")),
)
