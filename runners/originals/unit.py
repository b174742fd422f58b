"""A part of an original network that is a part of nasir's, tensor by tensor in one order."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """All of the original's tensors below `theirs`, in order, are those below the keys `ours`.

    `theirs` and `ours` are names, or starts of names that end in a dot or a slash. Convolutions and
    batch norms stand in the order in which they run on both sides, and a batch norm is weight,
    bias, mean, variance.
    """

    theirs: str
    ours: tuple[str, ...]


class Below:
    """Finds names by how they start, in time that does not grow with how many there are."""

    def __init__(self, names: Iterable[str]) -> None:
        self._place = {name: place for place, name in enumerate(names)}
        self._sorted = sorted(self._place)

    def __call__(self, start: str) -> list[str]:
        """The name `start`, or those that begin with it where it ends in a dot or a slash, in the
        order that the names were given in."""
        if start[-1] not in "./":
            return [start] if start in self._place else []
        first = bisect_left(self._sorted, start)
        last = bisect_left(self._sorted, start[:-1] + chr(ord(start[-1]) + 1))
        return sorted(self._sorted[first:last], key=self._place.__getitem__)


def in_order(names: Iterable[str]) -> list[str]:
    """The names of a part's tensors in the order in which they run: files may hold them in any."""
    return sorted(names, key=lambda name: [_rank(part) for part in name.split(".")])


def _rank(part: str) -> tuple[int, int, str]:
    if part.isdecimal() and len(part) < 10:
        return (0, int(part), "")
    return (_LATER.index(part) + 1 if part in _LATER else 0, 0, part)


_LATER = ("features", "bn", "classifier", "weight", "bias", "running_mean", "running_var")
"""Names that stand behind their neighbours, in this order; others in their own."""
