"""Tokens and sequences in torch. A body is a function that a loop over time calls."""

import operator
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering.torch.code import Variable
from lowering.torch.rule import Emit, TorchEmitter
from nasir.graph import graph_of
from nasir.ops import NoAttrs
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
}
