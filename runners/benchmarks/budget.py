"""What reading one file may take, in bytes and steps, counted while it is read."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO

from nasir import Where
from nasir.limits import Budget

Source = IO[bytes] | io.BufferedIOBase

LEAST = 64 * 2**20
"""Bytes that any file may unpack to."""

RATIO = 100
"""Bytes that each packed byte may unpack to beyond `LEAST`.

Published archives and pickles unpack to less than 20 times their size; a file of zeros to 1,000
(deflate) or 40,000 (bzip2).
"""


class FileBudget(Budget):
    """Bytes and steps that are left for a file of `packed` bytes: `least` + ratio * packed.

    Every reader spends it on what it unpacks, before it keeps it.
    """

    def __init__(
        self, place: str | Path, packed: int, least: int = LEAST, ratio: int = RATIO
    ) -> None:
        hint = "no published file does: is it what its name says?"
        super().__init__(
            least + ratio * packed, f"a file of {packed:,} bytes", "bytes and steps to unpack", hint
        )
        self._where = Where(str(place))

    @classmethod
    def of(cls, path: Path, least: int = LEAST, ratio: int = RATIO) -> "FileBudget":
        """That of a file. Raises OSError where there is none."""
        return cls(path, path.stat().st_size, least, ratio)

    def spend(self, count: int, where: Callable[[], Where] | None = None) -> None:
        """Counts bytes or steps. Raises E106 when more are spent than there were."""
        super().spend(count, where or (lambda: self._where))

    def stream(self, source: Source) -> io.BufferedReader:
        """What the source unpacks to; reading it spends the budget."""
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
