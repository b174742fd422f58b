"""Memory for what forward keeps for backward, used again from step to step.

Fresh pages cost more than the arithmetic that fills them, and the allocator hands large blocks back
to the system after each backward.
"""

import ctypes
import mmap
import weakref

import torch
from torch import Tensor

_free: dict[int, list[mmap.mmap]] = {}


def lend(count: int, dtype: torch.dtype) -> Tensor:
    """A tensor of `count` values, not initialised; its memory comes back when it is dropped."""
    size = count * dtype.itemsize
    free = _free.setdefault(size, [])
    try:
        block = free.pop()
    except IndexError:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    view = (ctypes.c_char * size).from_buffer(block)
    weakref.finalize(view, free.append, block).atexit = False
    return torch.frombuffer(view, dtype=dtype)


def hand_back() -> None:
    """Hands all memory that is not lent back to the system."""
    for free in _free.values():
        free.clear()
