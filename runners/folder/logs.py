"""The logs of a run: rows of JSON that outlive a kill, and TensorBoard's events of them."""

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
from nasir.plain import Json
from nasir.quoting import json_text, visible
from nasir.reading import read_json
from nasir.source import Source
from runners.folder.disk import write_all, write_durably
from runners.folder.facts import DAMAGED_HINT, flat

Row = Mapping[str, object]
"""A row to be logged: plain data with an "epoch"."""

NEVER = 2**62
"""An epoch behind all."""


def append_row(path: Path, row: Row) -> None:
    """Adds a row to a file of one JSON object a line; NaN and infinity are written as null.

    The row outlives the process. A torn last row is removed first. Raises OSError, and then the
    file holds the rows before it.
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
    """Removes the rows after an epoch and a torn last one; returns how many rows are removed.

    Raises an error for damaged rows, and where one of an epoch up to this one is missing.
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
    """The rows of a file without a torn last one; none where there is no file."""
    return _parse(path, _lines(path))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def _parse(path: Path, lines: Sequence[bytes]) -> list[dict[str, Json]]:
    """The rows; a last one that is torn is left out."""
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
    """TensorBoard's events in a directory, which is made with the first row.

    A failure to write them is said once and ends them; the run continues. They are written by
    tensorboardX's RecordWriter, at once: the SummaryWriters of tensorboardX and of torch hand
    events to a thread, and where that dies (a full disk) the run waits for it for ever. Mutable.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._writer: Any = None  # tensorboardX has no types
        self._works = True
        self._purge: int | None = None

    def purge(self, epoch: int) -> None:
        """Lets TensorBoard forget the events of earlier files from this epoch on."""
        self.close()
        self._purge = epoch

    def scalars(self, row: Row) -> None:
        """Writes the numbers of a row, nested ones under `outer/inner`; the epoch is the step.

        They are float32: a larger number becomes infinite.
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
        """Closes the file; the next row begins another."""
        if self._writer is not None:
            with suppress(OSError):  # a full disk again; it was said
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


def _histogram(heights: Sequence[float]) -> dict[str, object]:
    """A histogram of one bucket an option: option i between i - 1 and i."""
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
