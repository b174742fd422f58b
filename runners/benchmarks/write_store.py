"""Writing a store from records, however they come."""

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import nasir
from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.files import replacing
from runners.benchmarks.record import BenchmarkRecord, Column, ReadingOptions, everything
from runners.benchmarks.sources import open_source
from runners.benchmarks.store import BenchmarkStore, Header, checksum, open_store, pack_header

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

    def add(self, record: BenchmarkRecord) -> None:
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


def pack(records: Iterable[BenchmarkRecord], source: Path) -> Packed:
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


def import_benchmark(
    source: Path, output: Path, reading: ReadingOptions | None = None
) -> BenchmarkStore:
    """Write everything a source holds as a store, atomically, and open it.

    Raises what reading the source raises, and E112; no half of a store is left behind.
    """
    contents = open_source(source, reading or ReadingOptions())
    write_store(output, pack(contents.records(everything), source), contents.kind, source)
    return open_store(output)


def write_store(path: Path, packed: Packed, benchmark: str, source: Path) -> None:
    """Write what was packed as a store, atomically. Raises E109 without any result, and E112."""
    if not packed.rows or not packed.places:
        raise NasirError("E109", "the source holds no results", Where(str(source)))
    header = Header(
        benchmark=benchmark,
        source=source.name,
        nasir=nasir.__version__,
        keys=len(packed.rows),
        key_width=max(len(key.encode()) for key in packed.rows),
        checksum="0" * 8,
        columns=tuple(sorted(packed.places, key=lambda column: column.order)),
    )
    with replacing(path) as stream:
        stream.write(_head(header))
        whole = 0
        for chunk in _tensors(header, packed):
            stream.write(chunk)
            whole = zlib.crc32(chunk, whole)
        stream.seek(0)
        stream.write(_head(replace(header, checksum=f"{whole:08x}")))


def _head(header: Header) -> bytes:
    return pack_header(json.dumps(asdict(header), separators=(",", ":")), header)[0]


def _tensors(header: Header, packed: Packed) -> Iterator[bytes]:
    """The bytes of all tensors, in order."""
    import numpy as np

    assert packed.matrix is not None
    keys = [key.encode().ljust(header.key_width, b"\0") for key in packed.rows]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    places = np.argsort(order).tolist()
    columns = [packed.places[column] for column in header.columns]
    sums: list[int] = []
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        part = packed.matrix[start : start + _ROWS_AT_ONCE][: len(keys) - start, columns]
        rows = [row.tobytes() for row in part.astype("<f8")]
        for row, values in enumerate(rows, start):
            of_key = checksum(places[row], keys[row])
            sums += of_key, zlib.crc32(values, of_key)
        yield b"".join(rows)
    yield np.array(order, "<u4").tobytes()
    yield np.array(sums, "<u4").tobytes()
    yield b"".join(keys)
