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
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nasir
from nasir import Genotype, NasirError, Where
from nasir.errors import quoted
from nasir.files import replacing
from runners.benchmarks.files import damaged, read_errors
from runners.benchmarks.record import KINDS, BenchmarkRecord, Column, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERSION = "3"
_LENGTH = struct.Struct("<Q")
"""The length of the header's text, at the start of the file."""

_START = b'{"__metadata__":{"nasir benchmark":"'
_OLD = b"nasir benchmark\n"
"""Start of stores before version 3, which had another layout."""

_HEADER_LIMIT = 64 * 2**20
_COUNT_LIMIT = 2**32 - 1
_NAME_LIMIT = 500
_EPOCHS_LIMIT = 10**6
_AT_ONCE = 2**20
_LEAST, _SCATTERED = 2**22, 50
"""Maximum number of cells in a table, and additional ones per accuracy."""


class Header(NamedTuple):
    """Facts about a store; `source` is the name of its original file.

    `checksum` is the CRC-32 of all tensors.
    """

    benchmark: str
    source: str
    nasir: str
    keys: int
    key_width: int
    checksum: str
    columns: tuple[Column, ...]

    @property
    def tensors(self) -> dict[str, tuple[str, tuple[int, ...], int]]:
        """The dtype, shape and bytes per row of each tensor, in file order."""
        count, width, numbers = self.keys, self.key_width, len(self.columns)
        return {
            "values": ("F64", (count, numbers), 8 * numbers),
            "order": ("U32", (count,), 4),
            "sums": ("U32", (count, 2), 8),
            "keys": ("U8", (count, width), width),
        }


def pack_header(facts: str, header: Header) -> tuple[bytes, dict[str, int]]:
    """Returns the header's bytes, and the offset of each tensor; `end` is the file's length."""
    about = {"nasir benchmark": VERSION, "checksum": f"{zlib.crc32(facts.encode()):08x}"}
    whole: dict[str, object] = {"__metadata__": about | {"facts": facts}}
    starts, end = dict[str, int](), 0
    for name, (kind, shape, size) in header.tensors.items():
        starts[name], end = end, end + shape[0] * size
        whole[name] = {"dtype": kind, "shape": shape, "data_offsets": [starts[name], end]}
    text = json.dumps(whole, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    begin = _LENGTH.size + len(text)
    starts = {name: begin + start for name, start in (starts | {"end": end}).items()}
    return _LENGTH.pack(len(text)) + text, starts


def is_store(head: bytes) -> bool:
    """Whether a file with this head is a store, of any version, perhaps truncated."""
    start = head[_LENGTH.size : _LENGTH.size + len(_START)]
    return head.startswith(_OLD) or (bool(start) and _START.startswith(start))


@dataclass(frozen=True, slots=True)
class BenchmarkStore:
    """An open store. Opening reads the header only; look-ups need no NumPy.

    A look-up verifies the keys that it compares and the row that it returns, and raises an error
    for a wrong checksum or a value that is no percentage; `values` verifies nothing.
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
        """The columns of `values`."""
        return self.header.columns

    def __len__(self) -> int:
        return self.header.keys

    def lookup(self, key: str | Genotype) -> BenchmarkRecord | None:
        """Returns the record of a key or genotype; None if the benchmark does not have it."""
        key = self.kind.key_of(key)
        wanted = key.encode().ljust(self.header.key_width, b"\0")
        with read_errors(self.path):
            place = bisect_left(range(len(self)), (wanted, -1), key=self._placed)
            found, row = self._placed(place) if place < len(self) else (b"", -1)
            return self._record(row, key) if found == wanted else None

    def at(self, index: int) -> BenchmarkRecord | None:
        """Returns the record of a benchmark's index; None if out of range."""
        if not self.kind.indexed or not 0 <= index < len(self):
            return None
        record = self.lookup(self.key_at(index))
        if record is None or record.index != index:
            raise damaged("a key is not at its place").at(Where(str(self.path)))
        return record

    def key_at(self, row: int) -> str:
        """Returns the key of a row of `values`."""
        text = self._row("keys", row).rstrip(b"\0").decode("latin1")
        if not self.kind.keys.fullmatch(text):
            raise damaged(f"a key is {quoted(text)}").at(Where(str(self.path)))
        return text

    def values(self) -> "NDArray[np.float64]":
        """Maps all accuracies, (architectures, columns), read-only; NaN for none."""
        import numpy as np

        shape = (len(self), len(self.columns))
        return np.memmap(self.path, "<f8", "r", self.starts["values"], shape)

    def check(self) -> None:
        """Raises an error if the checksum of all tensors is wrong."""
        tensors = memoryview(self.content)[self.starts["values"] :]
        if f"{zlib.crc32(tensors):08x}" != self.header.checksum:
            raise damaged("the checksum of the tensors is wrong").at(Where(str(self.path)))

    def _row(self, tensor: str, row: int) -> bytes:
        size = self.header.tensors[tensor][2]
        start = self.starts[tensor] + row * size
        return self.content[start : start + size]

    def _placed(self, place: int) -> tuple[bytes, int]:
        """Returns the key at a place in `order`, and its row."""
        (row,) = struct.unpack("<I", self._row("order", place))
        if row >= len(self):
            raise damaged("a row number is out of range")
        key = self._row("keys", row)
        if struct.unpack_from("<I", self._row("sums", row))[0] != _checksum(place, key):
            raise damaged("a checksum is wrong")
        return key, row

    def _record(self, row: int, key: str) -> BenchmarkRecord:
        content = self._row("values", row)
        of_key, of_row = struct.unpack("<2I", self._row("sums", row))
        if zlib.crc32(content, of_key) != of_row:
            raise damaged("a checksum is wrong")
        pairs = zip(self.columns, struct.unpack(f"<{len(self.columns)}d", content), strict=True)
        values = {column: number for column, number in pairs if not isnan(number)}
        if values and not 0 <= min(values.values()) <= max(values.values()) <= 100:
            raise damaged(f"an accuracy of {key} is not a percentage")
        return BenchmarkRecord(key, row if self.kind.indexed else None, values)


def _checksum(place: int, key: bytes) -> int:
    """Returns the CRC-32 of a key and its place in `order`."""
    return zlib.crc32(key, zlib.crc32(struct.pack("<I", place)))


def open_store(path: Path) -> BenchmarkStore:
    """Maps a store. Raises an error for other files, versions, or damage."""
    with read_errors(path), path.open("rb") as stream:
        head = stream.read(_LENGTH.size + len(_START) + 8)
        _check_version(head)
        stream.seek(0)
        (length,) = _LENGTH.unpack_from(head)
        head = stream.read(_LENGTH.size + min(length, _HEADER_LIMIT))
        facts: str = json.loads(head[_LENGTH.size :])["__metadata__"]["facts"]
        header = _header(facts)
        expected, starts = pack_header(facts, header)
        if head != expected:
            raise damaged("the header's checksum is wrong")
        length = stream.seek(0, 2)
        if length != starts["end"]:
            raise damaged(f"the file has {length:,} bytes, not {starts['end']:,}")
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        return BenchmarkStore(path, header, starts, content)


def _check_version(head: bytes) -> None:
    if not is_store(head):
        hint = "nasir bench import makes one of a benchmark's own files"
        raise NasirError("E108", "the file is not a store", hint=hint)
    version = head[_LENGTH.size + len(_START) :].partition(b'"')[0].decode("ascii", "replace")
    if head.startswith(_OLD) or (version and version != VERSION):
        version = "1 or 2" if head.startswith(_OLD) else quoted(version)
        message = f"the store is written in version {version}; this nasir reads version {VERSION}"
        hint = "import the benchmark again: nasir bench import SOURCE -o FILE"
        raise NasirError("E110", message, hint=hint)


def _header(text: str) -> Header:
    """Parses the header. Raises an error for facts that no import writes."""
    facts: dict[str, Any] = json.loads(text)
    columns = tuple(Column(*row) for row in facts.pop("columns"))
    header = Header(**facts, columns=columns)
    texts = {header.source}.union(*((each.dataset, each.split, each.seed) for each in columns))
    if not (
        [*map(type, header[:-1])] == [str, str, str, int, int, str]
        and all([*map(type, column)] == [str, str, int, int, str] for column in columns)
        and all(0 < column.after <= column.epochs < _EPOCHS_LIMIT for column in columns)
        and all(len(text) <= _NAME_LIMIT and text.isprintable() for text in texts)
        and all(0 < count <= _COUNT_LIMIT for count in (header.keys, header.key_width))
        and header.benchmark in KINDS
        and len(set(columns)) == len(columns)
    ):
        raise damaged("the header is not as an import writes it")
    return header


BenchmarkTable = tuple[list[str], list[Column], "NDArray[np.float64]"]
"""Keys, columns, and their accuracies; NaN for none."""


def pack(records: Iterable[BenchmarkRecord]) -> BenchmarkTable:
    """Packs records into a matrix; a key may repeat with other columns.

    Raises an error for an architecture with two indices, for a table of mostly gaps, or without any
    result.
    """
    import numpy as np

    rows, places = dict[str, int](), dict[Column, int]()
    at, under, values = array("I"), array("I"), array("d")
    for record in records:
        row = rows.setdefault(record.key, len(rows))
        if record.index not in (None, row):
            message = f"{quoted(record.key)} has the index {record.index} and stands at {row}"
            raise NasirError("E104", message)
        for column, value in record.values.items():
            at.append(row)
            under.append(places.setdefault(column, len(places)))
            values.append(value)
    if not places:
        raise NasirError("E109", "the source holds no results")
    if len(rows) * len(places) > _LEAST + _SCATTERED * len(values):
        message = f"{len(rows):,} architectures have {len(values):,} accuracies under "
        raise NasirError("E106", f"{message}{len(places):,} names: a table of gaps")
    columns = sorted(places, key=lambda column: column.order)
    rank = np.argsort([places[column] for column in columns])
    matrix = np.full((len(rows), len(columns)), np.nan)
    for start in range(0, len(values), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        matrix[at[part], rank[under[part]]] = values[part]
    return list(rows), columns, matrix


def write_store(path: Path, table: BenchmarkTable, benchmark: str, source: str) -> None:
    """Writes a table as a store, atomically; `source` is the name of its original file."""
    import numpy as np

    keys, columns, matrix = table
    names = np.array([key.encode() for key in keys])
    order = np.argsort(names).astype("<u4")
    sums = np.empty((len(keys), 2), "<u4")
    values = np.ascontiguousarray(matrix, "<f8")
    places: list[int] = order.tolist()
    for place, row in enumerate(places):
        of_key = _checksum(place, keys[row].encode().ljust(names.itemsize, b"\0"))
        sums[row] = of_key, zlib.crc32(values[row].data, of_key)
    tensors, checksum = (values, order, sums, names), 0
    for tensor in tensors:
        checksum = zlib.crc32(tensor.data, checksum)
    facts = Header(
        benchmark=benchmark,
        source=source,
        nasir=nasir.__version__,
        keys=len(keys),
        key_width=names.itemsize,
        checksum=f"{checksum:08x}",
        columns=tuple(columns),
    )
    text = json.dumps(facts._asdict(), separators=(",", ":"))
    with replacing(path) as stream:
        stream.write(pack_header(text, facts)[0])
        for tensor in tensors:
            stream.write(tensor.data)
