"""From a graph to ONNX: the room's one door."""

from lowering.to_onnx.check import TOLERANCE, Comparison, compare
from lowering.to_onnx.export import encode, to_onnx
from lowering.to_onnx.model import IR_VERSION, OPSET
from lowering.to_onnx.rules import RULES
from lowering.to_onnx.session import OnnxNetwork

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
