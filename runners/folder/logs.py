"""The logs of a run: rows of JSON that outlive a kill, and TensorBoard's events of them."""

import errno
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from sys import float_info
from typing import Any, cast

from nasir import NasirError, Where
from nasir.json_text import read_json
from nasir.plain import Json
from nasir.quoting import json_text, visible
from runners.folder.disk import is_open, write_all, write_durably

Row = Mapping[str, object]
"""A row as it is handed over: plain data with an "epoch"."""


NEVER = 2**62
"""An epoch behind all."""


class RowFile:
    """A file of rows. A row that returned from `append` outlives the process. Mutable."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def append(self, row: Row) -> None:
        """Writes a row. Raises OSError, and then the file holds the rows before it."""
        content = row_line(row)
        if self._file < 0:
            self._file = _open_whole(self.path)
        if not is_open(self.path, self._file):
            raise FileNotFoundError(errno.ENOENT, "it was removed while the run wrote it")
        size = os.fstat(self._file).st_size
        try:
            write_all(self._file, content)
        except BaseException:
            os.ftruncate(self._file, size)
            raise

    def sync(self) -> None:
        """Lets the rows outlive the machine."""
        if self._file >= 0:
            os.fsync(self._file)

    def rewind(self, epoch: int) -> int:
        """Drops the rows behind an epoch and a torn last one; how many rows went.

        Raises E722 for damaged rows, and where one of an epoch up to this one is missing.
        """
        self.close()
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        rows = _parse(self.path, lines)
        missing = set(range(epoch + 1)) - set(map(_epoch, rows)) if epoch < NEVER else set[int]()
        if missing:
            message = f"the file has no row of epoch {min(missing)}, which a checkpoint follows"
            hint = "put back a copy of the file, or start the run again in another folder"
            raise NasirError("E722", message, Where(str(self.path)), hint)
        kept = [line for line, row in zip(lines, rows, strict=False) if _epoch(row) <= epoch]
        if len(kept) < len(lines):
            write_durably(self.path, b"".join(kept))
        return len(rows) - len(kept)

    def close(self) -> None:
        """Closes it; `append` opens it again."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def row_line(row: Row) -> bytes:
    """The row as a line: the same bytes for the same row. NaN and infinity become null."""
    assert isinstance(row.get("epoch"), int), "a row needs its epoch"
    return (json_text(_finite(row)) + "\n").encode()


def read_rows(path: Path) -> list[dict[str, Json]]:
    """The rows of a file, none where there is no file, without a torn last one. Raises E722."""
    if not path.exists():
        return []
    return _parse(path, path.read_bytes().splitlines(keepends=True))


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        entries = cast("Mapping[str, object]", value)
        return {key: _finite(entry) for key, entry in entries.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in cast("Sequence[object]", value)]
    return value


def _open_whole(path: Path) -> int:
    """The file open for appending, cut to whole lines."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
    file = os.open(path, flags, 0o666)
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.ftruncate(file, content.rfind(b"\n") + 1)
    return file


def _parse(path: Path, lines: Sequence[bytes]) -> list[dict[str, Json]]:
    """The rows; a last one that is torn is left out."""
    rows: list[dict[str, Json]] = []
    for number, line in enumerate(lines, 1):
        row = _row(line) if line.endswith(b"\n") else None
        if row is not None:
            rows.append(row)
        elif number < len(lines):
            raise NasirError(
                "E722",
                "the row is damaged",
                Where(str(path), number, 1, line.decode(errors="replace").rstrip()),
                hint="put back a copy of the file, or start the run again in another folder",
            )
    return rows


def _row(line: bytes) -> dict[str, Json] | None:
    try:
        data = read_json(line, "", largest=float_info.max)
    except NasirError:
        return None
    return data if isinstance(data, dict) and type(data.get("epoch")) is int else None


def _epoch(row: Mapping[str, Json]) -> int:
    epoch = row["epoch"]
    assert isinstance(epoch, int)
    return epoch


class Events:
    """The events in a folder, made with the first row. Whatever fails in it, the run goes on:
    the failure is said once, and then nothing more is written. Mutable."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._writer: Any = None  # tensorboardX has no types
        self._works = True
        self._purge: int | None = None

    def purge(self, epoch: int) -> None:
        """Lets TensorBoard forget what earlier files say of this epoch and those after it."""
        self.close()
        self._purge = epoch

    def scalars(self, row: Mapping[str, object]) -> None:
        """The numbers of a row, nested ones under `outer/inner`; the epoch is the step.

        They are float32: a larger number becomes infinite.
        """
        numbers = ((tag, value) for tag, value in _numbers(row) if tag != "epoch")
        self._write(row, [{"tag": visible(tag), "simple_value": value} for tag, value in numbers])

    def architecture(self, row: Mapping[str, object]) -> None:
        """Under the name of each choice the weights of its options."""
        weights = cast("Mapping[str, Sequence[float]]", row.get("weights", {}))
        shown = ((f"weights/{choice}", _histogram(row)) for choice, row in weights.items() if row)
        self._write(row, [{"tag": visible(tag), "histo": histogram} for tag, histogram in shown])

    def close(self) -> None:
        """Closes the file; the next row begins another."""
        if self._writer is not None:
            with suppress(OSError):  # a full disk again; it was said
                self._writer.close()
            self._writer = None

    def _write(self, row: Mapping[str, object], values: Sequence[Mapping[str, object]]) -> None:
        if not self._works or not values:
            return
        try:
            if self._writer is None:
                self._begin()
            self._put(step=row["epoch"], summary={"value": values})
        except (OSError, ValueError) as error:
            self._works = False
            self.close()
            self._say(f"{self._folder}: TensorBoard's events end here, the run goes on: {error}")

    def _begin(self) -> None:
        from tensorboardX.record_writer import RecordWriter

        self._folder.mkdir(exist_ok=True)
        # The time comes first, because TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}"
        # Absolute, because `s3:` at the beginning of a path means a bucket.
        self._writer = RecordWriter(str(self._folder.absolute() / f"{name}.{os.getpid()}"))
        self._put(file_version="brain.Event:2")
        if self._purge is not None:
            self._put(step=self._purge, session_log={"status": 1})  # START

    def _put(self, **fields: object) -> None:
        from tensorboardX.proto import event_pb2

        event: Any = cast("Any", event_pb2).Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def _numbers(row: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _numbers(cast("Mapping[str, object]", value), f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def _histogram(heights: Sequence[float]) -> dict[str, object]:
    """One bucket an option: option i between i - 1 and i."""
    limits = range(len(heights))
    pairs = list(zip(limits, heights, strict=True))
    return {
        "min": -1.0,
        "max": limits[-1],
        "num": sum(heights),
        "sum": sum(limit * height for limit, height in pairs),
        "sum_squares": sum(limit**2 * height for limit, height in pairs),
        "bucket_limit": limits,
        "bucket": heights,
    }
