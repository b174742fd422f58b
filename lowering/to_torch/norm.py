"""Batch norm in torch."""

import torch.nn.functional as F
from torch import fx

from lowering.to_torch.rule import Emitter, Rule
from nasir.ops.norm import BATCH_NORM, BatchNormAttrs


def _batch_norm(
    e: Emitter, a: BatchNormAttrs, inputs: tuple[fx.Node, ...], weights: tuple[fx.Node, ...]
) -> fx.Node:
    """In training the batch's statistics, and the running ones updated; else the running ones."""
    *affine, mean, variance = weights
    weight, bias = affine or (None, None)
    if e.training and not e.follow:
        mean = variance = None
    return e.call(
        F.batch_norm, inputs[0], mean, variance, weight, bias, e.training, a.momentum, a.eps
    )


RULES = (Rule(BATCH_NORM, _batch_norm),)
