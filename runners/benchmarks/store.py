"""A store: a benchmark as a safetensors file that is mapped, so that a look-up reads a few pages.

    values  F64 (architectures, columns), NaN where there is no accuracy
    order   U32 (architectures,): the rows in the order of their keys
    sums    U32 (architectures, 2): by row, the CRC-32 of its place in `order` and its key, and the
            CRC-32 of these and its values
    keys    U8 (architectures, width), padded with zeros

The metadata hold the version, a `Header` as JSON, and its CRC-32.
"""

import json
import mmap
import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from math import isnan, prod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from nasir import Genotype, NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.damage import damaged, read_whole
from runners.benchmarks.kinds import KINDS, Kind
from runners.benchmarks.record import BenchmarkRecord, Column

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = "3"
NUMBER, SUMS = struct.Struct("<I"), struct.Struct("<II")
LENGTH = struct.Struct("<Q")
"""Of the header's text, which begins the file."""

_START = b'{"__metadata__":{"nasir benchmark":"'
_OLD = b"nasir benchmark\n"
"""Start of stores before version 3, which had a layout of their own."""

_CHUNK = 2**24
_HEADER_LIMIT = 64 * 2**20
_COUNT_LIMIT = 2**32 - 1
_NAME_LIMIT = 500
_EPOCHS_LIMIT = 10**6
_COLUMN_TYPES = [str, str, int, int, str]


@dataclass(frozen=True, slots=True)
class Header:
    """Facts about a store; `source` is the name of the file it was made from.

    `checksum` is the CRC-32 of all tensors.
    """

    benchmark: str
    source: str
    nasir: str
    keys: int
    key_width: int
    checksum: str
    columns: tuple[Column, ...]


def checksum(place: int, key: bytes) -> int:
    """The CRC-32 of a key and its place in `order`."""
    return zlib.crc32(key, zlib.crc32(NUMBER.pack(place)))


def pack_header(facts: str, header: Header) -> tuple[bytes, dict[str, int]]:
    """The beginning of the file, and where each tensor starts; `end` is the file's length."""
    count, width = header.keys, header.key_width
    tensors = {
        "values": ("F64", (count, len(header.columns)), 8),
        "order": ("U32", (count,), 4),
        "sums": ("U32", (count, 2), 4),
        "keys": ("U8", (count, width), 1),
    }
    whole: dict[str, object] = {
        "__metadata__": {
            "nasir benchmark": VERSION,
            "checksum": f"{zlib.crc32(facts.encode()):08x}",
            "facts": facts,
        }
    }
    starts, offset = dict[str, int](), 0
    for name, (kind, shape, size) in tensors.items():
        starts[name], end = offset, offset + prod(shape) * size
        whole[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(whole, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    begin = LENGTH.size + len(text)
    starts = {name: begin + start for name, start in (starts | {"end": offset}).items()}
    return LENGTH.pack(len(text)) + text, starts


def is_store(head: bytes) -> bool:
    """Whether a file that begins like this is a store, of any version, perhaps cut off."""
    start = head[LENGTH.size : LENGTH.size + len(_START)]
    return head.startswith(_OLD) or (bool(start) and _START.startswith(start))


@dataclass(frozen=True, slots=True)
class BenchmarkStore:
    """An open store. Opening reads the header alone; looking up needs no NumPy.

    A look-up verifies each key that it compares and the row that it returns, and raises E604 where
    a checksum is wrong or a value is no percentage; `values` verifies nothing.
    """

    path: Path
    header: Header
    starts: dict[str, int]
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

    def lookup(self, key: str | Genotype) -> BenchmarkRecord | None:
        """The record of a key or genotype; None where the benchmark has no such architecture."""
        key, width = self.kind.key_of(key), self.header.key_width
        wanted = key.encode()
        low, high = 0, len(self) if len(wanted) <= width else 0
        wanted = wanted.ljust(width, b"\0")
        while low < high:
            place = (low + high) // 2
            (row,) = NUMBER.unpack(self._slice("order", place, NUMBER.size))
            if row >= len(self):
                raise damaged(self.path, "a row is named that is not there")
            found = self._slice("keys", row, width)
            if self._sums(row)[0] != checksum(place, found):
                raise damaged(self.path, "a checksum is wrong")
            if found == wanted:
                return self._record(row, key)
            low, high = (place + 1, high) if found < wanted else (low, place)
        return None

    def at(self, index: int) -> BenchmarkRecord | None:
        """The record of an index of the benchmark; None when it has no such index."""
        if not self.kind.indexed or not 0 <= index < len(self):
            return None
        record = self.lookup(self.key_at(index))
        if record is None or record.index != index:
            raise damaged(self.path, "a key is not at its place")
        return record

    def key_at(self, row: int) -> str:
        """The key of a row of `values`. Raises E604."""
        text = self._slice("keys", row, self.header.key_width).rstrip(b"\0").decode("latin1")
        if not self.kind.keys.fullmatch(text):
            raise damaged(self.path, f"a key is {quoted(text)}")
        return text

    def values(self) -> "NDArray[np.float64]":
        """All accuracies, (architectures, columns), mapped and read-only; NaN for none."""
        import numpy as np

        shape = (len(self), len(self.columns))
        return np.memmap(self.path, "<f8", "r", self.starts["values"], shape)

    def check(self) -> None:
        """Raises E604 unless every byte of the tensors is as it was written."""
        whole = 0
        for start in range(self.starts["values"], self.starts["end"], _CHUNK):
            whole = zlib.crc32(self.content[start : min(start + _CHUNK, self.starts["end"])], whole)
        if f"{whole:08x}" != self.header.checksum:
            raise damaged(self.path, "the checksum of the tensors is wrong")

    def close(self) -> None:
        """Give the mapping back."""
        self.content.close()

    def _slice(self, tensor: str, row: int, size: int) -> bytes:
        start = self.starts[tensor] + row * size
        return self.content[start : start + size]

    def _sums(self, row: int) -> tuple[int, int]:
        return SUMS.unpack(self._slice("sums", row, SUMS.size))

    def _record(self, row: int, key: str) -> BenchmarkRecord:
        content = self._slice("values", row, 8 * len(self.columns))
        of_key, of_row = self._sums(row)
        if zlib.crc32(content, of_key) != of_row:
            raise damaged(self.path, "a checksum is wrong")
        numbers = array("d", content)
        if sys.byteorder == "big":
            numbers.byteswap()
        pairs = zip(self.columns, numbers, strict=True)
        values = {column: number for column, number in pairs if not isnan(number)}
        if values and not (min(values.values()) >= 0 and max(values.values()) <= 100):
            raise damaged(self.path, f"an accuracy of {key} is no percentage")
        return BenchmarkRecord(key, row if self.kind.indexed else None, values)


def open_store(path: Path) -> BenchmarkStore:
    """Map a store. Raises E101, E102, E108 (no store), E110 (another version), E604 (damaged)."""
    with read_whole(path), path.open("rb") as stream:
        header, starts = _read_header(path, stream)
        length = stream.seek(0, 2)
        if length != starts["end"]:
            raise damaged(path, f"the file has {length:,} bytes, not {starts['end']:,}")
        if header.benchmark not in KINDS:
            raise ValueError(f"unknown benchmark {header.benchmark}")
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return BenchmarkStore(path, header, starts, content)


def _read_header(path: Path, stream: BinaryIO) -> tuple[Header, dict[str, int]]:
    head = stream.read(LENGTH.size + len(_START) + 8)
    if not is_store(head):
        hint = "nasir bench import makes one of a benchmark's own files"
        raise NasirError("E108", "the file is no store", Where(str(path)), hint)
    version = head[LENGTH.size + len(_START) :].partition(b'"')[0].decode("ascii", "replace")
    if head.startswith(_OLD) or (version and version != VERSION):
        version = "1 or 2" if head.startswith(_OLD) else quoted(version)
        message = f"the store is written in version {version}; this nasir reads version {VERSION}"
        hint = "import the benchmark again: nasir bench import SOURCE -o FILE"
        raise NasirError("E110", message, Where(str(path)), hint)
    (length,) = LENGTH.unpack_from(head)
    stream.seek(0)
    head = stream.read(LENGTH.size + min(length, _HEADER_LIMIT))
    facts: str = json.loads(head[LENGTH.size :])["__metadata__"]["facts"]
    header = _header(facts)
    expected, starts = pack_header(facts, header)
    if head != expected:
        raise ValueError("the header's checksum is wrong")
    return header, starts


def _header(text: str) -> Header:
    """Raises ValueError for facts that no import writes."""
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
