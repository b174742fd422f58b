"""The primitive ops, declared once each."""

import copyreg

from nasir.ops import arithmetic, fused, layers, sequence
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
    ParamRef,
    ParamSpec,
    Size,
)
from nasir.table import Table

PRIMITIVES: Table[OpSpec] = Table(
    *layers.OPS,
    *arithmetic.OPS,
    *sequence.OPS,
    *fused.OPS,
    kinds=("primitive",),
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
    "ParamRef",
    "ParamSpec",
    "Size",
]
