"""TensorBoard's events of a run: its metrics as scalars, its architecture as histograms.

The file format is written here: SummaryWriter of tensorboardX and of torch hand events to a thread,
and where that dies (a full disk) the run waits for it for ever.
"""

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from nasir.quoting import visible
from runners.folder import crc32c

_STEP, _VERSION, _SUMMARY, _SESSION = 2, 3, 5, 7


class Events:
    """The events in a folder, made with the first row. Whatever fails in it, the run goes on:
    the failure is said once, and then nothing more is written. Mutable."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say
        self._file = -1
        self._works = True
        self._purge: int | None = None

    def purge(self, epoch: int) -> None:
        """Lets TensorBoard forget what earlier files say of this epoch and those after it."""
        self.close()
        self._purge = epoch

    def scalars(self, row: Mapping[str, object]) -> None:
        """The numbers of a row, nested ones under `outer/inner`; the epoch is the step."""
        values = [_scalar(tag, value) for tag, value in _numbers(row) if tag != "epoch"]
        self._write(row, values)

    def architecture(self, row: Mapping[str, object]) -> None:
        """Under the name of each choice the weights of its options."""
        weights = cast("Mapping[str, Sequence[float]]", row.get("weights", {}))
        self._write(row, [_histogram(f"weights/{k}", v) for k, v in weights.items() if len(v)])

    def close(self) -> None:
        """Closes the file; the next row begins another."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _write(self, row: Mapping[str, object], values: Sequence[bytes]) -> None:
        if not self._works or not values:
            return
        try:
            if self._file < 0:
                self._file = self._begin()
            epoch = row["epoch"]
            assert isinstance(epoch, int)
            summary = b"".join(_part(1, value) for value in values)
            os.write(self._file, _record(_whole(_STEP, epoch) + _part(_SUMMARY, summary)))
        except (OSError, ValueError, OverflowError, struct.error) as error:
            self._works = False
            self.close()
            self._say(f"{self._folder}: TensorBoard's events end here, the run goes on: {error}")

    def _begin(self) -> int:
        self._folder.mkdir(exist_ok=True)
        # The time comes first, because TensorBoard reads files in the order of their names.
        name = f"events.out.tfevents.{time.time_ns() // 1000:016d}.{socket.gethostname()}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        file = os.open(self._folder / f"{name}.{os.getpid()}", flags, 0o666)
        os.write(file, _record(_part(_VERSION, b"brain.Event:2")))
        if self._purge is not None:
            start = _whole(1, 1)  # SessionLog.status = START
            os.write(file, _record(_whole(_STEP, self._purge) + _part(_SESSION, start)))
        return file


def _numbers(row: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _numbers(cast("Mapping[str, object]", value), f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{prefix}{key}", float(value)


def _scalar(tag: str, value: float) -> bytes:
    """A Summary.Value of one number; float32, so what is larger becomes infinite."""
    value = value if abs(value) < 3.4e38 else value * float("inf")
    return _part(1, visible(tag).encode()) + _key(2, 5) + struct.pack("<f", value)


def _histogram(tag: str, values: Sequence[float]) -> bytes:
    """A Summary.Value with one bucket an option: option i between i - 1 and i."""
    heights = [float(value) for value in values]
    limits = [float(index) for index in range(len(heights))]
    moments = (
        -1.0,
        limits[-1],
        sum(heights),
        sum(limit * height for limit, height in zip(limits, heights, strict=True)),
        sum(limit**2 * height for limit, height in zip(limits, heights, strict=True)),
    )
    message = b"".join(
        _key(number, 1) + struct.pack("<d", value) for number, value in enumerate(moments, 1)
    )
    message += _part(6, struct.pack(f"<{len(limits)}d", *limits))
    message += _part(7, struct.pack(f"<{len(heights)}d", *heights))
    return _part(1, visible(tag).encode()) + _part(5, message)


def _record(event: bytes) -> bytes:
    """An Event, without its time so far, as a record of the file."""
    event = _key(1, 1) + struct.pack("<d", time.time()) + event
    length = struct.pack("<Q", len(event))
    return length + _masked(length) + event + _masked(event)


def _masked(content: bytes) -> bytes:
    return struct.pack("<I", crc32c.masked(crc32c.crc32c(content)))


def _part(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _whole(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    if value < 0:
        raise ValueError(f"{value} is negative")
    content = bytearray()
    while value > 127:
        content.append(value & 127 | 128)
        value >>= 7
    content.append(value)
    return bytes(content)
