"""Windows of truncated back-propagation: where each begins, and how long it is.

An epoch's windows are all known before it begins, from (seed, epoch) alone: so a batch can be asked
for in any order.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Generator, Tensor

from lowering import generator

LEAST_ROWS = 3
"""Of a stream that windows are cut from: as published, none begins at its last two rows."""


@dataclass(frozen=True, slots=True)
class Window:
    """`drawn` is the length that was drawn; where the stream ends first, the window is shorter."""

    start: int
    drawn: int


class Windows(Protocol):
    """How long windows are."""

    @property
    def bptt(self) -> int:
        """The usual length, at which the learning rate is what it is."""
        ...

    @property
    def shortest(self) -> int:
        """No length is below it."""
        ...

    def lengths(self, count: int, source: Generator) -> Tensor:
        """So many lengths, int64 (count,)."""
        ...


@dataclass(frozen=True, slots=True)
class FixedWindows:
    """`bptt` with probability `full`, else half of it. The search of DARTS, arXiv:1806.09055."""

    bptt: int = 35
    full: float = 0.95

    def __post_init__(self) -> None:
        _check(self.bptt, self.full)

    @property
    def shortest(self) -> int:
        """Half the usual length."""
        return self.bptt // 2

    def lengths(self, count: int, source: Generator) -> Tensor:
        """So many lengths, int64 (count,)."""
        return torch.where(_whole(self.full, count, source), self.bptt, self.bptt // 2)


@dataclass(frozen=True, slots=True)
class VariedWindows:
    """Normal around `bptt` with probability `full`, else around half of it, cut at both ends.

    The evaluation of DARTS: max(shortest, int(N(mean, deviation))), at most bptt + `beyond`.
    """

    bptt: int = 35
    full: float = 0.95
    deviation: float = 5.0
    shortest: int = 5
    beyond: int = 20

    def __post_init__(self) -> None:
        _check(self.bptt, self.full)
        assert 1 <= self.shortest <= self.bptt + self.beyond
        assert self.deviation >= 0

    def lengths(self, count: int, source: Generator) -> Tensor:
        """So many lengths, int64 (count,)."""
        mean = torch.where(_whole(self.full, count, source), float(self.bptt), self.bptt / 2)
        drawn = mean + self.deviation * torch.randn(count, generator=source)
        return drawn.long().clamp(self.shortest, self.bptt + self.beyond)


@lru_cache(maxsize=8)
def cut(windows: Windows, rows: int, seed: int, epoch: int) -> tuple[Window, ...]:
    """The windows of an epoch over a stream of `rows`; each reads one row more as its target."""
    source = generator(seed, f"windows {epoch}")
    lengths = windows.lengths(max(rows, 1) // windows.shortest + 1, source)
    starts = (lengths.cumsum(0) - lengths).numpy().tolist()
    drawn = lengths.numpy().tolist()
    return tuple(
        Window(start, length)
        for start, length in zip(starts, drawn, strict=True)
        if start <= rows - LEAST_ROWS
    )


def _check(bptt: int, full: float) -> None:
    assert bptt > 1, "a window has at least two steps"
    assert 0 <= full <= 1, "a probability"


def _whole(full: float, count: int, source: Generator) -> Tensor:
    """Which windows are whole, by draws."""
    return torch.rand(count, generator=source) < full
