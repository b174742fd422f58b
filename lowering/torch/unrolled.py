"""Gradients of the logits of an architecture, after weights that took a step.

DARTS, arXiv:1806.09055, equations 6 to 8, as the published code computes them: one unrolled step of
gradient descent with momentum, and the mixed second derivative by central differences. The papers'
code copies the model; here the network is called with other weights, and its own stay untouched.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lowering.torch.network import Network
from lowering.torch.rule import add_each, mul_each, norm_each
from nasir.arguments import checked

Run = Callable[..., Any]
"""The network as a function of its inputs."""

Objective = Callable[[Run], Tensor]
"""The loss of one batch, from the network: `lambda run: loss(run(x, mixture(logits)), y)`.

It makes the mixture of the logits anew each time, from random numbers that were drawn before.
"""

Reduce = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""What gradients are passed through: their sums over the processes that have parts of the batch.

Each process then has its part of the loss, so that losses add up to the batch's.
"""

RADIUS = 0.01
"""The distance that weights move for the central difference, as a norm."""

Logits = Sequence[Tensor] | Mapping[str, Tensor]
"""The logits of each choice, in any order or by name; gradients come in the same order."""


@dataclass(frozen=True, slots=True)
class Unrolled:
    """A step of the weights: -rate * (momentum * buffer + gradient + decay * w).

    `buffers` are the optimiser's, in the order of the network's `leaves`; where they are missing
    there is no momentum. `clip` bounds the norm of both gradients of the weights, as for recurrent
    networks: the difference is then scaled by clip / norm even where that is more than 1.
    """

    rate: float
    momentum: float = 0.0
    decay: float = 0.0
    buffers: Sequence[Tensor] = ()
    clip: float | None = None


@checked
def first_order(
    module: Network, logits: Logits, valid: Objective, reduce: Reduce = tuple
) -> tuple[Tensor, ...]:
    """The gradients of the loss by the logits alone; running statistics follow the batch's."""
    loss = valid(partial(module.call, _detached(module)))
    return tuple(_gradients(loss, _rows(logits), reduce))


@checked
def second_order(
    module: Network,
    logits: Logits,
    train: Objective,
    valid: Objective,
    step: Unrolled,
    reduce: Reduce = tuple,
) -> tuple[Tensor, ...]:
    """The gradients by the logits of the validation loss after one step of the weights.

    With w' = w - rate * (...), g and v the gradients of the validation loss at w' by the logits and
    by w', and R = RADIUS / |v|: g - rate * (G(w + Rv) - G(w - Rv)) / 2R, where G is the gradient of
    the training loss by the logits. As in the papers' code, running statistics follow the three
    passes over the training batch, and not the one at w', which is a copy's there.
    """
    logits = _rows(logits)
    weights = _detached(module)
    descent = _gradients(train(module), module.leaves, reduce)
    descent, scale = _clipped(descent, step.clip)
    ahead = [w.requires_grad_() for w in _stepped(weights, descent, step)]
    loss = valid(partial(module.call_apart, ahead))
    both = _gradients(loss, [*logits, *ahead], reduce)
    direct, towards = both[: len(logits)], both[len(logits) :]
    towards, _ = _clipped(towards, step.clip)
    change = _difference(module, logits, train, weights, towards, reduce)
    return tuple(add_each(direct, mul_each(change, -step.rate * scale)))


def _rows(logits: Logits) -> tuple[Tensor, ...]:
    rows = tuple(logits.values() if isinstance(logits, Mapping) else logits)
    if not rows:
        raise ValueError("there are no logits; pass those of every choice")
    return rows


def _detached(module: Network) -> list[Tensor]:
    """The weights as constants, so that no gradient of theirs is computed."""
    return [weight.detach() for weight in module.leaves]


def _gradients(loss: object, by: Sequence[Tensor], reduce: Reduce) -> list[Tensor]:
    """Zeros where the loss does not depend on a tensor."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"an objective has to return a tensor, not {type(loss).__name__}")
    if not loss.requires_grad:
        return list(reduce([torch.zeros_like(value) for value in by]))
    return list(reduce(torch.autograd.grad(loss, by, materialize_grads=True)))


def _clipped(gradients: list[Tensor], bound: float | None) -> tuple[list[Tensor], Tensor | float]:
    """The gradients with at most that norm, and the bound divided by the norm."""
    if bound is None:
        return gradients, 1.0
    scale = bound / (_norm(gradients) + 1e-6)
    return mul_each(gradients, scale.clamp(max=1.0)), scale


def _norm(values: list[Tensor]) -> Tensor:
    """The norm of all of them as one vector."""
    return torch.stack(norm_each(values)).square().sum().sqrt()


def _stepped(weights: list[Tensor], descent: list[Tensor], step: Unrolled) -> list[Tensor]:
    """The weights after the step."""
    change = add_each(descent, weights, alpha=step.decay)
    if step.buffers:
        change = add_each(change, list(step.buffers), alpha=step.momentum)
    return add_each(weights, change, alpha=-step.rate)


def _difference(
    module: Network,
    logits: Sequence[Tensor],
    train: Objective,
    weights: list[Tensor],
    towards: list[Tensor],
    reduce: Reduce,
) -> list[Tensor]:
    """Returns the change of the training loss's gradients by the logits along `towards`."""
    radius = RADIUS / _norm(towards)
    shift = mul_each(towards, radius)
    ends: list[list[Tensor]] = []
    for sign in (1, -1):
        moved = add_each(weights, shift, alpha=sign)
        ends.append(_gradients(train(partial(module.call, moved)), logits, reduce))
    return mul_each(add_each(*ends, alpha=-1), 0.5 / radius)
