"""Rules of fused primitives in torch: mixed sums, banks of convolutions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lowering import kernels
from lowering.torch.code import Variable
from lowering.torch.ranks import synchronised_norm
from lowering.torch.rule import Emit, TorchEmitter
from lowering.torch.store import FlatWeights
from nasir import Graph
from nasir.ops import ChainUnit
from nasir.ops.fused import (
    MIXED_SUM,
    Branch,
    ConvBankAttrs,
    MixedChain,
    MixedSumAttrs,
)
from nasir.ops.layers import ConvAttrs

Pair = tuple[int, int]
Value = Tensor | kernels.SharedValue

_ONE = (-1, 0)
"""Stands for the number 1 among the entries."""


class Coefficients:
    """From the weights of choices, each (options,), one number for each term, (terms,).

    A coefficient is a sum of products of entries; all products are computed at once. `places` maps
    an input of the node to its place among the weights, of which there is at least one. Those of
    equal terms are equal: cells of one kind compute them once.
    """

    __name__ = "coefficients"  # what a program's source calls it

    def __init__(
        self, terms: Sequence[MixedChain] | Sequence[Branch], places: Mapping[int, int]
    ) -> None:
        products = [(i, product) for i, term in enumerate(terms) for product in _products(term)]
        depth = max(len(product) for _, product in products)
        self.terms = len(terms)
        self.owners = tuple(owner for owner, _ in products)
        self.layers = tuple(
            tuple((places[p[d][0]], p[d][1]) if d < len(p) else _ONE for _, p in products)
            for d in range(depth)
        )
        self._indices: dict[tuple[torch.device, tuple[int, ...]], list[Tensor]] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coefficients) and self._facts == other._facts

    def __hash__(self) -> int:
        return hash(self._facts)

    @property
    def _facts(self) -> tuple[object, ...]:
        return self.terms, self.owners, self.layers

    def __call__(self, *weights: Tensor) -> Tensor:
        """The coefficients, on the device and in the precision of the weights."""
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
    values: Mapping[int, Tensor],
    weights: Sequence[Tensor],
    running: Sequence[Tensor],
    scales: Tensor,
    together: bool = False,
) -> Tensor:
    """The sum of all chains; what `lowering.kernels.mixed_sum` does, on any device.

    Of terms and units in order, `weights` are the depthwise weight and the product's, and `running`
    each norm's mean and variance, if these follow the batch's; `scales` are the coefficients, one
    for each term. `together`: statistics are those of all processes' batches.
    """
    given, followed = iter(weights), iter(running)
    total: Tensor | None = None
    for term, scale in zip(terms, scales.unbind(), strict=True):
        x = values[term.value]
        scaled = bool(term.units) and term.units[-1].eps is not None and not together
        for place, unit in enumerate(term.units, 1):
            last = scaled and place == len(term.units)
            x = _unit(unit, x, given)
            if unit.eps is not None:
                statistics = tuple(islice(followed, 2))
                x = _norm(unit, unit.eps, x, statistics, together, scale if last else None)
        if total is None:
            total = x if scaled else x * scale
        else:
            total = total.add_(x) if scaled else total.addcmul_(x, scale)
    assert total is not None
    return total


def _norm(
    unit: ChainUnit,
    eps: float,
    x: Tensor,
    statistics: tuple[Tensor, ...],
    together: bool,
    scale: Tensor | None,
) -> Tensor:
    """x normalised, and times `scale` if there is one: the weight of all channels."""
    if together:
        return synchronised_norm(x, unit.momentum, eps, statistics)
    weight = None
    if scale is not None:
        kind = statistics[0].dtype if statistics else x.dtype
        weight = scale.to(kind).expand(x.shape[1]).contiguous()
    mean, variance = statistics or (None, None)
    return F.batch_norm(x, mean, variance, weight, None, True, unit.momentum, eps)


def _unit(unit: ChainUnit, x: Tensor, weights: Iterator[Tensor]) -> Tensor:
    """The unit's result before its norm."""
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
    return x


class MixedSum:
    """A node's function of the values that its terms start from, of the coefficients and weights.

    There are coefficients if the terms have choices, and else they are ones. `follow`: whether the
    running statistics follow the batch's, which a second run of the same step must not make them
    do. `together`: whether they are those of all processes' batches. `flat`: whether the weights
    are one tensor and the running statistics another (`FlatWeights`).
    """

    def __init__(
        self,
        attrs: MixedSumAttrs,
        name: str,
        *,
        follow: bool,
        together: bool,
        flat: Sequence[FlatWeights] = (),
    ) -> None:
        self.__name__ = f"mixed_sum_{name}"  # what the program's source calls it
        self.__module__ = __name__
        self.attrs = attrs
        self.follow = follow
        self.together = together
        self.values = tuple(dict.fromkeys(term.value for term in attrs.terms))
        self.choices = tuple(sorted({at for t in attrs.terms for p in t.products for at, _ in p}))
        self.count = len(self.values) + bool(self.choices)
        self.learned, self.norms = _places(attrs.terms, self.count)
        self.flat = flat
        self.chains = tuple(_chain(term, self.values) for term in attrs.terms)
        self._plans: dict[object, kernels.SumPlan] = {}

    def __call__(self, *args: Any) -> Tensor:
        """The sum for these values, coefficients and weights."""
        given: tuple[Value, ...] = args[: len(self.values)]
        values = [_full(each if isinstance(each, Tensor) else each.value) for each in given]
        first = values[0]
        if self.choices:
            scales = args[self.count - 1].to(first.dtype)
        else:
            scales = torch.ones(len(self.chains), dtype=first.dtype, device=first.device)
        weights, running = self._given(args)
        fits = all(r.dtype == first.dtype and r.is_contiguous() for r in running)
        if not self.together and fits and _by_kernels(first):
            plan = self._plan(values, weights)
            read = [v if isinstance(g, Tensor) else g for v, g in zip(values, given, strict=True)]
            recompute = self.attrs.recompute
            return kernels.mixed_sum(plan, read, scales, weights, running, recompute=recompute)[0]
        if self.flat:
            both = zip(self.flat, (weights, running), strict=True)
            weights, running = (flat.pieces(given[0]) if given else [] for flat, given in both)
        by_number = dict(zip(self.values, values, strict=True))
        return by_library(self.attrs.terms, by_number, weights, running, scales, self.together)

    def _given(self, args: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The weights, and the running statistics if they follow; each one tensor if `flat`."""
        if self.flat:
            weights, running = args[self.count :]
            return [weights], [running] if self.follow and self.norms else []
        places = self.norms if self.follow else ()
        running = [args[at + i] for at in places for i in range(2)]
        return [args[at] for at in self.learned], running

    def _plan(self, values: Sequence[Tensor], weights: Sequence[Tensor]) -> kernels.SumPlan:
        """The plan for such values, kept since it takes longer to find than to use."""
        key = (values[0].dtype, *(value.shape for value in values))
        if key not in self._plans:
            if len(self._plans) == _PLANS:
                self._plans.clear()
            shapes = tuple(tuple(weight.shape) for weight in weights)
            made = kernels.plan_sum(self.chains, values, self.flat[0].shapes if self.flat else shapes)
            self._plans[key] = made
        return self._plans[key]


_PLANS = 8
"""The sizes of images and batches that a node remembers."""


def _full(value: Tensor) -> Tensor:
    """Under autocast on a CPU, in float32: the kernels are faster than the library in bf16."""
    half = value.dtype.itemsize < 4 and value.is_floating_point()
    cast = half and value.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return value.float() if cast and kernels.available() else value


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


def _places(terms: Sequence[MixedChain], first: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The arguments that are learned, and each running mean (the variance follows it)."""
    learned: list[int] = []
    norms: list[int] = []
    at = first
    for unit in (unit for term in terms for unit in term.units):
        if unit.window == "depthwise":
            learned.append(at)
            at += 1
        for _ in range(bool(unit.product) + (unit.window == "factorized")):
            learned.append(at)
            at += 1
        if unit.eps is not None:
            norms.append(at)
            at += 2
    return tuple(learned), tuple(norms)


def _mixed_sum(e: TorchEmitter, a: MixedSumAttrs, *values: Variable) -> Variable:
    function = MixedSum(a, e.name, follow=e.follow, together=e.together, flat=e.flat)
    own = len(e.flat) or len(function.learned) + 2 * len(function.norms)
    read = [e.once(_by_pixels, values[i]) for i in function.values]
    if function.choices:
        scales = Coefficients(a.terms, {at: i for i, at in enumerate(function.choices)})
        choices = (values[i] for i in function.choices)
        read.append(replace(e, name="coefficients").once(scales, *choices))
    return e.call(function, *read, *values[len(values) - own :])


def _by_kernels(value: Tensor) -> bool:
    return not torch.compiler.is_compiling() and kernels.supports(value) and kernels.available()


def _by_pixels(image: Tensor) -> Value:
    """The image as the kernels read it, once for all its readers.

    A slice of channels is copied, and gradients of the readers are summed in one place.
    """
    if not _by_kernels(image):
        return image
    image = image.contiguous(memory_format=torch.channels_last)
    return kernels.SharedValue(image) if image.requires_grad else image


def _conv_bank(e: TorchEmitter, a: ConvBankAttrs, x: Variable, *weights: Variable) -> Variable:
    if a.rows:
        weights = tuple(
            e.call(F.pad, weight, [left, a.kernel[1] - 1 - left, top, a.kernel[0] - 1 - top])
            for weight, top, left in zip(weights, a.rows, a.columns, strict=True)
        )
    weight = e.call(torch.cat, weights)
    return e.call(F.conv2d, x, weight, None, a.stride, a.padding, a.dilation)


_conv_backward: Any = torch.ops.aten.convolution_backward  # it has no other name


class _SparseConv(torch.autograd.Function):
    """A depthwise convolution with a dilation d, whose gradients torch computes slowly.

    The image's is the convolution of the gradient with the weight turned by 180 degrees. The
    weight's is that of a convolution without dilation of every d-th pixel, for each first pixel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.margins = padding, dilation
        return F.conv2d(x, weight, None, 1, padding, dilation, x.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - torch's is for any number
        x, weight = cast("tuple[Tensor, Tensor]", ctx.saved_tensors)
        padding, dilation = cast("tuple[Pair, Pair]", ctx.margins)
        grad_x = grad_weight = None
        if torch.is_grad_enabled():  # these are differentiated in turn, which torch can do
            wanted = (*ctx.needs_input_grad[:2], False)
            fixed = (None, (1, 1), padding, dilation, False, (0, 0), x.shape[1], wanted)
            return *_conv_backward(gradients[0], x, weight, *fixed)[:2], None, None
        if ctx.needs_input_grad[0]:
            turned = weight.flip(2, 3)
            grad_x = F.conv2d(gradients[0], turned, None, 1, padding, dilation, x.shape[1])
        if ctx.needs_input_grad[1]:
            less = [p // d for p, d in zip(padding, dilation, strict=True)]
            images = [_phases(each, dilation) for each in (gradients[0], x)]
            fixed = (None, (1, 1), less, (1, 1), False, (0, 0), x.shape[1], (False, True, False))
            grad_weight = _conv_backward(*images, weight, *fixed)[1]
        return grad_x, grad_weight, None, None


def _phases(x: Tensor, dilation: Pair) -> Tensor:
    """Every d-th pixel, as images (d·d·N, C, H / d, W / d) by the place of the first one."""
    n, c, h, w = x.shape
    dh, dw = dilation
    split = x.permute(0, 2, 3, 1).reshape(n, h // dh, dh, w // dw, dw, c)
    images = split.permute(2, 4, 0, 1, 3, 5).reshape(-1, h // dh, w // dw, c)
    return images.permute(0, 3, 1, 2)


def sparse_conv(x: Tensor, weight: Tensor, padding: Pair, dilation: Pair) -> Tensor:
    """A depthwise convolution with a dilation, for training on a CPU."""
    sizes = (*x.shape[2:], *padding)
    whole = all(size % step == 0 for size, step in zip(sizes, dilation * 2, strict=True))
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    keeps = all(2 * p == r for p, r in zip(padding, reach, strict=True))
    cast = torch.is_autocast_enabled(x.device.type)
    plain = cast or x.device.type != "cpu" or torch.compiler.is_compiling()
    if plain or not (whole and keeps):
        return F.conv2d(x, weight, None, 1, padding, dilation, x.shape[1])
    # torch has no type for what `apply` returns.
    return _SparseConv.apply(x, weight, padding, dilation)  # pyright: ignore[reportReturnType, reportUnknownMemberType, reportUnknownVariableType]


def _sparse_conv(e: TorchEmitter, a: ConvAttrs, x: Variable, weight: Variable) -> Variable:
    return e.call(sparse_conv, x, weight, a.margins, a.dilation)


def flat_weights(
    graph: Graph,
    owners: Mapping[str, tuple[nn.Module, str]],
    laid: dict[tuple[str, ...], FlatWeights],
) -> dict[str, tuple[FlatWeights, FlatWeights]]:
    """By node the learned weights that a mixed sum alone reads, and its running statistics.

    `laid` are those that lie in one tensor already, and gets the others; what lies in another one
    with other weights stays as it is.
    """
    reads = Counter(ref.key for node in graph.nodes for ref in node.params)
    taken = {key for keys in laid for key in keys}
    found: dict[str, tuple[FlatWeights, FlatWeights]] = {}
    for node in graph.nodes:
        kinds = [tuple(r.key for r in node.params if r.buffer is own) for own in (False, True)]
        values = [getattr(*owners[key]) for key in kinds[0]]
        learned = len(values) > 1 and all(value.requires_grad for value in values)
        if node.op is not MIXED_SUM or not learned or max(reads[r.key] for r in node.params) > 1:
            continue
        if any(keys not in laid and not taken.isdisjoint(keys) for keys in kinds):
            continue
        for keys in kinds:
            if keys not in laid:
                laid[keys] = FlatWeights({key: owners[key] for key in keys})
        found[node.name] = laid[kinds[0]], laid[kinds[1]]
    return found


RULES: Mapping[str, Emit] = {
    "mixed_sum": _mixed_sum,
    "conv_bank": _conv_bank,
    "sparse_conv": _sparse_conv,
}
