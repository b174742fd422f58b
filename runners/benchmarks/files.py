"""Limits and faults of files that are read: memory and steps, damage, missing modules."""

import io
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.limits import Budget

Source = IO[bytes] | io.BufferedIOBase

LEAST = 64 * 2**20
"""Bytes that any file may unpack to."""

RATIO = 100
"""Bytes that each packed byte may unpack to beyond `LEAST`.

Published archives and pickles unpack to less than 20 times their size; a file of zeros to 1,000
(deflate) or 40,000 (bzip2).
"""


def head(path: Path, count: int) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as stream:
        return stream.read(count)


class FileBudget(Budget):
    """Bytes and steps that are left for a file: `least` + ratio * its size.

    Every reader spends it on what it unpacks, before it keeps it. Raises OSError without a file.
    """

    def __init__(self, path: Path, least: int = LEAST, ratio: int = RATIO) -> None:
        size = path.stat().st_size
        hint = "no published file does: is it what its name says?"
        what = f"a file of {size:,} bytes"
        super().__init__(least + ratio * size, what, "bytes and steps to unpack", hint)
        self._where = Where(str(path))

    def spend(self, count: int, where: Callable[[], Where] | None = None) -> None:
        """Counts bytes or steps. Raises an error when more are spent than there were."""
        super().spend(count, where or (lambda: self._where))

    def stream(self, source: Source) -> io.BufferedReader:
        """The bytes of the source; reading them spends the budget."""
        return io.BufferedReader(_Spending(source, self), 1 << 16)


class _Spending(io.RawIOBase):
    """A readable stream that spends a budget."""

    def __init__(self, source: Source, budget: FileBudget) -> None:
        super().__init__()
        self._source, self._budget = source, budget

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: "memoryview | bytearray", /) -> int:  # pyright: ignore[reportIncompatibleMethodOverride] - typeshed has a private name
        """Fills the buffer as far as the source has bytes."""
        content = self._source.read(len(buffer))
        self._budget.spend(len(content))
        buffer[: len(content)] = content
        return len(content)


@contextmanager
def reading(path: Path, line: int = 0) -> Generator[None]:
    """Around reading a file: faults become an error of it, errors get its place."""
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
        hint = "install it; for nas_201_api: pip install nasir[bench]"
        raise NasirError("E501", message, where, hint) from None
    # What decompressing and unpickling raise on bytes that are changed has no class in common.
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise damaged(f"the file cannot be read: {quoted(reason, 120)}").at(where) from None


def damaged(what: str) -> NasirError:
    """an error, without a place."""
    return NasirError("E604", what, hint="is the file complete? Fetch it again if it is not")
