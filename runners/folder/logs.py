"""Logs of a run: JSON rows that survive a kill, and TensorBoard events."""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from sys import float_info
from typing import Any, cast

from nasir import NasirError, Where
from nasir.document import Json, read_json
from nasir.errors import json_text, visible
from nasir.files import Source
from runners.folder.disk import write_all, write_durably
from runners.folder.facts import DAMAGED_HINT, flat

Row = Mapping[str, object]
"""A row of a log: plain data with an "epoch"."""

NEVER = 2**62
"""An epoch after all others."""


def append_row(path: Path, row: Row) -> None:
    """Appends a row to a JSON Lines file; NaN and infinity become null.

    The row survives the process. Removes an incomplete last row first. Raises OSError, without
    changing earlier rows.
    """
    assert isinstance(row.get("epoch"), int), "a row needs its epoch"
    finite = json.loads(json.dumps(row), parse_constant=lambda _: None)
    with path.open("a+b", buffering=0) as file:
        end = path.read_bytes().rfind(b"\n") + 1
        file.truncate(end)
        try:
            write_all(file.fileno(), f"{json_text(finite)}\n".encode())
        except BaseException:
            file.truncate(end)
            raise


def rewind_rows(path: Path, epoch: int) -> int:
    """Removes rows after an epoch and an incomplete last row; returns the number removed.

    Raises an error for damaged rows, or if a row up to `epoch` is missing.
    """
    lines = _lines(path)
    epochs = [cast("int", row["epoch"]) for row in _parse(path, lines)]
    missing = set(range(epoch + 1)) - set(epochs) if epoch < NEVER else set[int]()
    if missing:
        message = f"the file has no row of epoch {min(missing)}, which a checkpoint follows"
        raise NasirError("E604", message, Where(str(path)), DAMAGED_HINT)
    kept = [line for line, number in zip(lines, epochs, strict=False) if number <= epoch]
    if len(kept) < len(lines):
        write_durably(path, b"".join(kept))
    return len(epochs) - len(kept)


def read_rows(path: Path) -> list[dict[str, Json]]:
    """Reads the rows of a file, without an incomplete last one; none if the file is missing."""
    return _parse(path, _lines(path))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _parse(path: Path, lines: Sequence[bytes]) -> list[dict[str, Json]]:
    """Parses rows; skips an incomplete last one."""
    rows: list[dict[str, Json]] = []
    for number, line in enumerate(lines, 1):
        row = None
        with suppress(NasirError):
            row = read_json(Source("", line), float_info.max) if line.endswith(b"\n") else None
        if isinstance(row, dict) and type(row.get("epoch")) is int:
            rows.append(row)
        elif line.endswith(b"\n"):
            where = Where(str(path), number, 1, line.decode(errors="replace").rstrip())
            raise NasirError("E604", "the row is damaged", where, DAMAGED_HINT)
    return rows


class Events:
    """TensorBoard events in a directory, which is created with the first row.

    The first failure is reported once and ends them; the run continues. They are written
    synchronously by tensorboardX's RecordWriter: the SummaryWriters of tensorboardX and torch use a
    thread, and if that dies (full disk) the run waits for ever. Mutable.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._writer: Any = None  # tensorboardX has no types
        self._works = True
        self._purge: int | None = None

    def purge(self, epoch: int) -> None:
        """Makes TensorBoard discard events of earlier files from this epoch on."""
        self.close()
        self._purge = epoch

    def scalars(self, row: Row) -> None:
        """Writes the numbers of a row, nested ones as `outer/inner`, with the epoch as step.

        Values are float32: larger numbers become infinite.
        """
        numbers = [
            {"tag": visible(tag), "simple_value": float(value)}
            for tag, value in flat(row, "/")
            if isinstance(value, (int, float)) and not isinstance(value, bool) and tag != "epoch"
        ]
        self._write(row, numbers)

    def architecture(self, row: Row) -> None:
        """Writes the weights of each choice's options as a histogram."""
        weights = cast("Mapping[str, Sequence[float]]", row.get("weights", {}))
        histograms = [
            {"tag": visible(f"weights/{choice}"), "histo": _histogram(heights)}
            for choice, heights in weights.items()
            if heights
        ]
        self._write(row, histograms)

    def close(self) -> None:
        """Closes the file; the next row starts another."""
        if self._writer is not None:
            with suppress(OSError):  # a full disk again; already reported
                self._writer.close()
            self._writer = None

    def _write(self, row: Row, values: Sequence[Mapping[str, object]]) -> None:
        if not self._works or not values:
            return
        try:
            if self._writer is None:
                self._begin()
            self._put(step=row["epoch"], summary={"value": values})
        except (OSError, ValueError) as error:
            self._works = False
            self.close()
            self._say(f"{self._folder}: TensorBoard's events end here, the run continues: {error}")

    def _begin(self) -> None:
        from tensorboardX.record_writer import RecordWriter

        self._folder.mkdir(exist_ok=True)
        # The time comes first, since TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}"
        # Absolute, since a path that starts with `s3:` means a bucket.
        self._writer = RecordWriter(str(self._folder.absolute() / f"{name}.{os.getpid()}"))
        self._put(file_version="brain.Event:2")
        if self._purge is not None:
            self._put(step=self._purge, session_log={"status": 1})  # START

    def _put(self, **fields: object) -> None:
        from tensorboardX.proto import event_pb2

        event: Any = cast("Any", event_pb2).Event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
        self._writer.flush()


def _histogram(heights: Sequence[float]) -> dict[str, object]:
    """Returns a histogram with one bucket per option: option i between i - 1 and i."""
    limits = range(len(heights))
    return {
        "min": -1.0,
        "max": limits[-1],
        "num": sum(heights),
        "sum": sum(limit * height for limit, height in enumerate(heights)),
        "sum_squares": sum(limit**2 * height for limit, height in enumerate(heights)),
        "bucket_limit": limits,
        "bucket": heights,
    }
