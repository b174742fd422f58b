"""All rules, as one table."""

from lowering.python import choice, conv, linear, merge, norm, pointwise, pool, sequence
from lowering.python.rule import PythonRule
from nasir import NasirError
from nasir.ops import Op
from nasir.table import Table

RULES: Table[PythonRule] = Table(
    *conv.RULES,
    *norm.RULES,
    *pool.RULES,
    *pointwise.RULES,
    *merge.RULES,
    *linear.RULES,
    *choice.RULES,
    *sequence.RULES,
)


def rule(op: Op) -> PythonRule:
    """The rule of a primitive. Raises E306 when there is none."""
    if op.name not in RULES:
        raise NasirError("E306", f"Python has no rule for the op '{op.name}'")
    return RULES[op.name]
