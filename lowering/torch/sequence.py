"""Tokens and sequences in torch. A body is a function that a loop over time calls."""

import operator
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering.torch.code import Variable
from lowering.torch.rule import Emit, TorchEmitter
from nasir.graph import graph_of
from nasir.ops import NoAttrs
from nasir.ops.sequence import RateAttrs, ScanAttrs, WidthAttrs, WordDropoutAttrs

Values = tuple[Variable, ...]


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

    def scan(sequence: Tensor, state: Tensor, *rest: Tensor) -> Tensor:
        states: list[Tensor] = []
        for x in sequence.unbind(0):
            state = step(x, state, *rest)
            states.append(state)
        return torch.stack(states)

    scan.__name__ = f"scan_{name}"
    return scan


def _last(e: TorchEmitter, _: NoAttrs, states: Variable) -> Variable:
    return e.call(operator.getitem, states, -1)


def _decoder(e: TorchEmitter, _: WidthAttrs, *values: Variable) -> Variable:
    return e.call(F.linear, *values)


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
