"""Mixtures, zeros and noise in torch."""

import operator
from functools import reduce

import torch
from torch import Tensor, fx

from lowering.torch.rule import TorchEmitter, TorchRule
from nasir.ops.choice import (
    DROP_PATH,
    DROP_PATH_DRAWN,
    FROZEN_GAUSSIAN,
    GAUSSIAN,
    GAUSSIAN_DRAWN,
    MIX,
    ZERO,
    MixAttrs,
    StrideAttrs,
)
from nasir.ops.spec import NoAttrs

Values = tuple[fx.Node, ...]


def _strided(e: TorchEmitter, a: StrideAttrs, x: fx.Node) -> fx.Node:
    if a.stride == (1, 1):
        return x
    steps = (..., slice(None, None, a.stride[0]), slice(None, None, a.stride[1]))
    return e.call(operator.getitem, x, steps)


def _zero(e: TorchEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> fx.Node:
    """Plain zeros: a NaN in the input does not pass, unlike 0 * x."""
    del weights
    return e.call(torch.zeros_like, _strided(e, a, inputs[0]))


def _gaussian(e: TorchEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> fx.Node:
    """Drawn in the order of (N, C, H, W), so that memory formats have the same draws."""
    del weights
    x = _strided(e, a, inputs[0])
    return e.call(torch.randn_like, x, memory_format=torch.contiguous_format)


@torch.library.custom_op("nasir::gaussian", mutates_args=())
def _from_seed(like: Tensor, seed: Tensor) -> Tensor:
    """N(0, 1) of the shape of `like`, in the order of (N, C, H, W), from a seed on the host.

    An op of its own, because what torch.compile traces cannot make a generator.
    """
    generator = torch.Generator(like.device).manual_seed(int(seed))
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=like.device)


@_from_seed.register_fake  # pyright: ignore[reportUnknownMemberType]  # torch leaves it partly untyped
def _(like: Tensor, seed: Tensor) -> Tensor:
    del seed
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def gaussian(like: Tensor, seed: Tensor) -> Tensor:
    """N(0, 1) of the shape of `like`, which no gradient reaches."""
    return _from_seed(like.detach(), seed)


def _gaussian_drawn(e: TorchEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> fx.Node:
    del weights
    return e.call(gaussian, _strided(e, a, inputs[0]), inputs[1])


def _frozen(e: TorchEmitter, a: StrideAttrs, inputs: Values, weights: Values) -> fx.Node:
    return e.call(torch.Tensor.expand_as, weights[0], _strided(e, a, inputs[0]))


def _mix(e: TorchEmitter, a: MixAttrs, inputs: Values, weights: Values) -> fx.Node:
    """From left to right, as the papers' code adds."""
    del weights
    entries = e.call(torch.Tensor.unbind, inputs[0])
    terms = [
        e.call(operator.mul, value, e.call(operator.getitem, entries, option))
        for value, option in zip(inputs[1:], a.options, strict=True)
    ]
    return reduce(lambda x, y: e.call(operator.add, x, y), terms)


def drop_path(x: Tensor, probability: Tensor, draw: Tensor) -> Tensor:
    """Each example of (N, …) by itself is zero with this probability, of shape (1,).

    `draw` are numbers in [0, 1), of shape (N, 1).
    """
    keep = 1.0 - probability
    mask = (draw < keep) / keep
    return x * mask.to(x.dtype).view(-1, *(1,) * (x.dim() - 1))


def _drop_path(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(_drop_path_anew, *inputs) if e.training else inputs[0]


def _drop_path_anew(x: Tensor, probability: Tensor) -> Tensor:
    return drop_path(x, probability, torch.rand(x.shape[0], 1, device=x.device))


def _drop_path_drawn(e: TorchEmitter, a: NoAttrs, inputs: Values, weights: Values) -> fx.Node:
    del a, weights
    return e.call(drop_path, *inputs) if e.training else inputs[0]


RULES = (
    TorchRule(ZERO, _zero),
    TorchRule(GAUSSIAN, _gaussian),
    TorchRule(GAUSSIAN_DRAWN, _gaussian_drawn),
    TorchRule(FROZEN_GAUSSIAN, _frozen),
    TorchRule(MIX, _mix),
    TorchRule(DROP_PATH, _drop_path),
    TorchRule(DROP_PATH_DRAWN, _drop_path_drawn),
)
