"""From nasir's graph to torch, ONNX and plain Python: the package's one door."""

from lowering.to_onnx import IR_VERSION, OPSET, Comparison, compare, to_onnx
from lowering.to_python import to_python
from lowering.to_torch import (
    CompileWarning,
    Decision,
    Network,
    Policy,
    Store,
    Widened,
    compile,
    compiler_missing,
    load_weights,
    policy,
    save_weights,
    to_inference,
    to_torch,
    widen,
)

__all__ = [
    "IR_VERSION",
    "OPSET",
    "Comparison",
    "CompileWarning",
    "Decision",
    "Network",
    "Policy",
    "Store",
    "Widened",
    "compare",
    "compile",
    "compiler_missing",
    "load_weights",
    "policy",
    "save_weights",
    "to_inference",
    "to_onnx",
    "to_python",
    "to_torch",
    "widen",
]
