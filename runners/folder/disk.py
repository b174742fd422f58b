"""Durable writes, the errors of a disk that refuses them, and the lock of a directory."""

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
"""The end of the name of a file that is being written; the name begins with a dot."""

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks."""

_TEXT = 1
"""Offset of the holder's name: Windows lets no other process read byte 0 of a locked file."""


def write_durably(path: Path, content: bytes) -> None:
    """Writes the file as a whole or not at all, even where the machine dies.

    The content is written beside it, synchronised and renamed. The old file stays until then, and
    where the system refuses (OSError), which leaves nothing else behind.
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
    """Lets the content of a file, or the names in a directory, outlive the machine."""
    if os.name != "posix":  # what is open for reading cannot be synchronised there
        return
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def write_all(file: int, content: bytes) -> None:
    """Writes all of the bytes: a nearly full disk takes some and then refuses."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def remove_parts(directory: Path) -> None:
    """Removes the unfinished files of a killed process."""
    for path in directory.glob(f".*{PART}"):
        with suppress(OSError):  # it does no harm
            path.unlink()


@contextmanager
def refusals(path: Path, safe: Callable[[], str]) -> Generator[None]:
    """Turns the system's refusal to write `path` into an error; `safe` says what is on the disk."""
    try:
        yield
    except OSError as error:
        message = f"the run cannot be written: {error.strerror or error}"
        raise NasirError("E112", message, Where(str(path)), hint=safe()) from error


class Lock:
    """The lock file of a directory, held from its making until `release` or the process's end.

    The system releases it, however the process dies. On file systems without locks a marker beside
    it, which names a pid, stands for it: the directory is free when no process of this machine has
    that pid. Raises an error naming the process that holds it, and OSError where the file cannot be
    written. Mutable.
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
        """Whether the path still names the file that is held."""
        try:
            return os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError:
            return False

    def release(self) -> None:
        """Releases the lock. The file stays: another process may be waiting at it."""
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
