"""Pools in torch."""

import torch.nn.functional as F
from torch import fx

from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops import NoAttrs
from nasir.ops.pool import AVG_POOL, GLOBAL_POOL, MAX_POOL, AvgPoolAttrs, MaxPoolAttrs

Values = tuple[fx.Node, ...]


def _max_pool(e: TorchEmitter, a: MaxPoolAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(F.max_pool2d, inputs[0], a.kernel, a.stride, a.padding)


def _avg_pool(e: TorchEmitter, a: AvgPoolAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(
        F.avg_pool2d,
        inputs[0],
        a.kernel,
        a.stride,
        a.padding,
        count_include_pad=a.count_padding,
    )


def _global_pool(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(F.adaptive_avg_pool2d, inputs[0], (1, 1))


RULES = (
    TorchRule(MAX_POOL, _max_pool),
    TorchRule(AVG_POOL, _avg_pool),
    TorchRule(GLOBAL_POOL, _global_pool),
)
