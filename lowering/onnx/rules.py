"""The rules of all families, as one table."""

from lowering.onnx import choice, conv, linear, merge, norm, pointwise, pool, sequence
from lowering.onnx.rule import OnnxRule
from nasir.table import Table

RULES: Table[OnnxRule] = Table(
    *conv.RULES,
    *norm.RULES,
    *pool.RULES,
    *pointwise.RULES,
    *merge.RULES,
    *linear.RULES,
    *choice.RULES,
    *sequence.RULES,
)
"""What to emit for each primitive, by its name."""
