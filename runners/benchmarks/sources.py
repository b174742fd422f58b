"""Opens a benchmark by its content, and reads the formats with one row per architecture or run.

A CSV of NAS-Bench-201, compressed or not, starts with the line `index,arch` and names such as
`cifar100_test_200`: data set, split, epochs. Its rows are in the benchmark's index order.

A record of NAS-Bench-101's tfrecord files consists of its length (8 bytes), their masked CRC-32C,
the content, and its masked CRC-32C. The content is JSON: [hash, epochs, adjacency, ops, metrics];
metrics are a base64 protocol buffer whose field 1 occurs three times, for the start, the middle and
the end of the training, with the training, validation and test accuracies as fractions in its
fields 3 to 5.
"""

import base64
import csv
import gzip
import io
import json
import re
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

from nasir import NasirError, Where
from nasir.arguments import checked
from nasir.errors import quoted
from runners.benchmarks.files import FileBudget, damaged, head, read_errors
from runners.benchmarks.read_pickles import META, archived, read_archive, read_pickled
from runners.benchmarks.record import (
    KINDS,
    MEAN,
    UNSTATED,
    BenchmarkRecord,
    Column,
    Original,
    ReadingOptions,
    Wanted,
    everything,
    percent,
)
from runners.benchmarks.store import BenchmarkStore, is_store, open_store, pack, write_store

_KNOWN = (
    "nasir reads NAS-Bench-201's .pth file and archive folder, NATS-Bench's folders and "
    ".pickle.pbz2 files, NAS-Bench-101's .tfrecord, a CSV that begins with index,arch, and what "
    "nasir bench import wrote"
)


_PICKLED = (
    b"PK\x03\x04",
    b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19",  # torch before 1.6
    b"BZh",
)
_GZIP = b"\x1f\x8b"
_CSV_COLUMN = re.compile(r"(cifar10|cifar100|imagenet16)_(train|valid|test)_([0-9]{1,4})")

_HEAD = struct.Struct("<QI")
_LENGTH_LIMIT = 2**16
_RUN_LIMIT = 1000
"""Maximum trainings per module and length; the benchmark has three."""

_FIXED64, _BYTES = 1, 2
_SPLITS = {3: "train", 4: "valid", 5: "test"}


@checked
def open_benchmark(
    path: str | Path, options: ReadingOptions | None = None
) -> BenchmarkStore | Original:
    """Opens a benchmark: a store, a file or a folder."""
    path = Path(path)
    if is_store(_head(path)):
        return open_store(path)
    return open_source(path, options or ReadingOptions())


def import_benchmark(
    source: Path, output: Path, options: ReadingOptions | None = None
) -> BenchmarkStore:
    """Imports a source into a store, atomically, and opens it.

    Raises errors of reading the source and of writing; no partial store is left.
    """
    found = open_source(source, options or ReadingOptions())
    try:
        table = pack(found.records(everything))
    except NasirError as error:
        raise error.at(Where(str(source))) from None
    write_store(output, table, found.kind.name, source.name)
    return open_store(output)


def open_source(path: Path, options: ReadingOptions) -> Original:
    """Opens a file or folder in its authors' format. Raises as `open_benchmark` does."""
    start = _head(path)
    if (path.is_dir() and (path / META).exists()) or start.startswith(_PICKLED):
        return read_pickled(path, options)
    if path.is_dir() and archived(path):
        return read_archive(path, options)
    if start.startswith((_GZIP, b"index,")):
        return Original(KINDS["nasbench201"], partial(_csv_records, path))
    length = start[: _HEAD.size].ljust(_HEAD.size, b"\0")
    checked_length = _masked(length[:8]) == _HEAD.unpack(length)[1]
    if checked_length or (path.suffix == ".tfrecord" and not path.is_dir()):
        return Original(KINDS["nasbench101"], partial(_tfrecord_records, path))
    message, hint = "the file is of no known benchmark", _KNOWN
    if path.is_dir():
        message = f"the directory has no file {META}, and none like 000000-FULL.pth"
    elif is_store(start):
        message, hint = "the file is a store already", "nasir query reads it as it is"
    raise NasirError("E108", message, Where(str(path)), hint)


def _head(path: Path) -> bytes:
    with read_errors(path):
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise NasirError("E101", "the path is not a regular file")
        return b"" if path.is_dir() else head(path, 64)


def _csv_records(path: Path, wanted: Wanted) -> Iterator[BenchmarkRecord]:
    with read_errors(path), path.open("rb") as file:
        packed = file.read(len(_GZIP)) == _GZIP
        file.seek(0)
        stream = FileBudget(path).stream(gzip.GzipFile(fileobj=file) if packed else file)
        rows = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
        with read_errors(path, 1):
            columns = _csv_columns(next(rows, list[str]()))
        for index, row in enumerate(rows):
            with read_errors(path, rows.line_num):
                record = _csv_record(index, row, columns)
            if wanted(record.key, index):
                yield record


def _csv_columns(names: list[str]) -> list[Column]:
    if names[:2] != ["index", "arch"] or len(names) < 3:
        message = f"the first line is {quoted(','.join(names))}"
        raise NasirError("E109", message, hint="it must begin with index,arch,")
    columns: dict[Column, None] = {}
    for name in names[2:]:
        match = _CSV_COLUMN.fullmatch(name)
        if match is None:
            hint = "columns are named as cifar100_test_200"
            raise NasirError("E109", f"unknown column {quoted(name)}", hint=hint)
        # Networks with a known validation accuracy were trained on half of CIFAR-10's images:
        # the benchmark calls that a data set of its own.
        dataset = {"cifar10_valid": "cifar10-valid", "imagenet16": "ImageNet16-120"}
        named = dataset.get(f"{match[1]}_{match[2]}", dataset.get(match[1], match[1]))
        # Runs of 200 epochs are averaged over seeds; shorter ones are single runs.
        epochs, seed = int(match[3]), MEAN if int(match[3]) == 200 else UNSTATED
        column = Column(named, match[2], epochs, epochs, seed)
        if column in columns:
            raise NasirError("E104", f"two columns hold {column}")
        columns[column] = None
    return list(columns)


def _csv_record(index: int, row: list[str], columns: list[Column]) -> BenchmarkRecord:
    if len(row) != len(columns) + 2:
        raise NasirError("E109", f"the row has {len(row)} cells, not {len(columns) + 2}")
    number, key, *cells = row
    if number != str(index) or not KINDS["nasbench201"].keys.fullmatch(key):
        raise NasirError("E109", f"{quoted(number)}, {quoted(key)} is not architecture {index}")
    pairs = zip(columns, cells, strict=True)
    return BenchmarkRecord(key, index, {each: _percent(cell, each) for each, cell in pairs if cell})


def _percent(cell: str, column: Column) -> float:
    try:
        return percent(float(cell), column)
    except ValueError:
        raise NasirError("E109", f"{quoted(cell)} is not a number") from None


def _tfrecord_records(path: Path, wanted: Wanted) -> Iterator[BenchmarkRecord]:
    """Yields a record per training, with accuracies in percent.

    Seeds number the trainings of one module and length from 0 in file order.
    """
    runs: dict[str, bytearray] = {}
    with read_errors(path), path.open("rb") as stream:
        for number, content in enumerate(checked_records(stream)):
            with read_errors(Path(f"{path}(record {number})")):
                key, epochs, metrics = _training(content)
                if not wanted(key, None):
                    continue
                lengths = runs.setdefault(key, bytearray())
                seed = lengths.count(epochs)
                if seed == _RUN_LIMIT:
                    message = f"there are more than {_RUN_LIMIT} trainings of one module"
                    raise NasirError("E109", message)
                lengths.append(epochs)
                values = _accuracies(metrics, epochs, str(seed))
            yield BenchmarkRecord(key, None, values)


def checked_records(stream: IO[bytes]) -> Iterator[bytes]:
    """Yields the contents of tfrecord records. Raises an error for a wrong checksum."""
    for number, start in enumerate(iter(partial(stream.read, _HEAD.size), b"")):
        length, checksum = _HEAD.unpack(start.ljust(_HEAD.size, b"\0"))
        if _masked(start[:8]) != checksum or length > _LENGTH_LIMIT:
            raise damaged(f"the length of record {number} has a wrong checksum, or is cut off")
        content, tail = stream.read(length), stream.read(4)
        if len(content) < length or _masked(content) != int.from_bytes(tail, "little"):
            raise damaged(f"record {number} has a wrong checksum, or is cut off")
        yield content


def _masked(content: bytes) -> int:
    """Returns the masked checksum of TFRecord: rotated by 15 bits, plus a constant."""
    import google_crc32c  # of this format only

    checksum = int(cast("Any", google_crc32c).value(content))  # its types are partial
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _training(content: bytes) -> tuple[str, int, bytes]:
    """Returns the hash, the epochs and the metrics of a record."""
    try:
        row: Any = json.loads(content)
        match row:
            case [str(key), int(epochs), _, _, str(metrics)] if 1 < epochs < 256:
                if not KINDS["nasbench101"].keys.fullmatch(key):
                    raise NasirError("E109", f"{quoted(key)} is not a module hash")
                return key, epochs, base64.b64decode(metrics, validate=True)
            case _:
                wanted = "[hash, epochs, adjacency, ops, metrics]"
                raise NasirError("E109", f"a row is {wanted}, not {quoted(row)}")
    except (ValueError, RecursionError) as error:
        raise NasirError("E104", f"the record cannot be parsed: {error}") from None


def _accuracies(metrics: bytes, epochs: int, seed: str) -> dict[Column, float]:
    """Returns the accuracies at the middle and the end of a training."""
    values: dict[Column, float] = {}
    points = [data for number, data in _fields(metrics, _BYTES) if number == 1]
    if len(points) < 3:
        raise NasirError("E109", f"the metrics have {len(points)} evaluations, not 3")
    for after, point in ((epochs // 2, points[1]), (epochs, points[2])):
        for number, data in _fields(point, _FIXED64):
            if number in _SPLITS:
                (fraction,) = struct.unpack("<d", data.to_bytes(8, "little"))
                column = Column("cifar10", _SPLITS[number], epochs, after, seed)
                values[column] = percent(100 * fraction, column)
    return values


def _fields(message: bytes, wire: int) -> list[tuple[int, Any]]:
    """Returns number and value of each field of a wire type."""
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet

    read: Any = UnknownFieldSet
    try:
        fields = read(Empty.FromString(message))
    except DecodeError as error:
        raise NasirError("E104", f"the metrics cannot be parsed: {error}") from None
    return [(field.field_number, field.data) for field in fields if field.wire_type == wire]
