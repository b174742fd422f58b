"""How values lie in memory."""

import torch
from torch import Tensor


def whole(value: Tensor) -> Tensor:
    """The value in memory of its own: pixel by pixel where its channels lie side by side."""
    last = value.dim() == 4 and value.stride(1) == 1 and value.shape[1] > 1
    return value.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)
