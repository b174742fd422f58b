"""Rules of fused primitives in torch: mixed sums, banks of convolutions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowering import kernels
from lowering.torch.code import Variable
from lowering.torch.ranks import normalised
from lowering.torch.rule import Emit, TorchEmitter, lerp_each_
from lowering.torch.store import FlatWeights
from nasir import Graph
from nasir.ops import ChainUnit
from nasir.ops.fused import (
    MIXED_SUM,
    Branch,
    ConvBankAttrs,
    MixedChain,
    MixedSumAttrs,
    unit_type,
)
from nasir.types import ImageType

_ONE = (-1, 0)
"""Stands for the number 1 among the entries."""


class Coefficients:
    """From the weights of choices, each (options,), one number for each term, (terms,).

    A coefficient is a sum of products of entries; all products are computed at once. `places` maps
    an input of the node to its place among the weights.
    """

    def __init__(
        self, terms: Sequence[MixedChain] | Sequence[Branch], places: Mapping[int, int]
    ) -> None:
        products = [(i, product) for i, term in enumerate(terms) for product in _products(term)]
        self.terms = len(terms)
        self.owners = [owner for owner, _ in products]
        depth = max(len(product) for _, product in products)
        self.layers = [
            [(places[p[d][0]], p[d][1]) if d < len(p) else _ONE for _, p in products]
            for d in range(depth)
        ]
        self._indices: dict[tuple[torch.device, tuple[int, ...]], list[Tensor]] = {}

    def __call__(self, weights: Sequence[Tensor], like: Tensor) -> Tensor:
        """The coefficients, on the device and in the precision of the weights.

        Where there are none, ones of the type of `like`.
        """
        if not self.layers:
            return torch.ones(self.terms, dtype=like.dtype, device=like.device)
        flat = torch.cat([torch.ones_like(weights[0][:1]), *weights])
        *layers, owners = self._at(weights)
        result = flat[layers[0]]
        for layer in layers[1:]:
            result = result * flat[layer]
        if len(self.owners) == self.terms:
            return result
        return result.new_zeros(self.terms).index_add(0, owners, result)

    def _at(self, weights: Sequence[Tensor]) -> list[Tensor]:
        """The entries of each layer as places in the flat weights, and then the owners."""
        sizes = tuple(len(each) for each in weights)
        key = (weights[0].device, sizes)
        if torch.compiler.is_compiling():  # what is compiled must not find a cache that grew
            return self._made(*key)
        if key not in self._indices:
            self._indices[key] = self._made(*key)
        return self._indices[key]

    def _made(self, device: torch.device, sizes: tuple[int, ...]) -> list[Tensor]:
        starts = [1]
        for size in sizes:
            starts.append(starts[-1] + size)
        rows = [
            [0 if entry == _ONE else starts[entry[0]] + entry[1] for entry in layer]
            for layer in self.layers
        ]
        return [torch.tensor(row, device=device) for row in (*rows, self.owners)]


def _products(term: MixedChain | Branch) -> tuple[tuple[tuple[int, int], ...], ...]:
    return term.products or ((),)


def by_library(
    terms: Sequence[MixedChain],
    values: Sequence[Tensor],
    weights: Sequence[Tensor],
    scales: Tensor,
    together: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The sum of all chains, and the means and biased variances of all batch norms in order.

    Of terms and units in order, `weights` are the depthwise weight and the product's; `scales` are
    the coefficients, one for each term. What `lowering.kernels.mixed_sum` does, on any device.
    `together`: statistics are those of all processes' batches.
    """
    given = iter(weights)
    none = scales[:0].float() if scales.dtype.itemsize < 4 else scales[:0]
    statistics: list[tuple[Tensor, Tensor]] = [(none, none)]
    total: Tensor | None = None
    for term, scale in zip(terms, scales.unbind(), strict=True):
        x = values[term.value]
        for unit in term.units:
            x = _unit(unit, x, given, statistics, together)
        x = x * scale
        total = x if total is None else total + x
    assert total is not None
    means, variances = zip(*statistics, strict=True)
    return total, torch.cat(means), torch.cat(variances)


def _unit(
    unit: ChainUnit,
    x: Tensor,
    weights: Iterator[Tensor],
    statistics: list[tuple[Tensor, Tensor]],
    together: bool,
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
    if unit.window == "factorized":
        halves = [F.conv2d(x[:, :, i:, i:], next(weights), stride=2) for i in range(2)]
        x = torch.cat(halves, 1)
    elif unit.window == "dense":
        x = F.conv2d(x, next(weights), None, unit.stride, unit.padding, unit.dilation)
    elif unit.product:
        x = F.conv2d(x, next(weights))
    if unit.eps is not None and together:
        here = x.numel() / x.shape[1]
        x, mean, variance, size = normalised(x, unit.eps)
        # The caller makes it unbiased for the values that are here.
        unbiased = size / max(size - 1, 1) / (here / max(here - 1, 1))
        statistics.append((mean, variance * unbiased))
    elif unit.eps is not None:
        with torch.no_grad():
            exact = x.float() if x.dtype.itemsize < 4 else x
            variance, mean = torch.var_mean(exact, (0, 2, 3), correction=0)
        statistics.append((mean, variance))
        x = F.batch_norm(x, None, None, None, None, True, 0.0, unit.eps)
    return x


class MixedSum:
    """A node's function of its inputs (`count` of them) and then of its weights, in training.

    `follow`: whether the running statistics follow the batch's, which a second run of the same
    step must not make them do. `together`: whether they are those of all processes' batches.
    `flat`: whether the weights are one tensor and the running statistics another (`FlatWeights`).
    """

    def __init__(
        self,
        attrs: MixedSumAttrs,
        count: int,
        name: str,
        *,
        follow: bool,
        together: bool,
        flat: Sequence[FlatWeights] = (),
    ) -> None:
        self.__name__ = f"mixed_sum_{name}"  # what the program's source calls it
        self.__module__ = __name__
        self.attrs = attrs
        self.count = count
        self.follow = follow
        self.together = together
        used = {at for term in attrs.terms for p in term.products for at, _ in p}
        self.choices = tuple(sorted(used))
        self.scales = Coefficients(attrs.terms, {at: i for i, at in enumerate(self.choices)})
        self.learned, self.norms = _places(attrs.terms, count)
        self.flat = flat
        self.values = tuple(dict.fromkeys(term.value for term in attrs.terms))
        self.chains = tuple(_chain(term, self.values) for term in attrs.terms)
        self._sizes: dict[tuple[torch.Size, ...], tuple[list[int], Tensor]] = {}

    def __call__(self, *args: Tensor) -> Tensor:
        """The sum for these inputs and weights."""
        values = [_full(value) for value in args[: self.count]]
        first = values[self.attrs.terms[0].value]
        scales = self.scales([args[at] for at in self.choices], first).to(first.dtype)
        if not self.together and kernels.supports(first) and kernels.available():
            read = [values[at] for at in self.values]
            weights, running = self._given(args)
            moved = all(r.dtype == first.dtype and r.is_contiguous() for r in running)
            result, mean, variance = kernels.mixed_sum(
                self.chains,
                read,
                scales,
                weights,
                running if moved else (),
                recompute=self.attrs.recompute,
                shapes=self.flat[0].shapes if self.flat else None,
            )
        else:
            moved = False
            args = self._apart(args)
            weights = [args[at] for at in self.learned]
            result, mean, variance = by_library(
                self.attrs.terms, values, weights, scales, self.together
            )
        if self.follow and not moved:
            self._update(self._apart(args), mean, variance)
        return result

    def _given(self, args: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The weights, and the running statistics if they follow; each one tensor if `flat`."""
        if self.flat:
            weights, running = args[self.count :]
            return [weights], [running] if self.follow and self.norms else []
        places = self.norms if self.follow else ()
        running = [args[at + i] for at, _ in places for i in range(2)]
        return [args[at] for at in self.learned], running

    def _apart(self, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The arguments with each weight by itself."""
        if not self.flat or len(args) > self.count + 2:
            return args
        pairs = zip(self.flat, args[self.count :], strict=True)
        weights, running = (iter(flat.pieces(value)) for flat, value in pairs)
        last = self.count + len(self.learned) + 2 * len(self.norms)
        learned = set(self.learned)
        rest = (next(weights if at in learned else running) for at in range(self.count, last))
        return (*args[: self.count], *rest)

    def _update(self, args: Sequence[Tensor], mean: Tensor, variance: Tensor) -> None:
        """Moves running means and variances (of the unbiased variance, as torch does)."""
        channels, unbiased = self._norm_sizes(args)
        with torch.no_grad():
            corrected = variance * unbiased.to(variance)
        means, variances = torch.split(mean, channels), torch.split(corrected, channels)
        for momentum in {momentum for _, momentum in self.norms}:
            rows = [i for i, (_, other) in enumerate(self.norms) if other == momentum]
            at = [self.norms[i][0] for i in rows]
            running = [*(args[i] for i in at), *(args[i + 1] for i in at)]
            with torch.no_grad():
                batch = [*(means[i] for i in rows), *(variances[i] for i in rows)]
                lerp_each_(running, batch, momentum)

    def _norm_sizes(self, args: Sequence[Tensor]) -> tuple[list[int], Tensor]:
        """The batch norms' channels, and for each channel what makes its variance unbiased."""
        shapes = tuple(args[term.value].shape for term in self.attrs.terms)
        if shapes not in self._sizes:
            sizes = _norm_sizes(self.attrs.terms, shapes)
            factors = [c / max(c - 1, 1) for channels, c in sizes for _ in range(channels)]
            unbiased = torch.tensor(factors, dtype=torch.float64)
            self._sizes[shapes] = ([channels for channels, _ in sizes], unbiased)
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
            momentum=unit.momentum,
        )
        for unit in term.units
    )
    return kernels.KernelChain(places.index(term.value), units)


def _places(
    terms: Sequence[MixedChain], first: int
) -> tuple[tuple[int, ...], tuple[tuple[int, float], ...]]:
    """The arguments that are learned, and each running mean (the variance follows it)."""
    learned: list[int] = []
    norms: list[tuple[int, float]] = []
    at = first
    for unit in (unit for term in terms for unit in term.units):
        if unit.window == "depthwise":
            learned.append(at)
            at += 1
        for _ in range(bool(unit.product) + (unit.window == "factorized")):
            learned.append(at)
            at += 1
        if unit.eps is not None:
            norms.append((at, unit.momentum))
            at += 2
    return tuple(learned), tuple(norms)


def _mixed_sum(e: TorchEmitter, a: MixedSumAttrs, *values: Variable) -> Variable:
    learned, norms = _places(a.terms, 0)
    inputs = len(values) - (len(e.flat) or len(learned) + 2 * len(norms))
    function = MixedSum(a, inputs, e.name, follow=e.follow, together=e.together, flat=e.flat)
    read = {term.value for term in a.terms}
    given = (e.once(_by_pixels, v) if i in read else v for i, v in enumerate(values))
    return e.call(function, *given)


def _by_pixels(image: Tensor) -> Tensor:
    """The image as the kernels read it; a slice of channels is copied once for all its readers."""
    return image.contiguous(memory_format=torch.channels_last)


def _conv_bank(e: TorchEmitter, a: ConvBankAttrs, x: Variable, *weights: Variable) -> Variable:
    if a.rows:
        weights = tuple(
            e.call(F.pad, weight, [left, a.kernel[1] - 1 - left, top, a.kernel[0] - 1 - top])
            for weight, top, left in zip(weights, a.rows, a.columns, strict=True)
        )
    weight = e.call(torch.cat, weights)
    return e.call(F.conv2d, x, weight, None, a.stride, a.padding, a.dilation)


def flat_weights(
    graph: Graph, owners: Mapping[str, tuple[nn.Module, str]]
) -> dict[str, tuple[FlatWeights, FlatWeights]]:
    """By node the learned weights that a mixed sum alone reads, and its running statistics."""
    reads = Counter(ref.key for node in graph.nodes for ref in node.params)
    found: dict[str, tuple[FlatWeights, FlatWeights]] = {}
    for node in graph.nodes:
        kinds = tuple(
            [ref.key for ref in node.params if ref.buffer is own] for own in (False, True)
        )
        values = [getattr(*owners[key]) for key in kinds[0]]
        learned = all(value.requires_grad for value in values) and len(values) > 1
        if node.op is MIXED_SUM and learned and max(reads[ref.key] for ref in node.params) == 1:
            names = (node.name, f"{node.name}.running")
            weights, running = (
                FlatWeights({key: owners[key] for key in keys}, name)
                for keys, name in zip(kinds, names, strict=True)
            )
            found[node.name] = weights, running
    return found


RULES: Mapping[str, Emit] = {
    "mixed_sum": _mixed_sum,
    "conv_bank": _conv_bank,
}
