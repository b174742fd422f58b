"""Memory for images and for what backward needs, used again from step to step."""

import contextlib
import math
import mmap
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_LEAST = 1 << 17
"""The bytes from which on a tensor's memory is lent; the allocator keeps smaller ones by itself."""

_torch_c: Any = torch._C  # pyright: ignore[reportPrivateUsage] - has no public count of users


class _Block(NamedTuple):
    """Memory as a tensor of bytes that is never handed out, and the place of its storage."""

    memory: Tensor
    storage: int
    alone: int

    @property
    def free(self) -> bool:
        """True if no other tensor has the memory."""
        return bool(_torch_c._storage_Use_Count(self.storage) == self.alone)


class _Blocks:
    """Blocks of one size: those known to be free, those that were lent, of which some may be.

    `most` are the most that were in use since the last sweep.
    """

    __slots__ = ("free", "lent", "most")

    def __init__(self) -> None:
        self.free: list[_Block] = []
        self.lent: list[_Block] = []
        self.most = 0

    def gather(self) -> None:
        """Finds what is free."""
        lent = self.lent
        self.lent = []
        for block in lent:
            (self.free if block.free else self.lent).append(block)

    def take(self, size: int) -> _Block:
        """A block that is free; a new one where there is none."""
        if len(self.lent) >= self.most:
            self.gather()
        if not self.free:
            self.free.append(_new(size))
        self.lent.append(self.free.pop())
        self.most = max(self.most, len(self.lent))
        return self.lent[-1]


class Pool:
    """Memory by its size.

    Fresh pages cost more than the arithmetic that fills them, and the allocator hands large blocks
    back to the system after each backward. Blocks that several steps did not ask for, as after a
    batch or a supernet of another size, are freed.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, _Blocks] = {}
        self._calls = 0
        self._patience = 2048
        self._lock = threading.Lock()  # a block is free until its tensor is made

    def lend(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor, not initialised; its memory comes back when it is dropped.

        Images, of four dimensions, are channels_last; others have one.
        """
        strides = (1,)
        if len(shape) == 4:
            _, channels, height, width = shape
            strides = (channels * height * width, 1, width * channels, channels)
        size = math.prod(shape) * dtype.itemsize
        if size < _LEAST:
            return torch.empty_strided(shape, strides, dtype=dtype)
        # Not a view: torch forbids to change views that autograd's functions make.
        lent = torch.empty(0, dtype=dtype)
        with self._lock:
            self._calls += 1
            if self._calls > self._patience:
                self._sweep()
            if size not in self._sizes:
                self._sizes[size] = _Blocks()
            block = self._sizes[size].take(size)
            return lent.set_(block.memory.untyped_storage(), 0, tuple(shape), strides)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return sum(len(each.free) + len(each.lent) for each in self._sizes.values())

    def idle(self) -> int:
        """The bytes that are free."""
        with self._lock:
            for each in self._sizes.values():
                each.gather()
        return sum(size * len(each.free) for size, each in self._sizes.items())

    def release(self) -> None:
        """Frees all that is not in use."""
        with self._lock:
            for each in self._sizes.values():
                each.gather()
                each.most = len(each.lent)
            self._sweep()

    def _sweep(self) -> None:
        for each in self._sizes.values():
            each.gather()
            unused = len(each.free) + len(each.lent) - each.most
            del each.free[: max(0, unused)]
            each.most = len(each.lent)
        self._calls = 0
        self._patience = max(2048, 8 * self.blocks)  # of a step there are about two for each block


def _new(size: int) -> _Block:
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without huge pages
            block.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(block, dtype=torch.uint8)
    storage: Any = memory.untyped_storage()
    return _Block(memory, storage._cdata, _torch_c._storage_Use_Count(storage._cdata))


POOL = Pool()
lend = POOL.lend
