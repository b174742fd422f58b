"""Pooling and subsampling."""

from dataclasses import replace

from nasir.errors import NasirError
from nasir.ops.conv import window
from nasir.ops.spec import Attrs, ChainUnit, MarginPair, NoAttrs, OpSpec, Pair, expect_image
from nasir.types import ImageType


class MaxPoolAttrs(Attrs):
    """Positions outside the image never win."""

    kernel: Pair
    stride: Pair = (1, 1)
    padding: MarginPair = (0, 0)


class AvgPoolAttrs(MaxPoolAttrs):
    """`count_padding`: whether positions outside the image count in the mean."""

    count_padding: bool = False


def _pool(a: MaxPoolAttrs, inputs: tuple[ImageType]) -> ImageType:
    x = expect_image(inputs[0], "a pool")
    (kh, kw), (sh, sw), (ph, pw) = a.kernel, a.stride, a.padding
    if 2 * ph > kh or 2 * pw > kw:
        raise NasirError("E306", f"padding {ph},{pw} exceeds half of the kernel {kh},{kw}")
    return replace(x, h=window(x.h, kh, sh, ph), w=window(x.w, kw, sw, pw))


def _maximum(a: MaxPoolAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
    del inputs
    return ChainUnit(window="max", kernel=a.kernel, stride=a.stride, padding=a.padding)


def _average(a: AvgPoolAttrs, inputs: tuple[ImageType]) -> ChainUnit | None:
    del inputs
    if a.count_padding:
        return None
    return ChainUnit(window="avg", kernel=a.kernel, stride=a.stride, padding=a.padding)


MAX_POOL = OpSpec(
    name="max_pool",
    summary="maximum over a window",
    attrs=MaxPoolAttrs,
    arity=(1, 1),
    infer=_pool,
    traits=frozenset({"keeps_zero"}),
    unit=_maximum,
)

AVG_POOL = OpSpec(
    name="avg_pool",
    summary="mean over a window",
    attrs=AvgPoolAttrs,
    arity=(1, 1),
    infer=_pool,
    traits=frozenset({"linear"}),
    unit=_average,
)


def _global(_: NoAttrs, inputs: tuple[ImageType]) -> ImageType:
    return replace(expect_image(inputs[0], "global_pool"), h=1, w=1)


GLOBAL_POOL = OpSpec(
    name="global_pool",
    summary="mean over all positions, (C, H, W) -> (C, 1, 1)",
    attrs=NoAttrs,
    arity=(1, 1),
    infer=_global,
    traits=frozenset({"linear"}),
)

OPS = (MAX_POOL, AVG_POOL, GLOBAL_POOL)
