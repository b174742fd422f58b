"""Arrays of whole numbers in MATLAB's files of version 5, as SVHN is published in.

Read here: on a file whose bytes have changed, SciPy's reader may end the process.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runners.benchmarks.budget import FileBudget

Array = NDArray[Any]

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
"""How numbers are stored, which need not be as what they are used."""

_NUMERIC = range(6, 16)
"""Classes of arrays: double, single and whole numbers; others are text, cells and structures."""


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Elements one after the other, and the order of their numbers' bytes."""

    content: bytes
    order: str

    def elements(self, begin: int = 0) -> Iterator[tuple[int, bytes]]:
        """The type and content of each element. Raises ValueError where one is cut off."""
        while begin < len(self.content):
            kind, size, begin = self._tag(begin)
            end = begin + size
            if end > len(self.content):
                raise ValueError(f"{size} bytes are stated, {len(self.content) - begin} are there")
            yield kind, self.content[begin:end]
            # What is compressed is not padded, and short elements take eight bytes in all.
            begin = end if kind == _COMPRESSED else begin + size + (-end) % 8

    def _tag(self, begin: int) -> tuple[int, int, int]:
        """Type, size and place of the content of the element that begins there."""
        first, second = struct.unpack_from(f"{self.order}II", self.content, begin)
        if first >> 16:
            return first & 0xFFFF, first >> 16, begin + 4
        return first, second, begin + 8


def matlab_arrays(content: bytes, place: Path) -> dict[str, Array]:
    """The arrays of numbers in a file, by name, in the types they are stored in.

    Raises ValueError, EOFError, struct.error or zlib.error where the file is damaged, and E106 at
    its place.
    """
    mark = content[126:_HEADER]
    if mark not in (b"IM", b"MI"):
        raise ValueError("it is no MATLAB file of version 5")
    order = "<" if mark == b"IM" else ">"
    found: dict[str, Array] = {}
    budget = FileBudget(place, len(content))
    for kind, part in _Bytes(content, order).elements(_HEADER):
        if kind == _COMPRESSED:
            kind, part = next(_Bytes(budget.inflated(part), order).elements(), (0, b""))
        if kind == _MATRIX:
            found |= _matrix(_Bytes(part, order))
    return found


def _matrix(content: _Bytes) -> dict[str, Array]:
    """One array under its name; none where it is not of real numbers."""
    elements = content.elements()
    (_, flags), (_, sides), (_, name) = (next(elements, (0, b"")) for _ in range(3))
    (flag,) = struct.unpack_from(f"{content.order}I", flags)
    if flag & 0xFF not in _NUMERIC:
        return {}
    kind, numbers = next(elements, (0, b""))
    if kind not in _TYPES:
        raise ValueError(f"numbers of the type {kind}")
    shape = struct.unpack(f"{content.order}{len(sides) // 4}i", sides)
    values = np.frombuffer(numbers, f"{content.order}{_TYPES[kind]}")
    return {name.decode("ascii", "replace"): values.reshape(shape, order="F")}
