"""Functions of each scalar by itself."""

from dataclasses import replace

from nasir.ops.spec import ChainUnit, NoAttrs, OpSpec, Trait
from nasir.types import ImageType, Type


def _same(_: NoAttrs, inputs: tuple[Type]) -> Type:
    return inputs[0]


def _pointwise(name: str, summary: str, *traits: Trait) -> OpSpec:
    return OpSpec(
        name=name,
        summary=summary,
        attrs=NoAttrs,
        arity=(1, 1),
        infer=_same,
        traits=frozenset({"elementwise", *traits}),
    )


def _relu(_: NoAttrs, inputs: tuple[Type]) -> ChainUnit | None:
    return ChainUnit(relu=True) if isinstance(inputs[0], ImageType) else None


RELU = replace(_pointwise("relu", "max(x, 0)", "idempotent", "keeps_zero"), unit=_relu)
SIGMOID = _pointwise("sigmoid", "1 / (1 + exp(-x))")
TANH = _pointwise("tanh", "hyperbolic tangent", "keeps_zero")
SILU = _pointwise("silu", "x * sigmoid(x)", "keeps_zero")
HARDSIGMOID = _pointwise("hardsigmoid", "x / 6 + 1 / 2, cut to 0 and 1")
HARDSWISH = _pointwise("hardswish", "x * hardsigmoid(x)", "keeps_zero")

OPS = (RELU, SIGMOID, TANH, SILU, HARDSIGMOID, HARDSWISH)
