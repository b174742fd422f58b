"""Normalisation."""

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from nasir.errors import NasirError
from nasir.ops.spec import ONES, ZEROS, Attrs, ChainUnit, OpSpec, ParamSpec
from nasir.types import ImageType, Type, VectorType


class BatchNormAttrs(Attrs):
    """`momentum` is the weight of the new statistics (torch's meaning; TensorFlow's is 1 - it).

    Without weights it can keep its running statistics in several `copies`, in training only.
    """

    affine: bool = True
    eps: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1e-5
    momentum: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 0.1
    copies: Annotated[int, Field(ge=1, le=1 << 16)] = 1


def _infer(a: BatchNormAttrs, inputs: tuple[Type]) -> Type:
    if a.affine and a.copies > 1:
        raise NasirError("E306", f"a batch norm with weights has no {a.copies} copies")
    if isinstance(inputs[0], (ImageType, VectorType)):
        return inputs[0]
    raise NasirError("E305", f"batch_norm takes an image or a vector, not {inputs[0]}")


def _params(a: BatchNormAttrs, inputs: tuple[ImageType | VectorType]) -> tuple[ParamSpec, ...]:
    shape = (inputs[0].c,)
    statistics = (
        ParamSpec("running_mean", shape, ZEROS, buffer=True),
        ParamSpec("running_var", shape, ONES, buffer=True),
    )
    if a.copies > 1:
        numbers = ("", *map(str, range(2, a.copies + 1)))
        return tuple(replace(s, name=f"{s.name}{n}") for n in numbers for s in statistics)
    if not a.affine:
        return statistics
    return (ParamSpec("weight", shape, ONES), ParamSpec("bias", shape, ZEROS), *statistics)


def _unit(a: BatchNormAttrs, inputs: tuple[Type]) -> ChainUnit | None:
    if a.affine or a.copies > 1 or not isinstance(inputs[0], ImageType):
        return None
    return ChainUnit(eps=a.eps, momentum=a.momentum)


BATCH_NORM = OpSpec(
    name="batch_norm",
    summary="batch normalisation over (N, H, W), of vectors over N, for each channel",
    attrs=BatchNormAttrs,
    arity=(1, 1),
    infer=_infer,
    params=_params,
    traits=frozenset({"stateful", "channel_affine"}),
    unit=_unit,
)

OPS = (BATCH_NORM,)
