"""Functions of each scalar in ONNX."""

from functools import partial

import onnx_ir as ir

from lowering.onnx.rule import Emitter, Rule, Values
from nasir.ops import NoAttrs
from nasir.ops.pointwise import HARDSIGMOID, HARDSWISH, RELU, SIGMOID, SILU, TANH


def _unary(e: Emitter, a: NoAttrs, inputs: Values, weights: Values, op: str) -> ir.Value:
    del a, weights
    return e.node(op, inputs[0])


def _silu(e: Emitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Swish came in opset 24: here it is two nodes."""
    del a, weights
    return e.node("Mul", inputs[0], e.part("gate", "Sigmoid", inputs[0]))


def _hardsigmoid(e: Emitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    """ONNX's own slope is 0.2, torch's 1/6."""
    del a, weights
    return e.node("HardSigmoid", inputs[0], alpha=1 / 6, beta=0.5)


RULES = (
    Rule(RELU, partial(_unary, op="Relu")),
    Rule(SIGMOID, partial(_unary, op="Sigmoid")),
    Rule(TANH, partial(_unary, op="Tanh")),
    Rule(SILU, _silu),
    Rule(HARDSIGMOID, _hardsigmoid),
    Rule(HARDSWISH, partial(_unary, op="HardSwish")),
)
