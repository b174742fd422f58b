"""Sums of chains in torch: by the kernels where they can run, else by the library's operations."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from lowering.to_torch import foreach
from lowering.to_torch.coefficients import Coefficients
from lowering.to_torch.highways import HighwaySum
from lowering.to_torch.rule import Emitter, Rule
from nasir.ops import Unit
from nasir.ops.fused import (
    HIGHWAY_SUM,
    MIXED_SUM,
    HighwaySumAttrs,
    MixedSumAttrs,
    Term,
    unit_type,
)
from nasir.types import ImageType

Values = tuple[fx.Node, ...]
Statistics = list[tuple[Tensor, Tensor]]
"""Of each batch norm in order, the batch's mean and biased variance."""


def by_library(
    terms: Sequence[Term], values: Sequence[Tensor], weights: Sequence[Tensor], scales: Tensor
) -> tuple[Tensor, Statistics]:
    """The sum of all chains, and of each batch norm in order the batch's mean and variance.

    Of terms and units in order, `weights` are the depthwise weight and the product's; `scales` are
    the coefficients, one for each term.
    """
    given = iter(weights)
    statistics: Statistics = []
    total: Tensor | None = None
    for term, scale in zip(terms, scales.unbind(), strict=True):
        x = values[term.value]
        for unit in term.units:
            x = _unit(unit, x, given, statistics)
        x = x * scale
        total = x if total is None else total + x
    assert total is not None
    return total, statistics


def _unit(unit: Unit, x: Tensor, weights: Iterator[Tensor], statistics: Statistics) -> Tensor:
    if unit.relu:
        x = torch.relu(x)
    if unit.window == "depthwise":
        c = x.shape[1]
        x = F.conv2d(x, next(weights), None, unit.stride, unit.padding, unit.dilation, c)
    elif unit.window == "max":
        x = F.max_pool2d(x, unit.kernel, unit.stride, unit.padding)
    elif unit.window == "avg":
        x = F.avg_pool2d(x, unit.kernel, unit.stride, unit.padding, count_include_pad=False)
    if unit.product:
        x = F.conv2d(x, next(weights))
    if unit.eps is not None:
        with torch.no_grad():
            variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
        statistics.append((mean, variance))
        x = F.batch_norm(x, None, None, None, None, True, 0.0, unit.eps)
    return x


class MixedSum:
    """A node's function of its inputs (`count` of them) and then of its weights, in training.

    `follow`: whether the running statistics follow the batch's, which a second run of the same
    step must not make them do.
    """

    def __init__(self, attrs: MixedSumAttrs, count: int, name: str, *, follow: bool) -> None:
        self.__name__ = f"mixed_sum_{name}"  # what the program's source calls it
        self.__module__ = __name__
        self.attrs = attrs
        self.count = count
        self.follow = follow
        used = {at for term in attrs.terms for p in term.products for at, _ in p}
        self.choices = tuple(sorted(used))
        self.scales = Coefficients(attrs.terms, {at: i for i, at in enumerate(self.choices)})
        self.learned, self.norms = _places(attrs.terms, count)
        self._pixels: dict[tuple[torch.Size, ...], list[int]] = {}

    def __call__(self, *args: Tensor) -> Tensor:
        """The sum for these inputs and weights."""
        terms, values = self.attrs.terms, args[: self.count]
        first = values[terms[0].value]
        scales = self.scales([args[at] for at in self.choices], first)
        weights = [args[at] for at in self.learned]
        result, statistics = by_library(terms, values, weights, scales)
        if self.follow:
            self._update(args, statistics, first.shape[0])
        return result

    def _update(self, args: Sequence[Tensor], statistics: Statistics, batch: int) -> None:
        """Moves running means and variances (of the unbiased variance, as torch does)."""
        means = [args[at] for at, _ in self.norms]
        variances = [args[at + 1] for at, _ in self.norms]
        counts = [batch * pixels for pixels in self._sizes(args)]
        with torch.no_grad():
            for momentum in {momentum for _, momentum in self.norms}:
                rows = [i for i, (_, other) in enumerate(self.norms) if other == momentum]
                foreach.lerp_([means[i] for i in rows], [statistics[i][0] for i in rows], momentum)
                unbiased = foreach.mul(
                    [statistics[i][1] for i in rows],
                    [counts[i] / max(counts[i] - 1, 1) for i in rows],
                )
                foreach.lerp_([variances[i] for i in rows], unbiased, momentum)

    def _sizes(self, args: Sequence[Tensor]) -> list[int]:
        """The pixels that each batch norm normalises over, of one example."""
        shapes = tuple(args[term.value].shape for term in self.attrs.terms)
        if shapes not in self._pixels:
            self._pixels[shapes] = _pixels(self.attrs.terms, shapes)
        return self._pixels[shapes]


def _pixels(terms: Sequence[Term], shapes: Sequence[torch.Size]) -> list[int]:
    found: list[int] = []
    for term, (_, c, h, w) in zip(terms, shapes, strict=True):
        x = ImageType(c, h, w)
        for unit in term.units:
            x = unit_type(unit, x)
            if unit.eps is not None:
                found.append(x.h * x.w)
    return found


def _places(
    terms: Sequence[Term], first: int
) -> tuple[tuple[int, ...], tuple[tuple[int, float], ...]]:
    """Of the arguments: those that are learned, and each running mean (the variance follows it)."""
    learned: list[int] = []
    norms: list[tuple[int, float]] = []
    at = first
    for unit in (unit for term in terms for unit in term.units):
        if unit.window == "depthwise":
            learned.append(at)
            at += 1
        if unit.product:
            learned.append(at)
            at += 1
        if unit.eps is not None:
            norms.append((at, unit.momentum))
            at += 2
    return tuple(learned), tuple(norms)


def _mixed_sum(e: Emitter, a: MixedSumAttrs, inputs: Values, weights: Values) -> fx.Node:
    function = MixedSum(a, len(inputs), e.name, follow=True)
    return e.call(function, *inputs, *weights)


def _highway_sum(e: Emitter, a: HighwaySumAttrs, inputs: Values, weights: Values) -> fx.Node:
    return e.call(HighwaySum(a, e.name), *inputs, *weights)


RULES = (Rule(MIXED_SUM, _mixed_sum), Rule(HIGHWAY_SUM, _highway_sum))
