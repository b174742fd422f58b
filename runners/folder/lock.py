"""One process at a time works in a run's folder."""

import errno
import json
import os
import socket
import sys
from pathlib import Path

from nasir import NasirError, Where
from runners.folder.write import is_open

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}
"""What file systems say that know no locks."""


class Lock:
    """The lock file of a folder, held from its making until `release` or the process's end.

    The system releases it, however the process dies. On file systems without locks the pid in the
    file decides: the folder is free when no process of this machine has it. Raises E724 naming the
    process that holds it, and OSError where the file cannot be written. Mutable.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            holder = _holder(self._file)
            if not _take(self._file, holder):
                raise _in_use(path, holder)
            os.ftruncate(self._file, 0)
            text = json.dumps({"pid": os.getpid(), "machine": socket.gethostname()})
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, text.encode())
        except BaseException:
            os.close(self._file)
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


Holder = tuple[int, str]
"""A pid and its machine; (0, "") where the file names none."""


def _holder(file: int) -> Holder:
    try:
        facts = json.loads(os.pread(file, 400, 0) if hasattr(os, "pread") else os.read(file, 400))
        return int(facts["pid"]), str(facts["machine"])
    except (ValueError, KeyError, TypeError):
        return 0, ""


def _in_use(path: Path, holder: Holder) -> NasirError:
    pid, machine = holder
    elsewhere = f" on {machine}" if machine != socket.gethostname() else ""
    who = "this process itself" if pid == os.getpid() and not elsewhere else f"process {pid}"
    return NasirError(
        "E724",
        f"the run is in use by {who if pid else 'another process'}{elsewhere if pid else ''}",
        Where(str(path.parent)),
        hint="wait for it or end it, or give another folder",
    )


if sys.platform == "win32":
    import msvcrt

    def _take(file: int, holder: Holder) -> bool:
        del holder
        os.lseek(file, 1 << 20, os.SEEK_SET)  # far behind the text, which others may read
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _take(file: int, holder: Holder) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                return False
            return not _lives(holder)
        return True

    def _lives(holder: Holder) -> bool:
        """Whether that process may be at work; one of another machine may be."""
        pid, machine = holder
        if not pid:
            return False
        if machine != socket.gethostname():
            return True
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True
