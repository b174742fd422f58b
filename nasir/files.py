"""Writing files so that a reader sees the old one or the new one, never half of one."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nasir.errors import NasirError, Where, quoted


def write_atomically(path: Path, content: bytes) -> Path:
    """Write `content` beside `path` and rename it into place; parents are made. Returns `path`.

    A link stays, and what it points to is replaced. Raises an error when the system refuses, or
    where something other than a file stands (a device, a pipe, a directory); nothing is left behind
    then, and an old file stays whole.
    """
    with replacing(path) as stream:
        stream.write(content)
    return path


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A new file beside `path`, which takes its place when the block ends without an error.

    For what is too large to hold; otherwise like `write_atomically`.
    """
    try:
        target = Path(os.path.realpath(path))
        taken = target.exists() and not target.is_file()
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise _cannot_write(path, error) from error
    if taken:
        raise NasirError(
            "E112",
            f"{quoted(str(path))} cannot be written: it is not a regular file",
            Where(str(path)),
            hint="choose another path with --output",
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
        Path(beside).chmod(_mode(target))
        Path(beside).replace(target)
    except BaseException as error:
        Path(beside).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _cannot_write(path, error) from error
        raise


def _mode(path: Path) -> int:
    """The permissions of the file that is replaced, or those of a new file."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _cannot_write(path: Path, error: OSError | ValueError) -> NasirError:
    reason, at = str(error), ""
    if isinstance(error, OSError):
        reason = error.strerror or reason
        at = quoted(str(error.filename)) if error.filename not in (None, "", str(path)) else ""
    return NasirError(
        "E112",
        f"{quoted(str(path))} cannot be written: {reason}{f' ({at})' if at else ''}",
        Where(str(path)),
        hint="choose another path with --output, or make this one writable",
    )
