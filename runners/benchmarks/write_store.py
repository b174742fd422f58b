"""Writing a store from records, however they come."""

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import nasir
from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.files import replacing
from runners.benchmarks.layout import (
    PREAMBLE_SIZE,
    VALUE_SIZE,
    Header,
    checksum,
    layout,
    pack_header,
)
from runners.benchmarks.record import Column, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ROWS_AT_ONCE = 4096
_LEAST, _SCATTERED = 2**22, 50
"""Places that a table may have, and more of them for each accuracy that stands in one."""


@dataclass(slots=True)
class Packed:
    """Records collected in one matrix, which grows. Mutable: `add` fills it."""

    rows: dict[str, int] = field(default_factory=dict[str, int])
    places: dict[Column, int] = field(default_factory=dict[Column, int])
    matrix: "NDArray[np.float64] | None" = None
    count: int = 0

    def add(self, record: Record) -> None:
        """Keep a record's values; a key may come again with other columns."""
        row = self.rows.setdefault(record.key, len(self.rows))
        if record.index is not None and record.index != row:
            message = f"{quoted(record.key)} has the index {record.index} and stands at {row}"
            raise NasirError("E105", message)
        for column in record.values:
            self.places.setdefault(column, len(self.places))
        self.count += len(record.values)
        if len(self.rows) * len(self.places) > _LEAST + _SCATTERED * self.count:
            message = f"{len(self.rows):,} architectures have {self.count:,} accuracies under "
            raise NasirError("E106", f"{message}{len(self.places):,} names: a table of gaps")
        matrix = self._with_room()
        for column, value in record.values.items():
            matrix[row, self.places[column]] = value

    def _with_room(self) -> "NDArray[np.float64]":
        import numpy as np

        old = self.matrix if self.matrix is not None else np.empty((0, 0))
        height, width = old.shape
        if len(self.rows) <= height and len(self.places) <= width and self.matrix is not None:
            return old
        height = height if len(self.rows) <= height else max(1024, 2 * height)
        width = width if len(self.places) <= width else max(16, 2 * width, len(self.places))
        grown = np.full((height, width), np.nan)
        grown[: old.shape[0], : old.shape[1]] = old
        self.matrix = grown
        return grown


def pack(records: Iterable[Record], source: Path) -> Packed:
    """The records as one matrix.

    Raises E105 when an architecture comes with two indices, E106 where nearly all would be gaps.
    """
    packed = Packed()
    for record in records:
        try:
            packed.add(record)
        except NasirError as error:
            raise error.at(Where(str(source))) from None
    return packed


def write_store(path: Path, packed: Packed, benchmark: str, source: Path) -> Header:
    """Write what was packed as a store, atomically. Its header.

    Raises E109 when there is no result at all, E112.
    """
    if not packed.rows or not packed.places:
        raise NasirError("E109", "the source holds no results", Where(str(source)))
    keys = sorted(key.encode() for key in packed.rows)
    header = Header(
        benchmark=benchmark,
        source=source.name,
        nasir=nasir.__version__,
        keys=len(keys),
        key_width=max(map(len, keys)),
        checksum="0" * 8,
        columns=tuple(sorted(packed.places, key=lambda column: column.order)),
    )
    with replacing(path) as stream:
        return _write(stream, header, keys, packed)


def _write(stream: BinaryIO, header: Header, keys: list[bytes], packed: Packed) -> Header:
    """The header is written twice: its checksum of the body is known at the end."""
    head = pack_header(header)
    parts = layout(header, len(head) - PREAMBLE_SIZE)
    stream.write(head.ljust(parts.keys, b"\0"))
    whole, offset = 0, parts.keys
    rows = [packed.rows[key.decode()] for key in keys]
    places = [0] * len(rows)
    for place, row in enumerate(rows):
        places[row] = place
    sections = (
        (parts.rows, _key_section(header, keys)),
        (parts.places, _numbers(rows)),
        (parts.key_sums, _numbers(places)),
        (parts.row_sums, _key_sums(header, keys, rows)),
        (parts.values, _row_sums(header, packed, places)),
        (parts.end, _value_section(header, packed)),
    )
    for end, chunks in sections:
        for chunk in chunks:
            stream.write(chunk)
            whole, offset = zlib.crc32(chunk, whole), offset + len(chunk)
        padding = bytes(end - offset)
        stream.write(padding)
        whole, offset = zlib.crc32(padding, whole), end
    header = replace(header, checksum=f"{whole:08x}")
    stream.seek(0)
    stream.write(pack_header(header))
    return header


def _key_section(header: Header, keys: list[bytes]) -> Iterator[bytes]:
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        part = keys[start : start + _ROWS_AT_ONCE]
        yield b"".join(key.ljust(header.key_width, b"\0") for key in part)


def _numbers(numbers: Iterable[int]) -> Iterator[bytes]:
    import numpy as np

    yield np.fromiter(numbers, "<u4").tobytes()


def _key_sums(header: Header, keys: list[bytes], rows: list[int]) -> Iterator[bytes]:
    padded = (key.ljust(header.key_width, b"\0") for key in keys)
    yield from _numbers(checksum(row, key) for row, key in zip(rows, padded, strict=True))


def _row_sums(header: Header, packed: Packed, places: list[int]) -> Iterator[bytes]:
    size, row = len(header.columns) * VALUE_SIZE, 0
    for chunk in _value_section(header, packed):
        parts = [chunk[start : start + size] for start in range(0, len(chunk), size)]
        numbered = zip(places[row : row + len(parts)], parts, strict=True)
        yield from _numbers(checksum(place, part) for place, part in numbered)
        row += len(parts)


def _value_section(header: Header, packed: Packed) -> Iterator[bytes]:
    assert packed.matrix is not None
    order = [packed.places[column] for column in header.columns]
    for start in range(0, header.keys, _ROWS_AT_ONCE):
        end = min(start + _ROWS_AT_ONCE, header.keys)
        yield packed.matrix[start:end, order].astype("<f8").tobytes()
