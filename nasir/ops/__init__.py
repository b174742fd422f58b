"""The primitive ops, declared once each: the room's one door."""

from nasir.ops import choice, conv, fused, linear, memory, merge, norm, pointwise, pool, sequence
from nasir.ops.spec import (
    Attrs,
    BodyAttrs,
    ChainUnit,
    Init,
    InitKind,
    Macro,
    NoAttrs,
    Op,
    OpSpec,
    Pair,
    ParamRef,
    ParamSpec,
    Size,
    Trait,
)
from nasir.table import Table

PRIMITIVES: Table[OpSpec] = Table(
    *conv.OPS,
    *norm.OPS,
    *pool.OPS,
    *pointwise.OPS,
    *merge.OPS,
    *linear.OPS,
    *choice.OPS,
    *sequence.OPS,
    *fused.OPS,
    *memory.OPS,
)

FAMILIES: dict[str, tuple[OpSpec, ...]] = {
    "conv": conv.OPS,
    "norm": norm.OPS,
    "pool": pool.OPS,
    "pointwise": pointwise.OPS,
    "merge": merge.OPS,
    "linear": linear.OPS,
    "choice": choice.OPS,
    "sequence": sequence.OPS,
    "fused": fused.OPS,
    "memory": memory.OPS,
}
"""The file of each primitive; every target has a mirror file of the same name."""

__all__ = [
    "FAMILIES",
    "PRIMITIVES",
    "Attrs",
    "BodyAttrs",
    "ChainUnit",
    "Init",
    "InitKind",
    "Macro",
    "NoAttrs",
    "Op",
    "OpSpec",
    "Pair",
    "ParamRef",
    "ParamSpec",
    "Size",
    "Trait",
]
