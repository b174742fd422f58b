"""From a graph to ONNX: the room's one door."""

from lowering.agreement import TOLERANCE, Comparison
from lowering.onnx.export import encode, to_onnx
from lowering.onnx.model import IR_VERSION, OPSET, RULES
from lowering.onnx.session import OnnxNetwork, compare

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
