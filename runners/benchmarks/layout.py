"""How a store lies in its file. All numbers are little-endian.

    preamble   16 bytes of magic, version, length of the header, CRC-32 of the header (3 x uint32)
    header     JSON: benchmark, source, counts, columns, CRC-32 of the body
    body       keys, sorted, each of one width; for each key its row; for each row its key;
               for each key the CRC-32 of itself and its row's number; for each row the CRC-32 of
               its key's number and its accuracies; the accuracies, float64, a row of all columns
               for each architecture, NaN where there is none

Each part of the body starts at a multiple of 64 bytes.
"""

import json
import struct
import zlib
from dataclasses import asdict, dataclass
from typing import cast

from runners.benchmarks.record import Column

MAGIC = b"nasir benchmark\n"
VERSION = 2
NUMBER = struct.Struct("<I")
VALUE_SIZE = 8

_PREAMBLE = struct.Struct("<16sIII")
PREAMBLE_SIZE = _PREAMBLE.size
_HEADER_LIMIT = 64 * 2**20
_COUNT_LIMIT = 2**32 - 1
_NAME_LIMIT = 500
_EPOCHS_LIMIT = 10**6
_COLUMN_TYPES = [str, str, int, int, str]


@dataclass(frozen=True, slots=True)
class Header:
    """What a store says of itself. `source` is the name of the file it was made from."""

    benchmark: str
    source: str
    nasir: str
    keys: int
    key_width: int
    checksum: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a store start, in bytes from the start of its file."""

    keys: int
    rows: int
    places: int
    key_sums: int
    row_sums: int
    values: int
    end: int


def layout(header: Header, header_size: int) -> Layout:
    """The parts of a store with this header, whose text is that long."""
    keys = _aligned(PREAMBLE_SIZE + header_size)
    rows = _aligned(keys + header.keys * header.key_width)
    places = _aligned(rows + header.keys * NUMBER.size)
    key_sums = _aligned(places + header.keys * NUMBER.size)
    row_sums = _aligned(key_sums + header.keys * NUMBER.size)
    values = _aligned(row_sums + header.keys * NUMBER.size)
    end = values + header.keys * len(header.columns) * VALUE_SIZE
    return Layout(keys, rows, places, key_sums, row_sums, values, end)


def checksum(number: int, content: bytes) -> int:
    """The CRC-32 of a number and of what stands with it."""
    return zlib.crc32(content, zlib.crc32(NUMBER.pack(number)))


def pack_header(header: Header) -> bytes:
    """The preamble and the header."""
    facts = asdict(header)
    text = json.dumps(facts, separators=(",", ":")).encode()
    return _PREAMBLE.pack(MAGIC, VERSION, len(text), zlib.crc32(text)) + text


def unpack_preamble(content: bytes) -> tuple[int, int, int]:
    """Version, length and checksum of the header. Raises ValueError when it is cut off."""
    if len(content) < PREAMBLE_SIZE:
        raise ValueError("the file ends in its preamble")
    _, version, length, checksum = _PREAMBLE.unpack_from(content)
    return version, min(length, _HEADER_LIMIT), checksum


def unpack_header(text: bytes, checksum: int) -> Header:
    """The header. Raises ValueError when it is not what was written."""
    if zlib.crc32(text) != checksum:
        raise ValueError("the header's checksum is wrong")
    facts = cast("dict[str, object]", json.loads(text))
    names = ("benchmark", "source", "nasir", "checksum")
    texts = {name: facts[name] for name in names if isinstance(facts[name], str)}
    counts = [facts[name] for name in ("keys", "key_width")]
    keys, width = (n for n in counts if isinstance(n, int) and 0 < n <= _COUNT_LIMIT)
    columns = tuple(_column(row) for row in cast("list[list[object]]", facts["columns"]))
    shown = {str(texts["source"])}.union(*((row[0], row[1], row[4]) for row in columns))
    if any(len(text) > _NAME_LIMIT or not text.isprintable() for text in shown):
        raise ValueError("a name is not as it was written")
    if len(set(columns)) < len(columns):
        raise ValueError("two columns are the same")
    return Header(**cast("dict[str, str]", texts), keys=keys, key_width=width, columns=columns)


def _column(row: list[object]) -> Column:
    # A structural match here takes most of the time of opening a store of curves.
    if [*map(type, row)] != _COLUMN_TYPES:
        raise ValueError("a column is not as it was written")
    column = Column(*cast("tuple[str, str, int, int, str]", row))
    if not 0 < column[3] <= column[2] < _EPOCHS_LIMIT:
        raise ValueError("the epochs of a column are out of range")
    return column


def _aligned(offset: int) -> int:
    return -(-offset // 64) * 64
