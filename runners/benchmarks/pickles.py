"""Reads pickles as data: containers, numbers and text, without running code.

Uses Python's own unpickler in Python: the one in C allocates as many values as a damaged byte
states, and does not allow counting steps.
"""

import bz2
import gc
import pickle
import re
import struct
import zipfile
from collections.abc import Callable, Iterable, Sized
from pathlib import Path
from pickle import _Unpickler as Unpickler  # pyright: ignore[reportPrivateUsage] - see above
from typing import IO, Any, cast

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.files import RATIO, FileBudget, damaged, head, read_errors

PICKLE = 4 * 2**20
"""Minimum limit of bytes and steps per pickle: about two seconds of reading."""

UNPACKED = 8
"""Steps per byte of an uncompressed pickle; most cost one, containers 17."""

_OBJECT = 16
_LARGEST_KEY, _LONGEST_KEY = 2**53, 4
_LONGEST_NAME = 1000
_BZIP2 = b"BZh"
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""A pickle at the start of torch files from before version 1.6."""


def load_pickle(path: Path, trusted: Callable[[str], bool]) -> tuple[object, FileBudget]:
    """Returns the data of a file, with None for tensors, and its remaining budget.

    Reads bz2-compressed pickles, torch's zip files and its older streams of pickles. Raises an
    error before any code runs if the file contains more than data and is not trusted, or exceeds
    `FileBudget`.
    """
    with read_errors(path):
        packed = head(path, len(_BZIP2)) == _BZIP2
        budget = FileBudget(path, PICKLE, RATIO if packed else UNPACKED)
        gc.disable()  # otherwise the collector would scan millions of new objects repeatedly
        try:
            return _read(path, budget, DataUnpickler), budget
        except RefusedError as error:
            if not trusted(str(error)):
                message = f"the file asks for {quoted(str(error))}, which may run code; none of it "
                hint = "results are plain data; if you know who made this file, add --trust-pickle"
                raise NasirError("E603", f"{message}was run", hint=hint) from None
        finally:
            gc.enable()
        if packed:
            with bz2.open(path) as stream:
                return pickle.load(stream), budget
        import torch

        return torch.load(path, map_location="cpu", weights_only=False), budget


def load_plain(path: Path) -> Any:
    """Returns the tensors and plain data of a torch.save file, within a budget.

    Raises an error for damage, or for objects that are more than data.
    """
    import argparse

    import torch

    where = Where(str(path))
    if not path.is_file():
        raise NasirError("E101", "the weights file does not exist", where)
    loader: Any = torch
    try:
        _read(path, FileBudget(path, PICKLE, UNPACKED), _Scan)
        # Command-line arguments are data, too, and in many checkpoints.
        with loader.serialization.safe_globals([argparse.Namespace]):
            return loader.load(path, map_location="cpu", weights_only=True)
    # Exceptions of torch's loader for damaged bytes have no common class.
    except Exception as error:
        if isinstance(error, NasirError) and error.code == "E106":
            raise
        if isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower():
            message = "the file holds whole objects, which only code can load"
            hint = "where its code runs: torch.save(model.state_dict(), 'weights.pt')"
            raise NasirError("E603", message, where, hint) from None
        reason = error.message if isinstance(error, NasirError) else str(error)
        if isinstance(error, pickle.UnpicklingError):
            reason = "it is not a state dict of torch"
        line = next(iter(reason.splitlines()), type(error).__name__)
        raise NasirError("E503", f"the file cannot be read: {quoted(line, 200)}", where) from None


class RefusedError(Exception):
    """The pickle names something that is not data; the message is its name."""


def _read(path: Path, budget: FileBudget, reader: "type[DataUnpickler]") -> object:
    """Returns the data of a pickle, without tensors. Raises RefusedError, or any error."""
    if head(path, len(_BZIP2)) == _BZIP2:
        with bz2.open(path) as file:
            return reader(budget.stream(file), budget).load()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                budget.spend(member.file_size)
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(names) != 1:
                raise damaged(f"the zip file holds {len(names)} files 'data.pkl', not one")
            with archive.open(names[0]) as file:
                return reader(budget.stream(file), budget).load()
    with path.open("rb") as file:
        stream = budget.stream(file)
        if reader(stream, budget).load() != _TORCH_MAGIC:
            raise NasirError("E108", "the file was not written by torch.save")
        # Protocol, machine, data, and the names of storages, which follow.
        return [reader(stream, budget).load() for _ in range(4)][2]


def _mapping(pairs: Iterable[Any] = ()) -> dict[Any, Any]:
    entries = [(key, value) for key, value in pairs]
    _check_keys(key for key, _ in entries)
    return dict(entries)


def _set(values: Iterable[Any] = ()) -> set[Any]:
    members = list(values)
    _check_keys(members)
    return set(members)


def _bytes(text: str, *_: object) -> bytes:
    """Returns the bytes that pickle protocol 2 writes as text."""
    return text.encode("latin1")


def _numpy_type(code: str | bytes, *_: object) -> str:
    return (code.decode("latin1") if isinstance(code, bytes) else code).lstrip("<>=|")


def _number(code: object, content: bytes) -> int | float | bool:
    return struct.unpack(f"<{_FORMS[code if isinstance(code, str) else '']}", content)[0]


_FORMS = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "b1": "?"}


def _nothing(*_: object) -> None:
    """Replaces tensors, which results do not need."""


DATA: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": lambda *_: {},  # its content follows
    "_codecs.encode": _bytes,
    "numpy.dtype": _numpy_type,
    "numpy.core.multiarray.scalar": _number,
    "torch._utils._rebuild_tensor_v2": _nothing,
    "torch._utils._rebuild_parameter": _nothing,
    "builtins.dict": _mapping,
    "builtins.frozenset": _set,
    "builtins.list": list,
    "builtins.set": _set,
    "builtins.tuple": tuple,
}
"""All names allowed in a pickle, besides torch's storages. Each only builds data."""


def _named(name: str) -> Callable[..., object] | None:
    """Returns the function or class of a name, as spelled by any version of Python and NumPy."""
    if re.fullmatch(r"torch\.\w+Storage", name):
        return _nothing
    return DATA.get(name.replace("__builtin__", "builtins").replace("numpy._core", "numpy.core"))


def _check_keys(keys: Iterable[Any]) -> None:
    """Raises UnpicklingError for a key other than text, a number, or a short tuple of these.

    Hashing nested tuples can take exponential time or overflow the stack, and many large integers
    share one hash.
    """
    for key in keys:
        parts = cast("tuple[Any, ...]", key) if isinstance(key, tuple) else (key,)
        for part in parts if len(parts) <= _LONGEST_KEY else (parts,):
            if type(part) is str or (type(part) is int and abs(part) < _LARGEST_KEY):
                continue
            if type(part) is not bytes and type(part) is not bool and part is not None:
                raise pickle.UnpicklingError(f"a key is {quoted(parts)}")


class _Anything(dict[Any, Any]):
    """Any object in a scanned pickle."""

    def __init__(self, *_: object) -> None: ...

    def append(self, value: object) -> None: ...

    def extend(self, values: object) -> None: ...


def _object(reader: "DataUnpickler") -> None:
    reader.budget.spend(_OBJECT)


def _arguments(reader: Any) -> None:
    """Spends the size of each argument, since one may be passed repeatedly."""
    reader.budget.spend(len(reader.stack[-1]))
    for argument in reader.stack[-1]:
        if isinstance(argument, Sized):
            reader.budget.spend(len(argument))


def _build(reader: Any) -> None:
    """Drops a value's state; raises if it would set attributes."""
    state, value = reader.stack.pop(), reader.stack[-1]
    if isinstance(value, str) and state[1] != ">":  # a NumPy type and its byte order
        return
    plain = isinstance(state, dict) and cast("dict[object, object]", state).keys() <= {"_metadata"}
    if not plain and not isinstance(value, _Anything):
        raise pickle.UnpicklingError(f"attributes of a {type(value).__name__} are set")


_Load = Callable[[Any], None]

_NOT_DATA = b"io\x82\x83\x84\x92\x96"
"""Opcodes that create instances of classes, or allocate a stated number of bytes."""

_CHECKS: tuple[tuple[bytes, _Load], ...] = (
    (b"pqr\x94}]\x8f(t\x85\x86\x87", _object),
    (pickle.REDUCE + pickle.NEWOBJ, _arguments),
    (pickle.SETITEM, lambda reader: _check_keys(reader.stack[-2:-1])),
    (pickle.SETITEMS, lambda reader: _check_keys(reader.stack[::2])),
    (pickle.ADDITEMS + pickle.FROZENSET, lambda reader: _check_keys(reader.stack)),
)
"""Checks before an opcode: its cost, and the keys it hashes."""


def _checked(check: _Load, load: _Load) -> _Load:
    def checked(reader: Any) -> None:
        check(reader)
        load(reader)

    return checked


def _dispatch() -> dict[int, _Load]:
    """Returns the function of each opcode. Instances are created by calls, like values."""
    table: dict[int, _Load] = {
        code: load for code, load in Unpickler.dispatch.items() if code not in _NOT_DATA
    }
    table |= {pickle.NEWOBJ[0]: table[pickle.REDUCE[0]], pickle.BUILD[0]: _build}
    return table | {
        code: _checked(check, table[code]) for codes, check in _CHECKS for code in codes
    }


class DataUnpickler(Unpickler):
    """Reads a pickle that names `DATA` only, from a stream of the budget."""

    dispatch = _dispatch()

    def __init__(self, stream: IO[bytes], budget: FileBudget) -> None:
        super().__init__(stream)
        self.budget = budget

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """Returns the function or class that the pickle names."""
        found = _named(f"{module}.{name}")
        if found is None:
            raise RefusedError(f"{module}.{name}")
        return found

    def persistent_load(self, pid: object) -> None:
        """Skips a tensor's storage."""
        del pid


class _Scan(DataUnpickler):
    """Scans a pickle for its budget and keys only: its objects are empty mappings."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        """Returns known names as they are, any other as an empty mapping.

        torch searches its own message for such names in quadratic time.
        """
        if len(module) + len(name) > _LONGEST_NAME:
            raise pickle.UnpicklingError("a name in the pickle is too long")
        return _named(f"{module}.{name}") or _Anything
