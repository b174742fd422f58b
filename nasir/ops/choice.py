"""Ops that stand for the mixture, the absence or the noise of paths."""

from dataclasses import replace

from nasir.errors import NasirError
from nasir.ops.spec import (
    Attrs,
    Init,
    Margin,
    NoAttrs,
    OpSpec,
    Pair,
    ParamSpec,
    expect_image,
    with_draw,
)
from nasir.types import ImageType, SequenceType, Type, VectorType, WeightsType


class StrideAttrs(Attrs):
    """Every stride-th row and column is kept, starting with the first."""

    stride: Pair = (1, 1)


def _zeros(a: StrideAttrs, inputs: tuple[Type]) -> Type:
    """Of vectors and sequences too, which have no rows to leave out."""
    if isinstance(inputs[0], (VectorType, SequenceType)) and a.stride == (1, 1):
        return inputs[0]
    return _strided(a, (expect_image(inputs[0], "a strided op"),))


def _strided(a: StrideAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "a strided op")
    return replace(x, h=-(-x.h // a.stride[0]), w=-(-x.w // a.stride[1]))


ZERO = OpSpec(
    name="zero",
    summary="zeros of the (strided) input's shape",
    attrs=StrideAttrs,
    arity=(1, 1),
    infer=_zeros,
    traits=frozenset({"zero", "linear", "blind"}),
)


def _sample(a: StrideAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    shape = _strided(a, inputs).shape
    return (ParamSpec("value", (1, *shape), Init("normal", 1.0), buffer=True),)


FROZEN_GAUSSIAN = OpSpec(
    name="frozen_gaussian",
    summary="one draw from N(0, 1), kept as a buffer and used for every example",
    attrs=StrideAttrs,
    arity=(1, 1),
    infer=_strided,
    params=_sample,
    traits=frozenset({"blind"}),
)

_GAUSSIAN = OpSpec(
    name="gaussian",
    summary="a fresh draw from N(0, 1) of the (strided) input's shape, in training and inference",
    attrs=StrideAttrs,
    arity=(1, 1),
    infer=_strided,
    traits=frozenset({"random", "blind"}),
    frozen=FROZEN_GAUSSIAN,
)


def _seed(_: StrideAttrs, _inputs: tuple[Type, ...]) -> Type:
    """A whole number that the draw is made from: an image of noise would have to be kept."""
    return WeightsType(1)


GAUSSIAN, GAUSSIAN_DRAWN = with_draw(_GAUSSIAN, _seed)


class MixAttrs(Attrs):
    """`options`: for each value the entry of the weights that it is multiplied by."""

    options: tuple[Margin, ...]


def _mix(a: MixAttrs, inputs: tuple[Type, ...]) -> Type:
    weights, *values = inputs
    if not isinstance(weights, WeightsType):
        raise NasirError("E305", f"mix takes the weights of a choice first, not {weights}")
    if len(values) != len(a.options):
        raise NasirError("E306", f"mix has {len(values)} values and {len(a.options)} options")
    for option in a.options:
        if option >= weights.options:
            message = f"there is no option {option} of {weights.options}: they count from 0"
            raise NasirError("E306", message)
    for value in values:
        if value != values[0] or isinstance(value, WeightsType):
            raise NasirError("E305", f"mix takes values of one type, not {values[0]} and {value}")
    return values[0]


MIX = OpSpec(
    name="mix",
    summary="weighted sum of a choice's options, from left to right: (weights, values …)",
    attrs=MixAttrs,
    arity=(2, None),
    infer=_mix,
    traits=frozenset({"mixture"}),
)


def _drop_path(_: NoAttrs, inputs: tuple[Type, Type]) -> Type:
    if inputs[1] != WeightsType(1):
        raise NasirError("E305", f"drop_path takes a value and one probability, not {inputs[1]}")
    return inputs[0]


_DROP_PATH = OpSpec(
    name="drop_path",
    summary="in training, zeros for some examples; others are divided by the share that is kept",
    attrs=NoAttrs,
    arity=(2, 2),
    infer=_drop_path,
    traits=frozenset({"random", "training", "keeps_zero"}),
)


def _path_draw(_: NoAttrs, _inputs: tuple[Type, ...]) -> Type:
    """A number for each example."""
    return VectorType(1)


DROP_PATH, DROP_PATH_DRAWN = with_draw(_DROP_PATH, _path_draw)

OPS = (ZERO, GAUSSIAN, GAUSSIAN_DRAWN, FROZEN_GAUSSIAN, MIX, DROP_PATH, DROP_PATH_DRAWN)
