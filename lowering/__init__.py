"""From nasir's graph to torch, ONNX and plain Python: the package's one door."""

from lowering.to_onnx import IR_VERSION, OPSET, Comparison, compare, to_onnx
from lowering.to_python import to_python
from lowering.to_torch import (
    CompileWarning,
    Mixture,
    Network,
    SavedBytes,
    Store,
    Unrolled,
    compile,
    compiler_missing,
    first_order,
    load_weights,
    save_weights,
    saved_bytes,
    second_order,
    to_inference,
    to_torch,
)

__all__ = [
    "IR_VERSION",
    "OPSET",
    "Comparison",
    "CompileWarning",
    "Mixture",
    "Network",
    "SavedBytes",
    "Store",
    "Unrolled",
    "compare",
    "compile",
    "compiler_missing",
    "first_order",
    "load_weights",
    "save_weights",
    "saved_bytes",
    "second_order",
    "to_inference",
    "to_onnx",
    "to_python",
    "to_torch",
]
