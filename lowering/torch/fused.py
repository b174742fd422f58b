"""Sums of chains in torch: by the kernels where they can run, else by the library's operations."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from lowering import kernels
from lowering.torch import foreach
from lowering.torch.highways import Coefficients, HighwaySum
from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops import ChainUnit
from nasir.ops.fused import (
    CONV_BANK,
    HIGHWAY_SUM,
    MIXED_SUM,
    ConvBankAttrs,
    HighwaySumAttrs,
    MixedChain,
    MixedSumAttrs,
    unit_type,
)
from nasir.types import ImageType

Values = tuple[fx.Node, ...]


def by_library(
    terms: Sequence[MixedChain], values: Sequence[Tensor], weights: Sequence[Tensor], scales: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of all chains, and the means and biased variances of all batch norms in order.

    Of terms and units in order, `weights` are the depthwise weight and the product's; `scales` are
    the coefficients, one for each term. What `lowering.kernels.mixed_sum` does, on any device.
    """
    given = iter(weights)
    none = scales[:0].float() if scales.dtype.itemsize < 4 else scales[:0]
    statistics: list[tuple[Tensor, Tensor]] = [(none, none)]
    total: Tensor | None = None
    for term, scale in zip(terms, scales.unbind(), strict=True):
        x = values[term.value]
        for unit in term.units:
            x = _unit(unit, x, given, statistics)
        x = x * scale
        total = x if total is None else total + x
    assert total is not None
    means, variances = zip(*statistics, strict=True)
    return total, torch.cat(means), torch.cat(variances)


def _unit(
    unit: ChainUnit, x: Tensor, weights: Iterator[Tensor], statistics: list[tuple[Tensor, Tensor]]
) -> Tensor:
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
            exact = x.float() if x.dtype.itemsize < 4 else x
            variance, mean = torch.var_mean(exact, (0, 2, 3), correction=0)
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
        self.values = tuple(dict.fromkeys(term.value for term in attrs.terms))
        self.chains = tuple(_chain(term, self.values) for term in attrs.terms)
        self._sizes: dict[tuple[torch.Size, ...], list[tuple[int, int]]] = {}

    def __call__(self, *args: Tensor) -> Tensor:
        """The sum for these inputs and weights."""
        values = [_full(value) for value in args[: self.count]]
        first = values[self.attrs.terms[0].value]
        scales = self.scales([args[at] for at in self.choices], first).to(first.dtype)
        weights = [args[at] for at in self.learned]
        if kernels.supports(first) and kernels.available():
            read = [values[at] for at in self.values]
            result, mean, variance = kernels.mixed_sum(
                self.chains, read, scales, weights, recompute=self.attrs.recompute
            )
        else:
            result, mean, variance = by_library(self.attrs.terms, values, weights, scales)
        if self.follow:
            self._update(args, mean, variance)
        return result

    def _update(self, args: Sequence[Tensor], mean: Tensor, variance: Tensor) -> None:
        """Moves running means and variances (of the unbiased variance, as torch does)."""
        sizes = self._norm_sizes(args)
        channels = [size for size, _ in sizes]
        means, variances = torch.split(mean, channels), torch.split(variance, channels)
        for momentum in {momentum for _, momentum in self.norms}:
            rows = [i for i, (_, other) in enumerate(self.norms) if other == momentum]
            unbiased = [sizes[i][1] / max(sizes[i][1] - 1, 1) for i in rows]
            at = [self.norms[i][0] for i in rows]
            with torch.no_grad():
                foreach.lerp_([args[i] for i in at], [means[i] for i in rows], momentum)
                corrected = foreach.mul([variances[i] for i in rows], unbiased)
                foreach.lerp_([args[i + 1] for i in at], corrected, momentum)

    def _norm_sizes(self, args: Sequence[Tensor]) -> list[tuple[int, int]]:
        """Of each batch norm, the channels and how many numbers a mean is over."""
        shapes = tuple(args[term.value].shape for term in self.attrs.terms)
        if shapes not in self._sizes:
            self._sizes[shapes] = _norm_sizes(self.attrs.terms, shapes)
        return self._sizes[shapes]


def _full(value: Tensor) -> Tensor:
    """Under autocast on a CPU, in float32: the kernels are faster than the library in bf16."""
    half = value.dtype.itemsize < 4 and value.is_floating_point()
    return value.float() if half and value.device.type == "cpu" and kernels.available() else value


def _norm_sizes(terms: Sequence[MixedChain], shapes: Sequence[torch.Size]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for term, (batch, c, h, w) in zip(terms, shapes, strict=True):
        x = ImageType(c, h, w)
        for unit in term.units:
            x = unit_type(unit, x)
            if unit.eps is not None:
                found.append((x.c, batch * x.h * x.w))
    return found


def _chain(term: MixedChain, places: Sequence[int]) -> kernels.KernelChain:
    units = tuple(
        kernels.KernelUnit(
            unit.relu,
            unit.window,
            unit.kernel,
            unit.stride,
            unit.dilation,
            unit.padding,
            product=bool(unit.product),
            eps=unit.eps,
        )
        for unit in term.units
    )
    return kernels.KernelChain(places.index(term.value), units)


def _places(
    terms: Sequence[MixedChain], first: int
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


def _mixed_sum(e: TorchEmitter, a: MixedSumAttrs, inputs: Values, weights: Values) -> fx.Node:
    function = MixedSum(a, len(inputs), e.name, follow=e.follow)
    return e.call(function, *inputs, *weights)


def _conv_bank(e: TorchEmitter, a: ConvBankAttrs, inputs: Values, weights: Values) -> fx.Node:
    if a.rows:
        weights = tuple(
            e.call(F.pad, weight, [x, a.kernel[1] - 1 - x, y, a.kernel[0] - 1 - y])
            for weight, y, x in zip(weights, a.rows, a.columns, strict=True)
        )
    weight = e.call(torch.cat, weights)
    return e.call(F.conv2d, inputs[0], weight, None, a.stride, a.padding, a.dilation)


def _highway_sum(e: TorchEmitter, a: HighwaySumAttrs, inputs: Values, weights: Values) -> fx.Node:
    return e.call(HighwaySum(a, e.name), *inputs, *weights)


RULES = (
    TorchRule(MIXED_SUM, _mixed_sum),
    TorchRule(CONV_BANK, _conv_bank),
    TorchRule(HIGHWAY_SUM, _highway_sum),
)
