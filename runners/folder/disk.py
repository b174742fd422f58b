"""Durable writes, disk errors, and the lock of a directory."""

import errno
import json
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from nasir import NasirError, Where

PART = ".part"
"""Suffix of files that are being written; their names begin with a dot."""

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks."""

_TEXT = 1
"""Offset of the holder's name: on Windows no other process can read byte 0 of a locked file."""


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file atomically and durably.

    Writes a temporary file beside it, syncs and renames it. On failure (OSError) the old file
    stays, and the temporary one is removed.
    """
    beside = path.with_name(f".{path.name}{PART}")
    try:
        with beside.open("wb", buffering=0) as file:
            write_all(file.fileno(), content)
            os.fsync(file.fileno())
        os.replace(beside, path)  # noqa: PTH105  (tests let it fail)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    synchronise(path.parent)


def synchronise(path: Path) -> None:
    """Fsyncs a file or a directory."""
    if os.name != "posix":  # files opened for reading cannot be synced there
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, content: bytes) -> None:
    """Writes all bytes; a nearly full disk first writes fewer."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def remove_parts(directory: Path) -> None:
    """Removes the temporary files of a killed process."""
    for path in directory.glob(f".*{PART}"):
        with suppress(OSError):  # harmless if it stays
            path.unlink()


@contextmanager
def write_errors(path: Path, safe: Callable[[], str]) -> Generator[None]:
    """Turns an OSError while writing `path` into NasirError; `safe` returns its hint."""
    try:
        yield
    except OSError as error:
        message = f"the run cannot be written: {error.strerror or error}"
        raise NasirError("E112", message, Where(str(path)), hint=safe()) from error


class Lock:
    """The lock file of a directory, held until `release` or the end of the process.

    The system releases it when the process dies. File systems without locks have a marker file with
    a pid instead: the lock is free if no process of this machine has that pid. Raises an error that
    names the holder, and OSError if the file cannot be written. Mutable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _acquired(path)
        try:
            self._file = path.open("r+b", buffering=0)
            self._file.truncate(0)
            self._file.seek(_TEXT)
            holder = {"pid": os.getpid(), "machine": socket.gethostname()}
            self._file.write(json.dumps(holder).encode())
        except BaseException:
            self._lock.release()
            raise

    def is_there(self) -> bool:
        """Whether the path is still the locked file."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def release(self) -> None:
        """Releases the lock. The file stays, since another process may be waiting for it."""
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()
            self._lock.release()


def _acquired(path: Path) -> BaseFileLock:
    lock = FileLock(path, thread_local=False, fallback_to_soft=False)
    try:
        try:
            lock.acquire(blocking=False)
        except OSError as error:
            if isinstance(error, Timeout) or error.errno not in _UNSUPPORTED:
                raise
            lock = SoftFileLock(f"{path}.pid", thread_local=False)
            lock.acquire(blocking=False)
    except Timeout:
        raise _in_use(path) from None
    return lock


def _in_use(path: Path) -> NasirError:
    who = "another process"
    with suppress(OSError, ValueError, KeyError, TypeError):
        with path.open("rb") as file:
            file.seek(_TEXT)
            holder = json.loads(file.read(400))
        pid, machine = int(holder["pid"]), str(holder["machine"])
        here = machine == socket.gethostname()
        who = "this process itself" if here and pid == os.getpid() else f"process {pid}"
        who += "" if here else f" on {machine}"
    hint = "wait for it or end it, or give another folder"
    return NasirError("E724", f"the run is in use by {who}", Where(str(path.parent)), hint)
