"""Rules that write one primitive in torch, and arithmetic on lists of tensors in one call."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lowering.torch.code import Code, Variable
from lowering.torch.store import FlatWeights
from nasir import Graph

Emit = Callable[..., Variable]
"""A primitive's rule: (emitter, attributes, *inputs, *weights in the op's order) -> the result."""


@dataclass(frozen=True, slots=True)
class TorchEmitter:
    """Appends calls to a program; what the program is for is fixed when it is made.

    `follow`: whether training makes running statistics follow the batch's, which the second run of
    one step must not. `together`: whether batch norms use the statistics of all processes' batches.
    `name` is what the values of the present node are called in the source; `function` lowers a body
    to a function of its inputs and then of its weights, and `replay` to one that does the same but
    for the running statistics. `pieces` are the numbers of channels that the first input is
    cut into, if it is. `flat`: the layout of the node's weights, if they come as one tensor, and
    that of its running statistics.
    """

    code: Code
    training: bool
    follow: bool
    together: bool
    name: str
    function: Callable[[Graph], Callable[..., Any]]
    replay: Callable[[Graph], Callable[..., Any]]
    pieces: tuple[int, ...] = ()
    flat: tuple[FlatWeights, ...] = ()

    def once(self, function: Callable[..., Any], *args: Any) -> Variable:
        """A call, or the result of the same call before."""
        return self.code.once(self.name, function, args)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Variable:
        """A call of a function of tensors."""
        return self.code.call(self.name, function, args, kwargs)


class RowNode(NamedTuple):
    """A node among those in a row that one rule writes; an input may be the place of one before.

    `read`: whether a node or an output beyond them reads it.
    """

    emitter: TorchEmitter
    attrs: Any
    inputs: Sequence[Variable | int]
    weights: Sequence[Any]
    read: bool = True


RowRule = Callable[[Sequence[RowNode]], Sequence[Variable | None]]
"""A rule of nodes in a row: of each that is read beyond them, its value."""

_torch: Any = torch  # these have no public names

lerp_each_ = _torch._foreach_lerp_
"""lerp_each_(values, others, weight): moves each value that share of the way to the other."""

mul_each = _torch._foreach_mul
"""mul_each(values, factors): each value times its factor, or times the one number."""

add_each = _torch._foreach_add
"""add_each(values, others, alpha=1): each value plus alpha times the other."""

norm_each = _torch._foreach_norm
"""norm_each(values): the Euclidean norm of each value."""


def follow_batch(values: Sequence[Tensor], mean: Tensor, unbiased: Tensor, share: float) -> None:
    """Moves running means and variances, which alternate, that share of the way to a batch's."""
    lerp_each_(list(values), [mean, unbiased] * (len(values) // 2), share)
