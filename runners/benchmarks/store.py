"""nasir's own file of a benchmark: mapped into memory, so that a look-up reads a few pages."""

import mmap
import sys
import zlib
from array import array
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nasir import Genotype, NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.damage import damaged, read_whole
from runners.benchmarks.kinds import KINDS, Kind
from runners.benchmarks.layout import (
    MAGIC,
    NUMBER,
    PREAMBLE_SIZE,
    VALUE_SIZE,
    VERSION,
    Header,
    Layout,
    checksum,
    layout,
    unpack_header,
    unpack_preamble,
)
from runners.benchmarks.record import Column, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHUNK = 2**24


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. Opening reads its header alone; looking up needs no NumPy.

    A look-up compares the checksums of the keys and of the row that it reads, and raises E604 where
    one is wrong, or a value is no percentage; `values` compares none.
    """

    path: Path
    header: Header
    parts: Layout
    content: mmap.mmap

    @property
    def kind(self) -> Kind:
        """The benchmark."""
        return KINDS[self.header.benchmark]

    @property
    def columns(self) -> tuple[Column, ...]:
        """What there are numbers of."""
        return self.header.columns

    def __len__(self) -> int:
        return self.header.keys

    def lookup(self, key: str | Genotype) -> Record | None:
        """The record of a key or genotype; None where the benchmark has no such architecture."""
        key, width = self.kind.key_of(key), self.header.key_width
        wanted = key.encode()
        if len(wanted) > width:
            return None
        wanted = wanted.ljust(width, b"\0")
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) < wanted:
                low = middle + 1
            else:
                high = middle
        if low == len(self) or self._key(low) != wanted:
            return None
        return self._record(self._number(self.parts.rows, low), key)

    def at(self, index: int) -> Record | None:
        """The record of an index of the benchmark; None when it has no such index."""
        if not self.kind.indexed or not 0 <= index < len(self):
            return None
        return self._record(index, self.key_at(index))

    def key_at(self, row: int) -> str:
        """The key of a row of `values`. Raises E604."""
        text = self._key(self._number(self.parts.places, row)).rstrip(b"\0").decode("latin1")
        if not self.kind.keys.fullmatch(text):
            raise damaged(self.path, f"a key is {quoted(text)}")
        return text

    def values(self) -> "NDArray[np.float64]":
        """All accuracies, (architectures, columns), mapped and read-only; NaN for none."""
        import numpy as np

        shape = (len(self), len(self.columns))
        return np.memmap(self.path, "<f8", "r", self.parts.values, shape)

    def check(self) -> None:
        """Raises E604 unless every byte of the body is as it was written."""
        whole = 0
        for start in range(self.parts.keys, self.parts.end, _CHUNK):
            end = min(start + _CHUNK, self.parts.end)
            whole = zlib.crc32(self.content[start:end], whole)
        if f"{whole:08x}" != self.header.checksum:
            raise damaged(self.path, "the body's checksum is wrong")

    def close(self) -> None:
        """Give the mapping back."""
        self.content.close()

    def _key(self, place: int) -> bytes:
        start = self.parts.keys + place * self.header.key_width
        key = self.content[start : start + self.header.key_width]
        self._compare(self.parts.key_sums, place, self._number(self.parts.rows, place), key)
        return key

    def _number(self, part: int, place: int) -> int:
        number = NUMBER.unpack_from(self.content, part + place * NUMBER.size)[0]
        if number >= len(self):
            raise damaged(self.path, "a row is named that is not there")
        return number

    def _record(self, row: int, key: str) -> Record:
        size = len(self.columns) * VALUE_SIZE
        start = self.parts.values + row * size
        content = self.content[start : start + size]
        self._compare(self.parts.row_sums, row, self._number(self.parts.places, row), content)
        numbers = array("d", content)
        if sys.byteorder == "big":
            numbers.byteswap()
        pairs = zip(self.columns, numbers, strict=True)
        values = {column: number for column, number in pairs if not isnan(number)}
        if values and not (min(values.values()) >= 0 and max(values.values()) <= 100):
            raise damaged(self.path, f"an accuracy of {key} is no percentage")
        return Record(key, row if self.kind.indexed else None, values)

    def _compare(self, part: int, place: int, number: int, content: bytes) -> None:
        if NUMBER.unpack_from(self.content, part + place * NUMBER.size)[0] != checksum(
            number, content
        ):
            raise damaged(self.path, "a checksum is wrong")


def open_store(path: Path) -> Store:
    """Map a store. Raises E101, E102, E108 (no store), E110 (another version), E604 (damaged)."""
    with read_whole(path), path.open("rb") as stream:
        header, size = _read_header(path, stream)
        parts = layout(header, size)
        length = stream.seek(0, 2)
        if length != parts.end:
            raise damaged(path, f"the file has {length:,} bytes, not {parts.end:,}")
        if header.benchmark not in KINDS:
            raise ValueError(f"unknown benchmark {header.benchmark}")
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return Store(path, header, parts, content)


def _read_header(path: Path, stream: BinaryIO) -> tuple[Header, int]:
    """The header and the length of its text."""
    preamble = stream.read(PREAMBLE_SIZE)
    if not preamble.startswith(MAGIC):
        hint = "nasir bench import makes one of a benchmark's own files"
        raise NasirError("E108", "the file is no store", Where(str(path)), hint)
    version, length, expected = unpack_preamble(preamble)
    if version != VERSION:
        message = f"the store is written in version {version}; this nasir reads version {VERSION}"
        raise NasirError(
            "E110", message, Where(str(path)), hint="import the benchmark again with this nasir"
        )
    return unpack_header(stream.read(length), expected), length
