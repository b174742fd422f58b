"""NAS-Bench-101's tfrecord files, without TensorFlow.

A record is its length (8 bytes), the masked CRC-32C of these, the content, and its masked CRC-32C.
The content is JSON: [hash, epochs, adjacency, ops, metrics]; the metrics are a base64 protocol
buffer whose field 1 comes three times, for the start, the middle and the end of the training, with
the accuracies on the training, validation and test images as fractions in its fields 3 to 5.
"""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import google_crc32c

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.damage import damaged, percent, read_whole
from runners.benchmarks.kinds import KINDS
from runners.benchmarks.record import BenchmarkRecord, Column, Contents, ReadingOptions, Wanted

_HEAD = struct.Struct("<QI")
_TAIL = struct.Struct("<I")
_LENGTH_LIMIT = 2**16
_RUN_LIMIT = 1000
"""Trainings of one module and length; the benchmark has three."""

_SPLITS = {3: "train", 4: "valid", 5: "test"}


def read_tfrecord(path: Path, reading: ReadingOptions) -> Contents:
    """The rows of nasbench_full.tfrecord or nasbench_only108.tfrecord, and their like.

    A row is one training; those of one module and length are numbered from 0 as they come, and
    that number stands for the seed. Fractions become percent.
    """
    del reading  # all points are read always, and nothing is to be trusted
    return Contents("nasbench101", lambda wanted: _records(path, wanted))


def starts_like_tfrecord(head: bytes) -> bool:
    """Whether a file's first bytes are a length and its checksum."""
    if len(head) < _HEAD.size:
        return False
    _, checksum = _HEAD.unpack_from(head)
    return _masked(head[:8]) == checksum


def _records(path: Path, wanted: Wanted) -> Iterator[BenchmarkRecord]:
    runs: dict[str, bytearray] = {}
    with read_whole(path), path.open("rb") as stream:
        for number, content in enumerate(checked_records(path, stream)):
            where = Where(f"{path}(record {number})")
            key, epochs, metrics = _row(content, where)
            if wanted(key, None):
                lengths = runs.setdefault(key, bytearray())
                seed = lengths.count(epochs)
                if seed == _RUN_LIMIT:
                    message = f"there are more than {_RUN_LIMIT} trainings of one module"
                    raise NasirError("E109", message, where)
                lengths.append(epochs)
                yield BenchmarkRecord(key, None, _values(epochs, str(seed), metrics, where))


def checked_records(path: Path, stream: IO[bytes]) -> Iterator[bytes]:
    """The contents of all records, whose checksums are right."""
    number = 0
    while head := stream.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise damaged(path, f"the file ends in the head of record {number}")
        length, checksum = _HEAD.unpack(head)
        if _masked(head[:8]) != checksum or length > _LENGTH_LIMIT:
            raise damaged(path, f"the length of record {number} has a wrong checksum")
        content, tail = stream.read(length), stream.read(_TAIL.size)
        if len(content) < length or len(tail) < _TAIL.size:
            raise damaged(path, f"the file ends in record {number}")
        if _masked(content) != _TAIL.unpack(tail)[0]:
            raise damaged(path, f"record {number} has a wrong checksum")
        yield content
        number += 1


def _masked(content: bytes) -> int:
    """The checksum as a TFRecord stores it: rotated by 15 bits, with a constant added."""
    checksum = int(cast("Any", google_crc32c).value(content))  # its types are partial
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _row(content: bytes, where: Where) -> tuple[str, int, bytes]:
    """The hash, the epochs and the metrics of a row. Raises E104, E109."""
    try:
        row: object = json.loads(content)
    except (ValueError, RecursionError):
        raise NasirError("E104", "the record is not JSON", where) from None
    parts = cast("list[object]", row) if isinstance(row, list) else []
    if len(parts) != 5:
        raise NasirError("E109", "a row is [hash, epochs, adjacency, ops, metrics]", where)
    key, epochs, metrics = parts[0], parts[1], parts[4]
    if not isinstance(key, str) or not KINDS["nasbench101"].keys.fullmatch(key):
        raise NasirError("E109", f"{quoted(key)} is no module hash", where)
    if not isinstance(epochs, int) or not 1 < epochs < 256:
        raise NasirError("E109", f"{quoted(epochs)} epochs", where)
    if not isinstance(metrics, str):
        raise NasirError("E109", "the metrics are no base64 text", where)
    try:
        return key, epochs, base64.b64decode(metrics, validate=True)
    except ValueError:
        raise NasirError("E104", "the metrics are no base64 text", where) from None


def _values(epochs: int, seed: str, metrics: bytes, where: Where) -> dict[Column, float]:
    values: dict[Column, float] = {}
    try:
        points = [value for number, value in fields(metrics) if number == 1]
        if len(points) < 3:
            raise NasirError("E109", f"the metrics have {len(points)} evaluations, not 3", where)
        for after, point in ((epochs // 2, points[1]), (epochs, points[2])):
            for number, value in fields(point if isinstance(point, bytes) else b""):
                if number in _SPLITS and isinstance(value, float):
                    column = Column("cifar10", _SPLITS[number], epochs, after, seed)
                    values[column] = percent(100 * value, where, "an accuracy")
    except ValueError as error:
        raise NasirError("E104", f"the metrics cannot be parsed: {error}", where) from None
    return values


_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def fields(message: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """(number, value) of each field in order.

    A value of 8 or 4 bytes is a float, one of variable length an unsigned whole number, anything
    else bytes. Raises ValueError on bytes that are no message.
    """
    offset = 0
    while offset < len(message):
        tag, offset = _varint(message, offset)
        wire, number = tag & 7, tag >> 3
        if wire == _VARINT:
            value, offset = _varint(message, offset)
        elif wire == _LENGTH:
            length, offset = _varint(message, offset)
            value, offset = _part(message, offset, length)
        elif wire in (_FIXED64, _FIXED32):
            content, offset = _part(message, offset, 8 if wire == _FIXED64 else 4)
            value = float(struct.unpack("<d" if wire == _FIXED64 else "<f", content)[0])
        else:
            raise ValueError(f"field {number} has the unknown wire type {wire}")
        yield number, value


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while offset < len(message) and shift < 64:
        byte = message[offset]
        value |= (byte & 0x7F) << shift
        offset += 1
        if byte < 0x80:
            return value, offset
        shift += 7
    raise ValueError("a whole number does not end")


def _part(message: bytes, offset: int, length: int) -> tuple[bytes, int]:
    if offset + length > len(message):
        raise ValueError(f"{length} bytes are announced, {len(message) - offset} are there")
    return message[offset : offset + length], offset + length
