"""Reads files, with line and column of any offset, and writes files atomically."""

import os
import re
import stat
import tempfile
from bisect import bisect_right
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from nasir.errors import MODEL_LIMIT, TEXT_LIMIT, NasirError, Where, quoted

T = TypeVar("T")

_ONNX_FIRST_BYTE = b"\x08"  # the tag of ir_version, which every ONNX file starts with
_OWN = re.compile(
    rb"""\A\s{0,80}nasir graph|^[{ \t]{0,8}["']?nasir["']?[ \t]{0,8}:""", re.MULTILINE
)
"""The beginning of a graph's text, and the field that nasir's own JSON and YAML state."""
_OWN_SUFFIXES = (".json", ".yaml", ".yml")
_CONTROLS = bytes({*range(32), 127} - {*b"\b\t\n\v\f\r\x1b\a"})
"""Control characters that text files do not have; logs have escapes, backspaces and bells."""
_MOST_CONTROLS = 1 / 32
"""The part of a text that they may be: a torn write leaves some, random bytes have 1/10."""


@dataclass(frozen=True)
class Source:
    """The content of a file, or of a text under a name such as `<text>`."""

    name: str
    content: bytes
    limit: int = TEXT_LIMIT
    _made: dict[object, object] = field(
        init=False, repr=False, compare=False, default_factory=dict[object, object]
    )

    def once(self, make: Callable[["Source"], T]) -> T:
        """The result of a function of this source, which is called once."""
        if make not in self._made:
            self._made[make] = make(self)
        return cast("T", self._made[make])

    @classmethod
    def of(cls, text: str, name: str = "<text>") -> "Source":
        """The text as a source. Text that is not Unicode fails when it is read, with an error."""
        return cls(name, text.encode("utf-8", "surrogatepass"))

    @cached_property
    def text(self) -> str:
        """The content as text, lines ending in a newline."""
        if len(self.content) > self.limit:
            raise _too_large(self.name, self.limit)
        try:
            text = self.content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise self._binary(error.start, "not UTF-8 text") from None
        if "\0" in text:
            raise self._binary(self.content.index(0), "binary, not text")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    @property
    def is_model(self) -> bool:
        """True if this looks like an ONNX model rather than a text."""
        return self.name.lower().endswith(".onnx") or self.content[:1] == _ONNX_FIRST_BYTE

    def mended(self) -> "Source":
        """The source, where it is foreign with U+FFFD for NUL and bytes that are not UTF-8.

        nasir's own files, JSON, YAML and binary files stay as they are: an error says where they
        fail.
        """
        if self.is_model or self.name.lower().endswith(_OWN_SUFFIXES):
            return self
        if _OWN.search(self.content, 0, 2**12) or _is_binary(self.content):
            return self
        content = self.content.decode(errors="replace").replace("\0", "\ufffd").encode()
        return replace(self, content=content, limit=max(self.limit, len(content)))

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The text's lines, without their ends."""
        return tuple(self.text.split("\n"))

    @cached_property
    def _starts(self) -> list[int]:
        """Offsets at which the lines start."""
        return [0, *accumulate(len(line) + 1 for line in self.lines)]

    def at(self, offset: int) -> Where:
        """The place `offset` characters into the text."""
        offset = min(offset, len(self.text))
        line = min(bisect_right(self._starts, offset), len(self.lines))
        return self.line(line, offset - self._starts[line - 1] + 1)

    def line(self, line: int, column: int) -> Where:
        """The place at a line and a column, both from 1."""
        return Where(self.name, line, column, "".join(self.lines[line - 1 : line]))

    @property
    def end(self) -> Where:
        """The place after the last character that is not white space."""
        return self.at(len(self.text.rstrip()))

    def _binary(self, offset: int, what: str) -> NasirError:
        before = self.content[:offset]
        where = Where(self.name, before.count(b"\n") + 1, offset - before.rfind(b"\n"))
        hint = "save it as UTF-8 text"
        if _is_binary(self.content) and self.content[:1] not in b"\xff\xfe":  # UTF-16
            what, hint = "binary, not text", "--weights takes weights, nasir bench benchmarks"
        return NasirError("E103", f"the file is {what}", where, hint)


def read_source(path: str | Path, limit: int = TEXT_LIMIT) -> Source:
    """The content of a regular file, of at most `limit` bytes if it is a text.

    Never waits on a pipe or a device.
    """
    name = os.fspath(path)
    # Opening a pipe blocks without O_NONBLOCK; Windows has no such flag and no such pipes.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(name, flags)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise not_there(name) from None
    except IsADirectoryError:
        raise _not_regular(name, "a directory") from None
    except OSError as error:
        raise _unreadable(name, error) from None
    try:
        _check_regular(file, name)
        with os.fdopen(file, "rb", closefd=False) as stream:
            return Source(name, _content(stream, name, limit), limit)
    except OSError as error:
        raise _unreadable(name, error) from None
    finally:
        os.close(file)


def looks_like_path(text: str, suffixes: tuple[str, ...]) -> bool:
    """True if a word names a file rather than something shipped: a separator, or a known suffix."""
    return "/" in text or os.sep in text or text.lower().endswith(suffixes)


def is_there(name: str) -> bool:
    """True if a file or directory has that name; a name that none can have is not there."""
    return bool(name) and os.path.exists(name)  # noqa: PTH110 half the time of a Path's


def is_file(name: str | Path) -> bool:
    """True if a regular file has that name."""
    return is_there(str(name)) and Path(name).is_file()


def not_there(name: str) -> NasirError:
    """An error with the names of files nearby."""
    where = Where(name.replace("\0", "\\0"))
    return NasirError("E101", "the file does not exist", where, hint=_neighbours(name))


def _is_binary(content: bytes) -> bool:
    """True if more of it than a text has are control characters; a run of NUL counts once."""
    content = re.sub(rb"\0+", b"\0", content)
    controls = len(content) - len(content.translate(None, _CONTROLS))
    return controls > len(content) * _MOST_CONTROLS


def _check_regular(file: int, name: str) -> None:
    mode = os.fstat(file).st_mode
    if not stat.S_ISREG(mode):
        raise _not_regular(name, "a directory" if stat.S_ISDIR(mode) else "not a regular file")


def _content(stream: BinaryIO, name: str, limit: int) -> bytes:
    head = stream.read(1)
    limit = MODEL_LIMIT if head == _ONNX_FIRST_BYTE else limit
    content = head + stream.read(limit)
    if len(content) > limit:
        raise _too_large(name, limit)
    return content


def _neighbours(name: str) -> str:
    """A hint that names a file of nearly that name in the same directory, if there is one."""
    import difflib

    path = Path(name.replace("\0", ""))
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"there is no directory '{path.parent}'"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean '{path.parent / close[0]}'?" if close else ""


def _not_regular(name: str, what: str) -> NasirError:
    return NasirError("E101", f"the path is {what}", Where(name), hint="give the path of a file")


def _unreadable(name: str, error: OSError) -> NasirError:
    reason = (error.strerror or "unknown reason").lower()
    return NasirError("E101", f"the file cannot be read: {reason}", Where(name))


def _too_large(name: str, limit: int) -> NasirError:
    return NasirError("E106", f"the file is larger than {limit // 2**20} MiB", Where(name))


def write_atomically(path: Path, content: bytes) -> Path:
    """Writes a temporary file in the same directory and renames it to `path`; returns `path`.

    Creates parent directories. The target of a symbolic link is replaced. Raises an error if the
    write fails, or if `path` is not a regular file; an existing file is unchanged then.
    """
    with replacing(path) as stream:
        stream.write(content)
    return path


@contextmanager
def replacing(path: Path) -> Generator[BinaryIO]:
    """A temporary file that is renamed to `path` when the block ends without an error.

    For content that is too large for memory; otherwise like `write_atomically`.
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
