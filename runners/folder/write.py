"""Bytes that are on the disk when a call returns, and what is said when the disk refuses."""

import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from nasir import NasirError, Where

PART = ".part"
"""How the name of a file ends that is being written; it also begins with a dot."""


def write_durably(path: Path, content: bytes) -> None:
    """The file as a whole or not at all, even where the machine dies.

    Written beside, synchronised and renamed. What stood there before stays until then, and where
    the system refuses (OSError), which leaves nothing else behind.
    """
    beside = part_of(path)
    try:
        file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _BINARY, 0o666)
        try:
            write_all(file, content)
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(beside, path)  # noqa: PTH105  (tests let it fail)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def part_of(path: Path) -> Path:
    """Where a file is written before it takes its name; there is one writer, who holds the lock."""
    return path.with_name(f".{path.name}{PART}")


def write_all(file: int, content: bytes) -> None:
    """All of the bytes: a nearly full disk takes some and then refuses."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def is_open(path: Path, file: int) -> bool:
    """Whether what is at the path is the open file; not so where it was removed or replaced."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except OSError:
        return False


def sync_directory(path: Path) -> None:
    """Lets a rename outlive a power cut, where directories can be synchronised."""
    if os.name != "posix":
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def remove_parts(directory: Path) -> None:
    """Removes what a killed process had begun to write."""
    for path in directory.glob(f".*{PART}"):
        with suppress(OSError):  # it does no harm
            path.unlink()


@contextmanager
def refusals(path: Path, safe: str) -> Generator[None]:
    """Turns the system's refusal to write `path` into E725; `safe` says what is on the disk."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, safe) from error


def cannot_write(path: Path, error: OSError, safe: str) -> NasirError:
    """E725 with the system's reason."""
    reason = error.strerror or str(error)
    return NasirError("E725", f"the run cannot be written: {reason}", Where(str(path)), hint=safe)


_BINARY = getattr(os, "O_BINARY", 0)
