"""Limits of memory and steps for reading files, and errors for damaged files."""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nasir import NasirError, Where
from nasir.errors import Budget, quoted
from nasir.lazy import EXTRAS

Source = IO[bytes] | io.BufferedIOBase

LEAST = 64 * 2**20
"""Minimum limit of unpacked bytes per file."""

RATIO = 100
"""Unpacked bytes allowed per packed byte, beyond `LEAST`.

Published archives and pickles unpack to less than 20 times their size; a file of zeros to 1,000
(deflate) or 40,000 (bzip2).
"""


def head(path: Path, count: int) -> bytes:
    """Reads the first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(count)


class FileBudget(Budget):
    """The budget of bytes and steps of a file: `least` + ratio * its size.

    Readers spend it on unpacked data before keeping it. Raises OSError without a file.
    """

    def __init__(self, path: Path, least: int = LEAST, ratio: int = RATIO) -> None:
        size = path.stat().st_size
        hint = "published files need less: is its name correct?"
        what = f"a file of {size:,} bytes"
        super().__init__(least + ratio * size, what, "bytes and steps to unpack", hint)
        self._where = Where(str(path))

    def spend(self, count: int, where: Callable[[], Where] | None = None) -> None:
        """Spends bytes or steps. Raises an error when the budget is exceeded."""
        super().spend(count, where or (lambda: self._where))

    def stream(self, source: Source) -> io.BufferedReader:
        """Returns a stream of the source that spends the budget."""
        return io.BufferedReader(_Spending(source, self), 1 << 16)


class _Spending(io.RawIOBase):
    """A readable stream that spends a budget."""

    def __init__(self, source: Source, budget: FileBudget) -> None:
        super().__init__()
        self._source, self._budget = source, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - typeshed has a private name
        """Fills the buffer as far as the source has bytes."""
        content = self._source.read(len(buffer))
        self._budget.spend(len(content))
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def read_errors(path: Path, line: int = 0) -> Generator[None]:
    """Turns exceptions of reading a file into NasirError, with its place, within the context."""
    where = Where(str(path), line)
    try:
        yield
    except NasirError as error:
        raise error.at(where) from None
    except FileNotFoundError:
        raise NasirError("E101", "the file does not exist", where) from None
    except (IsADirectoryError, PermissionError) as error:
        reason = (error.strerror or "unknown reason").lower()
        raise NasirError("E101", f"the file cannot be read: {reason}", where) from None
    except ImportError as error:
        message = f"the file needs the module {quoted(error.name or str(error))}"
        extra = EXTRAS.get(error.name or "")
        hint = f"pip install 'nasir[{extra}]'" if extra else "install it"
        raise NasirError("E501", message, where, hint) from None
    # Exceptions of decompressing and unpickling damaged bytes have no common class.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise damaged(f"the file cannot be read: {quoted(reason, 120)}").at(where) from None


def damaged(what: str) -> NasirError:
    """Returns the error for a damaged file, without a place."""
    return NasirError("E604", what, hint="is the file complete? Fetch it again if it is not")
