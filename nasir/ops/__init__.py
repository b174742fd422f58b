"""The primitive ops, declared once each: the room's one door."""

import copyreg

from nasir.ops import choice, conv, fused, linear, memory, merge, norm, pointwise, pool, sequence
from nasir.ops.spec import (
    Attrs,
    Body,
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


def _primitive_named(name: str) -> OpSpec:
    return PRIMITIVES[name]


copyreg.pickle(OpSpec, lambda op: (_primitive_named, (op.name,)))  # a copy is the op itself

__all__ = [
    "PRIMITIVES",
    "Attrs",
    "Body",
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
