"""Batch norm in ONNX, as it is in inference."""

import numpy as np
import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
from nasir.ops.norm import BATCH_NORM, BatchNormAttrs


def _batch_norm(e: OnnxEmitter, a: BatchNormAttrs, inputs: Values, weights: Values) -> ir.Value:
    *affine, mean, variance = weights
    scale, bias = affine or _identity(e, mean)
    return e.node("BatchNormalization", inputs[0], scale, bias, mean, variance, epsilon=a.eps)


def _identity(e: OnnxEmitter, mean: ir.Value) -> tuple[ir.Value, ir.Value]:
    """Ones and zeros, as many as there are channels: ONNX has no batch norm without an affine."""
    shape = e.part("shape", "Shape", mean)
    one, zero = (ir.tensor(np.array([number], dtype=np.float32)) for number in (1, 0))
    return (
        e.part("ones", "ConstantOfShape", shape, value=one),
        e.part("zeros", "ConstantOfShape", shape, value=zero),
    )


RULES = (OnnxRule(BATCH_NORM, _batch_norm),)
