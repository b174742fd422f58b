"""One process at a time works in a run's folder."""

import errno
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from nasir import NasirError, Where
from runners.folder.write import is_open

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
