"""From a graph to ONNX: the room's one door."""

from lowering.onnx.check import TOLERANCE, Comparison, compare
from lowering.onnx.export import encode, to_onnx
from lowering.onnx.model import IR_VERSION, OPSET
from lowering.onnx.rules import RULES
from lowering.onnx.session import OnnxNetwork

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
