"""torch where its own types say too little: arrays, sorted values, entropies, norms."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

_torch: Any = torch


def tensor_of(array: np.ndarray) -> Tensor:
    """The array's memory as a tensor."""
    return _torch.from_numpy(array)


def distinct(values: Tensor) -> list[int]:
    """The different whole numbers among the values, sorted."""
    return _torch.unique(values).tolist()


def numbered(values: Tensor) -> Tensor:
    """Each whole number's place among the different ones, from 0."""
    return _torch.unique(values, return_inverse=True)[1]


def entropy(shares: Tensor) -> Tensor:
    """Of a distribution, in nats; 0 log 0 is 0."""
    return _torch.special.entr(shares).sum()


def length(vector: Tensor) -> Tensor:
    """The Euclidean norm."""
    return _torch.linalg.vector_norm(vector)


def backward(loss: Tensor) -> None:
    """Adds the gradients of a loss to its leaves."""
    value: Any = loss
    value.backward()


def listed(values: Tensor) -> list[Any]:
    """The numbers as nested lists."""
    found: Any = values
    return found.tolist()
