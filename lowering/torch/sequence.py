"""Tokens, sequences and highways in torch. A body is a function that a loop over time calls."""

import operator
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering.torch.code import Variable
from lowering.torch.fused import Coefficients
from lowering.torch.rule import Emit, TorchEmitter
from nasir.graph import graph_of
from nasir.ops import NoAttrs
from nasir.ops.fused import HighwaySumAttrs
from nasir.ops.sequence import RateAttrs, ScanAttrs, WidthAttrs, WordDropoutAttrs

Values = tuple[Variable, ...]

_mkldnn: Any = torch.ops.mkldnn


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight + bias, without a derivative; each matrix or its transpose is contiguous.

    In float32 by oneDNN: on an AMD EPYC with AVX-512, which MKL does not use there, it takes half
    of MKL's time.
    """
    single = x.dtype == weight.dtype == torch.float32 and x.device.type == "cpu"
    if single and torch.backends.mkldnn.is_available():
        return _mkldnn._linear_pointwise(x, weight.t(), bias, "none", [], "")
    return F.linear(x, weight.t(), bias)


def draw_mask(like: Tensor, rate: float, draw: Tensor | None = None) -> Tensor:
    """0 or 1 / (1 - rate) for each example and unit of `like`, (N, c) or (T, N, c).

    `draw` are numbers in [0, 1), one for each of these; drawn anew where they are not given.
    """
    if draw is None:
        draw = torch.rand(like.shape[-2:], device=like.device)
    return (draw < 1 - rate).to(like.dtype) / (1 - rate)


def _all_kept(like: Tensor) -> Tensor:
    return torch.ones(like.shape[-2:], dtype=like.dtype, device=like.device)


def drop_words(
    words: Tensor, tokens: Tensor, vocabulary: int, rate: float, draw: Tensor | None = None
) -> Tensor:
    """The vectors (T, N, c), where those of a dropped word are 0 wherever it occurs.

    `draw` are numbers in [0, 1), one for each word; drawn anew where they are not given.
    """
    if draw is None:
        draw = torch.rand(vocabulary, device=words.device)
    return words * F.embedding(tokens, draw_mask(words, rate, draw).unsqueeze(1))


def _embedding(e: TorchEmitter, _: WidthAttrs, tokens: Variable, weight: Variable) -> Variable:
    return e.call(F.embedding, tokens, weight)


def _word_dropout(
    e: TorchEmitter, a: WordDropoutAttrs, words: Variable, tokens: Variable, *draw: Variable
) -> Variable:
    if not e.training:
        return words
    return e.call(drop_words, words, tokens, a.vocabulary, a.rate, *draw)


def _dropout_mask(e: TorchEmitter, a: RateAttrs, like: Variable, *draw: Variable) -> Variable:
    """In evaluation nothing reads it, unless it is an output."""
    return e.call(draw_mask, like, a.rate, *draw) if e.training else e.call(_all_kept, like)


def _masked(e: TorchEmitter, _: NoAttrs, x: Variable, mask: Variable) -> Variable:
    return e.call(operator.mul, x, mask) if e.training else x


def _scan(e: TorchEmitter, a: ScanAttrs, *values: Variable) -> Variable:
    return e.call(_loop(e.function(graph_of(a.body)), e.name), *values)


def _loop(step: Callable[..., Tensor], name: str) -> Callable[..., Tensor]:
    """The loop over time around a body, under the name of its node."""

    def steps(sequence: Tensor, state: Tensor, *rest: Tensor) -> Tensor:
        states: list[Tensor] = []
        for x in sequence.unbind(0):
            state = step(x, state, *rest)
            states.append(state)
        return torch.stack(states)

    def scan(*args: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return steps(*args)
        before = _constants.set({})
        try:
            return steps(*args)
        finally:
            _constants.reset(before)

    scan.__name__ = f"scan_{name}"
    return scan


_constants: ContextVar[dict[Any, Any] | None] = ContextVar("constants", default=None)


def once(owner: object, values: Sequence[Tensor], make: Callable[[], Tensor]) -> Tensor:
    """What `make` makes of these values for `owner`, once for all steps of a loop over time."""
    found = None if torch.compiler.is_compiling() else _constants.get()
    if found is None:
        return make()
    key = (owner, *map(id, values))
    if key not in found:
        found[key] = (values, make())  # keeps the values, so that no other has their id
    return found[key][1]


def _last(e: TorchEmitter, _: NoAttrs, states: Variable) -> Variable:
    return e.call(operator.getitem, states, -1)


def _decoder(e: TorchEmitter, _: WidthAttrs, *values: Variable) -> Variable:
    return e.call(decode if e.training else F.linear, *values)


def decode(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x @ weightᵀ + bias of (T, B, c), whose derivatives are made by `product`."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled(weight.device.type):
        return F.linear(x, weight, bias)
    # torch has no type for what `apply` returns.
    return _Decoder.apply(x, weight, bias)  # pyright: ignore[reportReturnType, reportUnknownMemberType, reportUnknownVariableType]


class _Decoder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The scores (T, B, words)."""
        ctx.save_for_backward(x, weight)
        return product(x.flatten(0, 1), weight.t(), bias).view(*x.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradients of all inputs; by differentiable operations where these are asked for."""
        x, weight = ctx.saved_tensors
        times = torch.matmul if torch.is_grad_enabled() else product
        rows, grad = x.flatten(0, 1), grads[0].flatten(0, 1)
        grad_x = times(grad, weight).view(x.shape)
        return grad_x, times(rows.t(), grad).t(), grad.sum(0)


def _log_softmax(e: TorchEmitter, _: NoAttrs, x: Variable) -> Variable:
    return e.call(F.log_softmax, x, -1)


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
        if weights:
            found = self.scales(*weights).to(like.dtype)
        else:
            found = like.new_ones(len(self.places))
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


def _highway_sum(e: TorchEmitter, a: HighwaySumAttrs, *values: Variable) -> Variable:
    return e.call(HighwaySum(a, e.name), *values)


RULES: Mapping[str, Emit] = {
    "embedding": _embedding,
    "word_dropout": _word_dropout,
    "word_dropout_drawn": _word_dropout,
    "dropout_mask": _dropout_mask,
    "dropout_mask_drawn": _dropout_mask,
    "masked": _masked,
    "scan": _scan,
    "last": _last,
    "decoder": _decoder,
    "log_softmax": _log_softmax,
    "highway_sum": _highway_sum,
}
