"""Training data in two parts: one for weights, one for architectures."""

import torch
from torch import Tensor

import lowering


def halves(count: int, share: float = 0.5, seed: int | None = None) -> tuple[Tensor, Tensor]:
    """Numbers of the examples of each part; the first has floor(share · count) of them.

    In file order, as the papers' code has it, whatever the seed of the search; drawn where a seed
    is given.
    """
    order = torch.arange(count)
    if seed is not None:
        order = torch.randperm(count, generator=lowering.generator(seed, "split"))
    first = int(share * count)
    return order[:first], order[first:]
