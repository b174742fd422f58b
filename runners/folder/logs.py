"""Logs of a run: JSON rows that survive a kill."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from sys import float_info
from typing import cast

from nasir import NasirError, Where
from nasir.document import Json, read_json
from nasir.errors import json_text
from nasir.files import Source
from runners.folder.disk import write_all, write_durably
from runners.folder.facts import DAMAGED_HINT

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
