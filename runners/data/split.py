"""Splits of one set of pictures into two."""

import torch
from torch import Tensor

import lowering
from runners.machine.arrays import numbered


def halves(count: int, share: float = 0.5, seed: int | None = None) -> tuple[Tensor, Tensor]:
    """Indices, int64, of two parts that have none in common; the first has floor(share · count).

    In file order, as DARTS splits (arXiv:1806.09055, section 3.1), unless a seed shuffles them.
    """
    assert 0 <= share <= 1, f"a part of {share}"
    if seed is None:
        order = torch.arange(count)
    else:
        order = torch.randperm(count, generator=lowering.generator(seed, "split"))
    cut = int(count * share)
    return order[:cut], order[cut:]


def mixed(labels: Tensor) -> Tensor:
    """An order in which any run of pictures has every class about as often as the whole.

    (N,) int64. Files of a folder come class by class, and halves of that would share no class.
    Within a class the order stays.
    """
    labels = numbered(labels)  # one may be as large as a number can be
    counts = torch.bincount(labels)
    by_class = torch.argsort(labels, stable=True)
    starts = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(labels)) - starts[labels[by_class]]
    place = (rank.double() + 0.5) / counts[labels[by_class]]
    return by_class[torch.argsort(place, stable=True)]
