"""Ops on whole values: functions of each scalar, sums and joins, mixtures, zeros and noise."""

from collections.abc import Callable
from dataclasses import replace

from nasir.errors import NasirError
from nasir.ops.spec import (
    Attrs,
    ChainUnit,
    Init,
    Margin,
    NoAttrs,
    OpSpec,
    Pair,
    ParamSpec,
    Trait,
    expect,
    with_draw,
)
from nasir.types import ImageType, SequenceType, Type, VectorType, WeightsType


def _unchanged(_: NoAttrs, inputs: tuple[Type]) -> Type:
    return inputs[0]


def _pointwise(name: str, summary: str, *traits: Trait) -> OpSpec:
    return OpSpec(name, summary, NoAttrs, _unchanged, frozenset({"elementwise", *traits}))


def _relu(_: NoAttrs, inputs: tuple[Type]) -> ChainUnit | None:
    return ChainUnit(relu=True) if isinstance(inputs[0], ImageType) else None


RELU = replace(_pointwise("relu", "max(x, 0)", "idempotent", "keeps_zero"), unit=_relu)
SIGMOID = _pointwise("sigmoid", "1 / (1 + exp(-x))")
TANH = _pointwise("tanh", "hyperbolic tangent", "keeps_zero")
SILU = _pointwise("silu", "x * sigmoid(x)", "keeps_zero")
HARDSIGMOID = _pointwise("hardsigmoid", "x / 6 + 1 / 2, cut to 0 and 1")
HARDSWISH = _pointwise("hardswish", "x * hardsigmoid(x)", "keeps_zero")
GELU = _pointwise("gelu", "x * (1 + erf(x / sqrt(2))) / 2", "keeps_zero")
"""x times the normal distribution's share below x: Hendrycks & Gimpel, arXiv:1606.08415, exact."""

POINTWISE = (RELU, SIGMOID, TANH, SILU, HARDSIGMOID, HARDSWISH, GELU)


def _equal(op: str) -> Callable[[NoAttrs, tuple[Type, ...]], Type]:
    def infer(_: NoAttrs, inputs: tuple[Type, ...]) -> Type:
        first = inputs[0]
        for other in inputs[1:]:
            if other != first:
                raise NasirError("E305", f"{op} takes values of one type, not {first} and {other}")
        return first

    return infer


def _reduction(name: str, summary: str, *traits: Trait) -> OpSpec:
    every = frozenset[Trait]({"elementwise", "linear", *traits})
    return OpSpec(name, summary, NoAttrs, _equal(name), every, (1, None))


ADD = _reduction("add", "sum of all inputs, from left to right", "commutative", "sum")
MEAN = _reduction(
    "mean", "sum of all inputs, from left to right, over their number", "commutative", "join"
)
SUB = replace(_reduction("sub", "the first input minus the second"), arity=(2, 2))


def _mul(_: NoAttrs, inputs: tuple[Type, Type]) -> Type:
    a, b = inputs
    if a == b:
        return a
    if isinstance(a, ImageType) and isinstance(b, ImageType) and a.c == b.c:
        if (a.h, a.w) == (1, 1):
            return b
        if (b.h, b.w) == (1, 1):
            return a
    raise NasirError(
        "E305",
        f"mul takes two values of one type, or an image and one factor a channel, not {a} and {b}",
    )


MUL = OpSpec(
    "mul",
    "product; a (C, 1, 1) input scales the channels of the other",
    NoAttrs,
    _mul,
    frozenset({"commutative"}),
    (2, 2),
)


def _concat(_: NoAttrs, inputs: tuple[Type, ...]) -> Type:
    if all(isinstance(value, VectorType) for value in inputs):
        return VectorType(sum(value.shape[0] for value in inputs))
    images = [expect(ImageType, value, "concat") for value in inputs]
    for other in images[1:]:
        if (other.h, other.w) != (images[0].h, images[0].w):
            message = f"concat takes images of one size, not {images[0]} and {other}"
            raise NasirError("E305", message)
    return replace(images[0], c=sum(image.c for image in images))


_CONCAT = "channels of all inputs, one after the other"
CONCAT = OpSpec("concat", _CONCAT, NoAttrs, _concat, frozenset({"linear", "join"}), (1, None))


class StrideAttrs(Attrs):
    """Keeps every `stride`-th row and column, from the first."""

    stride: Pair = (1, 1)


def _zeros(a: StrideAttrs, inputs: tuple[Type]) -> Type:
    """Vectors and sequences, which have no rows to leave out, keep their type."""
    if isinstance(inputs[0], (VectorType, SequenceType)) and a.stride == (1, 1):
        return inputs[0]
    return _strided(a, inputs)


def _strided(a: StrideAttrs, inputs: tuple[Type]) -> ImageType:
    x = expect(ImageType, inputs[0], "a strided op")
    return replace(x, h=-(-x.h // a.stride[0]), w=-(-x.w // a.stride[1]))


_ZERO = "zeros of the (strided) input's shape"
ZERO = OpSpec("zero", _ZERO, StrideAttrs, _zeros, frozenset({"linear", "zero", "blind"}))


def _sample(a: StrideAttrs, inputs: tuple[ImageType]) -> tuple[ParamSpec, ...]:
    shape = _strided(a, inputs).shape
    return (ParamSpec("value", (1, *shape), Init("normal", 1.0), buffer=True),)


FROZEN_GAUSSIAN = OpSpec(
    "frozen_gaussian",
    "one draw from N(0, 1), kept as a buffer and used for every example",
    StrideAttrs,
    _strided,
    frozenset({"blind"}),
    params=_sample,
)


def _seed(_: StrideAttrs, _inputs: tuple[Type, ...]) -> Type:
    """A seed, the number of the first example in the batch, and that of all of its examples.

    Storing the noise itself would take the memory of an image.
    """
    return WeightsType(3)


_GAUSSIAN = "a fresh draw from N(0, 1) of the (strided) input's shape, in training and inference"
GAUSSIAN, GAUSSIAN_DRAWN = with_draw(
    OpSpec(
        "gaussian",
        _GAUSSIAN,
        StrideAttrs,
        _strided,
        frozenset({"random", "blind"}),
        frozen=FROZEN_GAUSSIAN,
    ),
    _seed,
)


class MixAttrs(Attrs):
    """`options`: the index of each value's weight."""

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


_MIX = "weighted sum of a choice's options, from left to right: (weights, values …)"
MIX = OpSpec("mix", _MIX, MixAttrs, _mix, frozenset({"mixture"}), (2, None))


def _drop_path(_: NoAttrs, inputs: tuple[Type, Type]) -> Type:
    if inputs[1] != WeightsType(1):
        raise NasirError("E305", f"drop_path takes a value and one probability, not {inputs[1]}")
    return inputs[0]


def _path_draw(_: NoAttrs, _inputs: tuple[Type, ...]) -> Type:
    """A random number per example."""
    return VectorType(1)


_DROP_PATH = OpSpec(
    "drop_path",
    "in training, zeros for some examples; others are divided by the share that is kept",
    NoAttrs,
    _drop_path,
    frozenset({"random", "training", "keeps_zero"}),
    (2, 2),
)
DROP_PATH, DROP_PATH_DRAWN = with_draw(_DROP_PATH, _path_draw)

_SUMS = (ADD, MEAN, MUL, CONCAT, SUB)
_RANDOM = (GAUSSIAN, GAUSSIAN_DRAWN, FROZEN_GAUSSIAN)
OPS = (*POINTWISE, *_SUMS, ZERO, *_RANDOM, MIX, DROP_PATH, DROP_PATH_DRAWN)
