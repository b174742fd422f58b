"""A part of an original network that is a part of nasir's, tensor by tensor in one order."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unit:
    """All of the original's tensors below `theirs`, in order, are those below the keys `ours`.

    `theirs` and `ours` are names, or starts of names that end in a dot or a slash. Convolutions and
    batch norms stand in the order in which they run on both sides, and a batch norm is weight,
    bias, mean, variance.
    """

    theirs: str
    ours: tuple[str, ...]


def is_below(name: str, start: str) -> bool:
    """Whether a name is `start` itself, or begins with it where that ends in a dot or a slash."""
    return name == start or (start[-1] in "./" and name.startswith(start))


def in_order(names: Iterable[str]) -> list[str]:
    """The names of a part's tensors in the order in which they run: files may hold them in any."""
    return sorted(names, key=lambda name: [_rank(part) for part in name.split(".")])


def _rank(part: str) -> tuple[int, int, str]:
    if part.isdecimal():
        return (0, int(part), "")
    return (_LATER.index(part) + 1 if part in _LATER else 0, 0, part)


_LATER = ("features", "bn", "classifier", "weight", "bias", "running_mean", "running_var")
"""Names that stand behind their neighbours, in this order; others in their own."""
