"""Lowers graphs to ONNX."""

from lowering.agreement import TOLERANCE, Comparison
from lowering.onnx.export import OnnxNetwork, compare, encode, to_onnx
from lowering.onnx.model import RULES
from lowering.onnx.rule import IR_VERSION, OPSET, Dialect

__all__ = [
    "IR_VERSION",
    "OPSET",
    "RULES",
    "TOLERANCE",
    "Comparison",
    "Dialect",
    "OnnxNetwork",
    "compare",
    "encode",
    "to_onnx",
]
