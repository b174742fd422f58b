"""Functions of each scalar in torch."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops import NoAttrs, OpSpec
from nasir.ops.pointwise import HARDSIGMOID, HARDSWISH, RELU, SIGMOID, SILU, TANH


def _rule(op: OpSpec, function: Callable[[Tensor], Tensor]) -> TorchRule:
    def emit(
        e: TorchEmitter, a: NoAttrs, inputs: tuple[fx.Node, ...], weights: tuple[fx.Node, ...]
    ) -> fx.Node:
        del a, weights
        return e.call(function, inputs[0])

    return TorchRule(op, emit)


RULES = (
    _rule(RELU, F.relu),
    _rule(SIGMOID, torch.sigmoid),
    _rule(TANH, torch.tanh),
    _rule(SILU, F.silu),
    _rule(HARDSIGMOID, F.hardsigmoid),
    _rule(HARDSWISH, F.hardswish),
)
