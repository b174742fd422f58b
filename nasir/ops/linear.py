"""Vectors: flattening, cutting and linear maps."""

from typing import Annotated

from pydantic import Field

from nasir.errors import NasirError
from nasir.ops.spec import (
    Attrs,
    Init,
    Margin,
    NoAttrs,
    OpSpec,
    ParamSpec,
    Size,
    expect_vector,
    fan_in,
)
from nasir.types import Type, VectorType, elements


def _flatten(_: NoAttrs, inputs: tuple[Type]) -> VectorType:
    return VectorType(elements(inputs[0]))


FLATTEN = OpSpec(
    name="flatten",
    summary="(C, H, W) -> (C*H*W)",
    attrs=NoAttrs,
    arity=(1, 1),
    infer=_flatten,
    traits=frozenset({"linear"}),
)


class LinearAttrs(Attrs):
    """`out`: length of the result."""

    out: Size
    bias: bool = True


def _infer(a: LinearAttrs, inputs: tuple[Type]) -> VectorType:
    expect_vector(inputs[0], "linear")
    return VectorType(a.out)


def _params(a: LinearAttrs, inputs: tuple[VectorType]) -> tuple[ParamSpec, ...]:
    init = fan_in(inputs[0].c)
    weight = ParamSpec("weight", (a.out, inputs[0].c), init)
    return (weight, ParamSpec("bias", (a.out,), init)) if a.bias else (weight,)


def _macs(a: LinearAttrs, inputs: tuple[VectorType], _: VectorType) -> int:
    """One for each weight; the bias is not counted."""
    return a.out * inputs[0].c


LINEAR = OpSpec(
    name="linear",
    summary="linear map of a vector",
    attrs=LinearAttrs,
    arity=(1, 1),
    infer=_infer,
    params=_params,
    macs=_macs,
    traits=frozenset({"linear"}),
    widths=("out",),
)


class ProjectAttrs(Attrs):
    """`out`: length of the result; `init`: the weight starts uniform in ±init."""

    out: Size
    init: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 0.04


def _project(a: ProjectAttrs, inputs: tuple[Type]) -> VectorType:
    expect_vector(inputs[0], "project")
    return VectorType(a.out)


def _weight(a: ProjectAttrs, inputs: tuple[VectorType]) -> tuple[ParamSpec, ...]:
    return (ParamSpec("weight", (inputs[0].c, a.out), Init("uniform", a.init)),)


def _products(a: ProjectAttrs, inputs: tuple[VectorType], _: VectorType) -> int:
    """One for each weight."""
    return a.out * inputs[0].c


PROJECT = OpSpec(
    name="project",
    summary="x W without a bias, the weight (c, out) as recurrent cells have it",
    attrs=ProjectAttrs,
    arity=(1, 1),
    infer=_project,
    params=_weight,
    macs=_products,
    traits=frozenset({"linear"}),
    widths=("out",),
)


class ChunkAttrs(Attrs):
    """The part number `part`, from 0, of `of` equal parts."""

    part: Margin
    of: Size = 2


def _chunk(a: ChunkAttrs, inputs: tuple[Type]) -> VectorType:
    x = expect_vector(inputs[0], "chunk")
    if x.c % a.of:
        raise NasirError("E302", f"{x} cannot be cut into {a.of} equal parts")
    if a.part >= a.of:
        raise NasirError("E306", f"there is no part {a.part} of {a.of}: they count from 0")
    return VectorType(x.c // a.of)


CHUNK = OpSpec(
    name="chunk",
    summary="one of several equal parts of a vector",
    attrs=ChunkAttrs,
    arity=(1, 1),
    infer=_chunk,
    traits=frozenset({"linear"}),
)

OPS = (FLATTEN, LINEAR, PROJECT, CHUNK)
