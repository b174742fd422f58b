"""Lowers graphs to ONNX."""

from lowering.agreement import TOLERANCE, Comparison
from lowering.onnx.export import OnnxNetwork, compare, encode, to_onnx
from lowering.onnx.model import IR_VERSION, OPSET, RULES

__all__ = [
    "IR_VERSION",
    "OPSET",
    "RULES",
    "TOLERANCE",
    "Comparison",
    "OnnxNetwork",
    "compare",
    "encode",
    "to_onnx",
]
