"""What autograd keeps for the backward pass, in bytes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from nasir.wanted import checked


@dataclass(frozen=True, slots=True)
class SavedBytes:
    """Of one forward pass: the bytes that are kept, and how many tensors keep them.

    In `bytes` memory that several tensors keep counts once, and that of parameters and buffers,
    which are there anyway, does not count. `tensors` counts each time that one is kept.
    """

    bytes: int
    tensors: int


@checked
def saved_bytes(module: nn.Module, *inputs: Any) -> SavedBytes:
    """What a call of the module with these inputs keeps for backward, whose results are dropped.

    In training mode the call updates running statistics, as any does.
    """
    own = {_place(value) for value in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}
    count = 0

    def note(value: Tensor) -> Tensor:
        nonlocal count
        count += 1
        place = _place(value)
        if place not in own:
            kept[place] = value.untyped_storage().nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(note, _same), torch.enable_grad():
        results = module(*inputs)
    del results  # only now may memory be used again: a place names one storage while it is alive
    return SavedBytes(sum(kept.values()), count)


def _same(value: Tensor) -> Tensor:
    return value


def _place(value: Tensor) -> int:
    return value.untyped_storage().data_ptr()
