"""Batch norm in torch."""

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from lowering.torch import foreach
from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops.norm import BATCH_NORM, BatchNormAttrs


def shared_norm(x: Tensor, momentum: float, eps: float, *statistics: Tensor) -> Tensor:
    """x normalised by the batch's statistics, which all running means and variances follow."""
    size = x.numel() // x.shape[1]
    result, mean, inverse = torch.native_batch_norm(x, None, None, None, None, True, 0.0, eps)
    if not statistics:
        return result
    with torch.no_grad():
        mean, inverse = mean.to(statistics[0].dtype), inverse.to(statistics[0].dtype)
        unbiased = (inverse**-2 - eps) * (size / max(size - 1, 1))
        count = len(statistics) // 2
        foreach.lerp_(list(statistics), [mean, unbiased] * count, momentum)
    return result


def _batch_norm(
    e: TorchEmitter, a: BatchNormAttrs, inputs: tuple[fx.Node, ...], weights: tuple[fx.Node, ...]
) -> fx.Node:
    """In training the batch's statistics, and the running ones updated; else the running ones."""
    if a.copies > 1:
        assert e.training, "in evaluation every copy has values of its own"
        statistics = weights if e.follow else ()
        return e.call(shared_norm, inputs[0], a.momentum, a.eps, *statistics)
    *affine, mean, variance = weights
    weight, bias = (_contiguous(e, each) for each in affine) if affine else (None, None)
    if e.training and not e.follow:
        mean = variance = None
    return e.call(
        F.batch_norm, inputs[0], mean, variance, weight, bias, e.training, a.momentum, a.eps
    )


def _contiguous(e: TorchEmitter, weight: fx.Node) -> fx.Node:
    """A weight from outside, contiguous: else torch 2.13 gets gradients in channels_last wrong."""
    own = getattr(weight, "op", "") == "get_attr"  # what runs at once has tensors here
    return weight if own or not e.training else e.call(torch.Tensor.contiguous, weight)


RULES = (TorchRule(BATCH_NORM, _batch_norm),)
