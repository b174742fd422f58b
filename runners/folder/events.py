"""TensorBoard's events of a run: its metrics as scalars, its architecture as histograms.

They are written by tensorboardX's RecordWriter, at once: the SummaryWriters of tensorboardX and of
torch hand events to a thread, and where that dies (a full disk) the run waits for it for ever.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from nasir.quoting import visible


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
