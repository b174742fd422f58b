"""Sums, products and joins in torch."""

import operator
from collections.abc import Callable
from functools import reduce
from typing import Any, cast

import torch
from torch import Tensor, fx

from lowering.torch.layout import whole
from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops import NoAttrs
from nasir.ops.merge import ADD, CONCAT, MEAN, MUL, SUB

Values = tuple[fx.Node, ...]


def _add(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    """From left to right, so that rounding is the same everywhere."""
    del a, weights
    return reduce(lambda x, y: e.call(operator.add, x, y), inputs)


def _mean(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    total = reduce(lambda x, y: e.call(operator.add, x, y), inputs)
    return e.call(torch.div, total, len(inputs))


def _mul(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(operator.mul, *inputs)


class _Concat(torch.autograd.Function):
    """The values side by side; gradients of each lie in memory as it does.

    torch hands back slices of the whole's gradient, and its batch norms and sums are several times
    slower on those than on whole images.
    """

    @staticmethod
    def forward(ctx: Any, *values: Tensor) -> Tensor:
        ctx.widths = [value.shape[1] for value in values]
        return torch.cat(values, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:  # pyright: ignore[reportIncompatibleMethodOverride] - torch's is for any number
        gradient: Any = gradients[0]
        return tuple(map(whole, gradient.split(ctx.widths, 1)))


# torch leaves what `apply` returns untyped.
_apply = cast("Callable[..., Tensor]", _Concat.apply)  # pyright: ignore[reportUnknownMemberType] - as above


def concat(*values: Tensor) -> Tensor:
    """The values side by side along channels, for training."""
    if torch.compiler.is_compiling():  # which lays out gradients itself
        return torch.cat(values, 1)
    return _apply(*values)


def _concat(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(concat, *inputs) if e.training else e.call(torch.cat, inputs, 1)


def _sub(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(operator.sub, *inputs)


RULES = (
    TorchRule(ADD, _add),
    TorchRule(MUL, _mul),
    TorchRule(CONCAT, _concat),
    TorchRule(SUB, _sub),
    TorchRule(MEAN, _mean),
)
