"""Durable writes, the errors of a disk that refuses them, and the lock of a directory."""

import errno
import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

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


_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""Errors of file systems without locks."""

_TEXT = 1
"""Offset of the holder's name: Windows lets no other process read byte 0 of a locked file."""


class Lock:
    """The lock file of a folder, held from its making until `release` or the process's end.

    The system releases it, however the process dies. On file systems without locks a marker beside
    it, which names a pid, stands for it: the folder is free when no process of this machine has
    that pid. Raises E724 naming the process that holds it, and OSError where the file cannot be
    written. Mutable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = _acquired(path)
        try:
            self._file = os.open(path, os.O_RDWR)
            os.ftruncate(self._file, 0)
            text = json.dumps({"pid": os.getpid(), "machine": socket.gethostname()})
            os.lseek(self._file, _TEXT, os.SEEK_SET)
            os.write(self._file, text.encode())
        except BaseException:
            self._lock.release()
            raise

    def is_there(self) -> bool:
        """Whether the path is still that of the file that is held."""
        return is_open(self._path, self._file)

    def release(self) -> None:
        """Lets others in. The file stays: another process may be waiting at it."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1
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
    return NasirError(
        "E724",
        f"the run is in use by {who}",
        Where(str(path.parent)),
        hint="wait for it or end it, or give another folder",
    )
