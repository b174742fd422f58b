"""Rules of fused primitives in torch: mixed sums, banks of convolutions, sums of highways."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering import kernels
from lowering.torch.code import Variable
from lowering.torch.ranks import normalised
from lowering.torch.rule import Emit, TorchEmitter, lerp_each_
from lowering.torch.sequence import once, product
from nasir.ops import ChainUnit
from nasir.ops.fused import (
    Branch,
    ConvBankAttrs,
    HighwaySumAttrs,
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


_aten: Any = torch.ops.aten  # the derivatives that the library itself uses have no other names

Derivative = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(gradient of the result, x, function(x)) -> gradient of x."""

FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Derivative]] = {
    "": (lambda x: x, lambda grad, x, y: grad),
    "relu": (torch.relu, lambda grad, x, y: _aten.threshold_backward(grad, x, 0)),
    "sigmoid": (torch.sigmoid, lambda grad, x, y: _aten.sigmoid_backward(grad, y)),
    "tanh": (torch.tanh, lambda grad, x, y: _aten.tanh_backward(grad, y)),
    "silu": (F.silu, lambda grad, x, y: _aten.silu_backward(grad, x)),
    "hardsigmoid": (F.hardsigmoid, lambda grad, x, y: _aten.hardsigmoid_backward(grad, x)),
    "hardswish": (F.hardswish, lambda grad, x, y: _aten.hardswish_backward(grad, x)),
}
"""The functions that a highway can have as f, with their derivatives, by name."""


class HighwaySum:
    """A node's function of its inputs and then of its weight.

    With p highways of B examples and C units, all p states lie in one tensor (p, B, C), and all
    values in one (p·B, ·), so that there is one product with the weight. Each function is computed
    for every highway; where one does not have it, its coefficient is 0.
    """

    def __init__(self, attrs: HighwaySumAttrs, name: str) -> None:
        self.__name__ = f"highway_sum_{name}"  # what the program's source calls it
        self.__module__ = __name__
        self.states = tuple(highway.state for highway in attrs.highways)
        self.values = tuple(highway.value for highway in attrs.highways)
        branches = [b for highway in attrs.highways for b in highway.branches]
        self.names = tuple(dict.fromkeys(branch.function for branch in branches))
        used = {at for branch in branches for p in branch.products for at, _ in p}
        self.choices = tuple(sorted(used))
        self.scales = Coefficients(branches, {at: i for i, at in enumerate(self.choices)})
        self.places = [
            self.names.index(branch.function) * len(self.states) + row
            for row, highway in enumerate(attrs.highways)
            for branch in highway.branches
        ]

    def __call__(self, *args: Tensor) -> Tensor:
        """The sum (B, C) for these inputs and this weight."""
        *inputs, weight = args
        states = [inputs[at] for at in self.states]
        values = [inputs[at] for at in self.values]
        choices = [inputs[at] for at in self.choices]
        scales = once(self, choices, lambda: self._scales(choices, states[0]))
        if torch.compiler.is_compiling() or torch.is_autocast_enabled(weight.device.type):
            return highways_by_library(self.names, scales, weight, states, values)
        return _call(self.names, scales, weight, *states, *values)

    def _scales(self, weights: Sequence[Tensor], like: Tensor) -> Tensor:
        """The coefficients (functions, p), 0 where a highway does not have a function."""
        found = self.scales(weights, like).to(like.dtype)
        shape = (len(self.names), len(self.states))
        places = torch.tensor(self.places, device=found.device)
        return found.new_zeros(shape).view(-1).index_copy(0, places, found).view(shape)


def highways_by_library(
    names: Sequence[str],
    scales: Tensor,
    weight: Tensor,
    states: list[Tensor],
    values: list[Tensor],
) -> Tensor:
    """The sum by operations that torch differentiates itself, twice too."""
    s = torch.stack(states)
    c, g = (torch.cat(values) @ weight).view(*s.shape[:2], -1).chunk(2, -1)
    mixed = sum(
        _rows(scale) * FUNCTIONS[name][0](g) for name, scale in zip(names, scales, strict=True)
    )
    total = _rows(scales.sum(0))
    return (total * s + c.sigmoid() * (mixed - total * s)).sum(0)


def _call(*args: Any) -> Tensor:
    # torch has no type for what `apply` returns.
    return _HighwaySum.apply(*args)  # pyright: ignore[reportReturnType, reportUnknownMemberType, reportUnknownVariableType]


def _rows(scale: Tensor) -> Tensor:
    return scale.view(-1, 1, 1)


class _HighwaySum(torch.autograd.Function):
    """Σ_p [w_p s_p + γ_p (m_p - w_p s_p)], γ = σ(c), m_p = Σ_k w_pk f_k(g_p), w_p = Σ_k w_pk.

    Backward keeps γ and g, (p, B, C) each, and its inputs; the functions are computed again.
    """

    @staticmethod
    def forward(ctx: Any, names: tuple[str, ...], *args: Tensor) -> Tensor:
        """The sum for (coefficients, weight, states …, values …)."""
        scales, weight, *inputs = args
        s, x = _together(inputs)
        halves = product(x, weight).view(*s.shape[:2], -1)
        c, g = halves.chunk(2, -1)
        gate, g = c.sigmoid(), g.contiguous()  # functions of contiguous values take half the time
        total = scales.sum(0)
        mixed = s * _rows(-total)
        for name, scale in zip(names, scales, strict=True):
            mixed.addcmul_(FUNCTIONS[name][0](g), _rows(scale))
        result = mixed.mul_(gate).sum(0).view(1, -1)
        result.addmm_(total.view(1, -1), s.view(len(s), -1))
        ctx.names = names
        ctx.save_for_backward(*args, gate, g)
        return result.view(s.shape[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of all inputs; by differentiable operations where these are asked for."""
        if torch.is_grad_enabled():
            return (None, *_differentiable(ctx, *grads))
        return (None, *_gradients(ctx, *grads))


def _together(inputs: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The states, (p, B, C), and the values, (p·B, ·)."""
    count = len(inputs) // 2
    return torch.stack(inputs[:count]), torch.cat(inputs[count:])


def _gradients(ctx: Any, grad: Tensor) -> list[Tensor | None]:
    scales, weight, *inputs, gate, g = ctx.saved_tensors
    s, x = _together(inputs)
    grad_halves = g.new_zeros(*g.shape[:2], weight.shape[1])
    grad_c, grad_g = grad_halves.chunk(2, -1)
    total = scales.sum(0)
    passed = gate * grad  # the gradient of m
    mixed = s * _rows(-total)
    dots: list[Tensor] = []
    for name, scale in zip(ctx.names, scales, strict=True):
        function, derivative = FUNCTIONS[name]
        y = function(g)
        mixed.addcmul_(y, _rows(scale))
        grad_g.addcmul_(derivative(passed, g, y), _rows(scale))
        if ctx.needs_input_grad[1]:
            dots.append((y * passed).view(len(s), -1).sum(1))
    _aten.sigmoid_backward(mixed.mul_(grad), gate, grad_input=grad_c)
    kept = torch.sub(grad, passed, out=passed)  # the gradient of w s
    grad_scales = None
    if dots:
        grad_scales = torch.stack(dots) + (kept * s).view(len(s), -1).sum(1)
    grad_s = kept.mul_(_rows(total))
    rows = grad_halves.view(len(x), -1)
    grad_values = product(rows, weight.t()).view(len(s), -1, x.shape[1]).unbind()
    return [grad_scales, product(x.t(), rows), *grad_s.unbind(), *grad_values]


def _differentiable(ctx: Any, grad: Tensor) -> list[Tensor | None]:
    scales, weight, *inputs = ctx.saved_tensors[:-2]
    count = len(inputs) // 2
    result = highways_by_library(ctx.names, scales, weight, inputs[:count], inputs[count:])
    args = (scales, weight, *inputs)
    wanted = [a for a, needed in zip(args, ctx.needs_input_grad[1:], strict=True) if needed]
    found = iter(torch.autograd.grad(result, wanted, grad, create_graph=True))
    return [next(found) if needed else None for needed in ctx.needs_input_grad[1:]]


Values = tuple[Variable, ...]


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
    """

    def __init__(
        self, attrs: MixedSumAttrs, count: int, name: str, *, follow: bool, together: bool
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
        self.values = tuple(dict.fromkeys(term.value for term in attrs.terms))
        self.chains = tuple(_chain(term, self.values) for term in attrs.terms)
        self._sizes: dict[tuple[torch.Size, ...], tuple[list[int], Tensor]] = {}

    def __call__(self, *args: Tensor) -> Tensor:
        """The sum for these inputs and weights."""
        values = [_full(value) for value in args[: self.count]]
        first = values[self.attrs.terms[0].value]
        scales = self.scales([args[at] for at in self.choices], first).to(first.dtype)
        weights = [args[at] for at in self.learned]
        if not self.together and kernels.supports(first) and kernels.available():
            read = [values[at] for at in self.values]
            places = self.norms if self.follow else ()
            running = [args[at + i] for at, _ in places for i in range(2)]
            moved = all(r.dtype == first.dtype and r.is_contiguous() for r in running)
            result, mean, variance = kernels.mixed_sum(
                self.chains,
                read,
                scales,
                weights,
                running if moved else (),
                recompute=self.attrs.recompute,
            )
        else:
            moved = False
            result, mean, variance = by_library(
                self.attrs.terms, values, weights, scales, self.together
            )
        if self.follow and not moved:
            self._update(args, mean, variance)
        return result

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
    inputs = len(values) - len(learned) - 2 * len(norms)
    function = MixedSum(a, inputs, e.name, follow=e.follow, together=e.together)
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


def _highway_sum(e: TorchEmitter, a: HighwaySumAttrs, *values: Variable) -> Variable:
    return e.call(HighwaySum(a, e.name), *values)


RULES: Mapping[str, Emit] = {
    "mixed_sum": _mixed_sum,
    "conv_bank": _conv_bank,
    "highway_sum": _highway_sum,
}
