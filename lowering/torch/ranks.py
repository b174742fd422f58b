"""Networks in several processes, each with a part of the batch, joined by torch.distributed."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, distributed

from lowering.torch.rule import follow_batch


@dataclass(frozen=True, slots=True)
class BatchPart:
    """This process's examples: `count` of a batch of `total`, from number `first`."""

    first: int
    count: int
    total: int

    @property
    def share(self) -> float:
        """The part of the batch that is here, from 0 to 1."""
        return self.count / self.total

    @property
    def span(self) -> slice:
        """The places of the examples in the batch."""
        return slice(self.first, self.first + self.count)


@dataclass(slots=True)
class _State:
    apart: bool = False


_state = _State()


@contextmanager
def apart() -> Generator[None]:
    """Synchronised batch norms use this process's batch alone within the context."""
    before, _state.apart = _state.apart, True
    try:
        yield
    finally:
        _state.apart = before


def normalised(x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, float]:
    """x (N, C, …) normalised by the statistics of all processes' batches.

    Also returns mean and biased variance, (C,), without gradients, and the number of values that
    they are of. Statistics are in float32 at least. Differentiable, twice too.
    """
    axes = [0, *range(2, x.dim())]
    exact = x.float() if x.dtype.itemsize < 4 else x
    size = exact.new_full((1,), x.numel() / x.shape[1])
    *_, size = total = _summed(torch.cat([exact.sum(axes), size]))
    mean = total[:-1] / size
    centred = exact - _wide(mean, x)
    variance = _summed(centred.square().sum(axes)) / size
    result = (centred * _wide((variance + eps).rsqrt(), x)).to(x.dtype)
    return result, mean.detach(), variance.detach(), float(size.detach())


def synchronised_norm(
    x: Tensor,
    momentum: float,
    eps: float,
    statistics: Sequence[Tensor],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Batch norm in training, over all processes; `statistics` are running means and variances.

    What torch.nn.SyncBatchNorm computes, which runs on GPUs only and whose gradient has none.
    """
    result, mean, variance, size = normalised(x, eps)
    if statistics:
        with torch.no_grad():
            unbiased = variance * (size / max(size - 1, 1))
            kind = statistics[0].dtype
            follow_batch(statistics, mean.to(kind), unbiased.to(kind), momentum)
    if weight is None or bias is None:
        return result
    return result * _wide(weight, x) + _wide(bias, x)


def _summed(values: Tensor) -> Tensor:
    """The sum over processes, through which gradients flow to all of them."""
    if _state.apart:
        return values
    # torch names it instead of torch.distributed.nn's, which is deprecated.
    from torch.distributed import _functional_collectives as untyped

    functional: Any = untyped
    return functional.all_reduce(values, "sum", distributed.group.WORLD)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.view(1, -1, *(1,) * (like.dim() - 2))
