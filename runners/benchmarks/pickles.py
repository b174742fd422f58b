"""Pickles read as data: containers, numbers and text, and nothing that runs.

Python's own unpickler in Python reads them: the one in C makes room for as many values as a changed
byte says, and neither lets what it does be counted.
"""

import bz2
import gc
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import _Unpickler as Unpickler  # pyright: ignore[reportPrivateUsage] - see above
from typing import IO, Any, cast

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.damage import damaged, read_whole
from runners.benchmarks.record import Trusted

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""What a torch file from before version 1.6 begins with, as a pickle of its own."""


PICKLE = 4 * 2**20
"""Bytes and steps that the smallest pickle may take: as many as are read in two seconds."""

UNPACKED = 8
"""Steps for each byte of a pickle that is not compressed; most cost one, containers 17."""

_OBJECT = 16
""""""

_LARGEST_KEY = 2**53
_LONGEST_KEY = 4


def load_pickle(path: Path, trusted: Trusted) -> tuple[object, FileBudget]:
    """The data of a bz2-compressed pickle, and what is left to work on it.

    Raises E603 before anything runs when it asks for more than data and is not trusted, E604, and
    E106 where it takes more than `FileBudget` allows.
    """
    with read_whole(path):
        budget = FileBudget.of(path, PICKLE)
        try:
            with bz2.open(path, "rb") as stream, no_collection():
                return DataUnpickler(budget.stream(stream), budget).load(), budget
        except RefusedError as error:
            _ask(path, str(error), trusted)
        with bz2.open(path, "rb") as stream, no_collection():
            return pickle.load(stream), budget


def load_torch(path: Path, trusted: Trusted) -> tuple[object, FileBudget]:
    """The data of a file that `torch.save` wrote, with None in place of every tensor.

    Reads both its zip files and the older stream of pickles. Raises like `load_pickle`.
    """
    with read_whole(path):
        budget = FileBudget.of(path, PICKLE, UNPACKED)
        try:
            with no_collection():
                return torch_data(path, budget), budget
        except RefusedError as error:
            _ask(path, str(error), trusted)
        import torch

        return torch.load(path, map_location="cpu", weights_only=False), budget


class RefusedError(Exception):
    """The pickle asks for something that is no data; its name."""


@dataclass(slots=True)
class NumpyType:
    """A NumPy type of numbers, as far as its pickle says which."""

    code: str
    order: str = "<"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


class Stub:
    """A function that a pickle may call. Nothing can be set on it, whatever the pickle says."""

    __slots__ = ("_call",)
    _call: Callable[..., object]

    def __init__(self, call: Callable[..., object]) -> None:
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"the pickle sets '{name}' of a function")

    def __call__(self, *arguments: object) -> object:
        """What the function returns."""
        return self._call(*arguments)


def _number(of: NumpyType, content: bytes) -> int | float | bool:
    form = {"f8": "d", "f4": "f", "f2": "e", "i8": "q", "i4": "i", "b1": "?"}[of.code]
    return struct.unpack(of.order + form, content)[0]


def numpy_type(code: object, *_: object) -> NumpyType:
    """The type of that code, whose order of bytes comes later."""
    if not isinstance(code, (str, bytes)):
        raise pickle.UnpicklingError(f"a type of NumPy is named {quoted(code)}")
    return NumpyType((code.decode("latin1") if isinstance(code, bytes) else code).lstrip("<>=|"))


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how the second pickle protocol writes bytes
        raise pickle.UnpicklingError(f"bytes are encoded as {quoted(encoding)}")
    return text.encode("latin1")


def _nothing(*_: object) -> None:
    """In place of a tensor: results have no need of weights."""


def _ordered(pairs: Iterable[Any] = ()) -> OrderedDict[Any, Any]:
    entries = [(key, value) for key, value in pairs]
    check_keys(key for key, _ in entries)
    return OrderedDict(entries)


def _collected(kind: Callable[[list[Any]], object]) -> Stub:
    def make(values: Iterable[Any] = ()) -> object:
        members = list(values)
        check_keys(members)
        return kind(members)

    return Stub(make)


def _mapping(*_: object) -> dict[Any, Any]:
    """An empty one: what it holds comes afterwards, and no default for what it does not."""
    return {}


DATA: dict[str, object] = {
    "collections.OrderedDict": Stub(_ordered),
    "collections.defaultdict": Stub(_mapping),
    "_codecs.encode": Stub(_encoded),
    "numpy.dtype": Stub(numpy_type),
    "numpy.core.multiarray.scalar": Stub(_number),
    "numpy._core.multiarray.scalar": Stub(_number),
    "torch._utils._rebuild_tensor_v2": Stub(_nothing),
    "torch._utils._rebuild_parameter": Stub(_nothing),
    **{
        f"{module}.{name}": made
        for module in ("builtins", "__builtin__")
        for name, made in {
            "dict": Stub(_ordered),
            "frozenset": _collected(frozenset),
            "list": Stub(list),
            "set": _collected(set),
            "tuple": Stub(tuple),
        }.items()
    },
    **{
        f"torch.{kind}Storage": Stub(_nothing)
        for kind in ("BFloat16", "Bool", "Byte", "Double", "Float", "Half", "Int", "Long")
    },
}
"""All that a pickle may name. Each only makes the data it is given."""


def check_keys(keys: Iterable[Any]) -> None:
    """Raises UnpicklingError for what is no text, no number, and no short tuple of these.

    A tuple in a tuple may stand in it many times, so that its hash takes exponential time or more
    of the stack than there is; and any many large numbers have one hash.
    """
    for key in keys:
        parts = cast("tuple[Any, ...]", key) if isinstance(key, tuple) else (key,)
        for part in parts if len(parts) <= _LONGEST_KEY else (parts,):
            if type(part) is str or (type(part) is int and abs(part) < _LARGEST_KEY):
                continue
            if type(part) is not bytes and type(part) is not bool and part is not None:
                raise pickle.UnpicklingError(f"a key is {quoted(parts)}")


class DataUnpickler(Unpickler):
    """Reads a pickle that names nothing but `names`; its stream is one of the budget's."""

    names: Mapping[str, object] = DATA

    def __init__(self, stream: IO[bytes], budget: FileBudget) -> None:
        super().__init__(stream)
        self.budget = budget

    def find_class(self, module: str, name: str) -> object:
        """What the pickle names."""
        full = f"{module}.{name}"
        if full not in self.names:
            raise RefusedError(full)
        return self.names[full]

    def persistent_load(self, pid: object) -> None:
        """A tensor's storage, which is left out."""
        del pid

    def charge(self, arguments: Iterable[Any]) -> None:
        """Spends what a copy of each argument takes: one may be given again and again."""
        for argument in arguments:
            if hasattr(argument, "__len__"):
                self.budget.spend(len(argument))


def _costly(load: Callable[[Any], None]) -> Callable[[Any], None]:
    def counted(reader: DataUnpickler) -> None:
        reader.budget.spend(_OBJECT)
        load(reader)

    return counted


def _checked(load: Callable[[Any], None], first: Callable[[Any], object]) -> Callable[[Any], None]:
    def checked(reader: Any) -> None:
        first(reader)
        load(reader)

    return checked


def _build(reader: Any) -> None:
    """A value's state; of containers, of which only attributes could be set, none is kept."""
    state: Any = reader.stack.pop()
    value: Any = reader.stack[-1]
    kind = cast("type[object]", type(value))
    if hasattr(kind, "__setstate__"):
        reader.charge(state)
        value.__setstate__(state)
    elif not isinstance(state, dict) or set(cast("dict[str, object]", state)) - {"_metadata"}:
        raise pickle.UnpicklingError(f"attributes of a {kind.__name__} are set")


def _byte_array(reader: Any) -> None:
    (length,) = struct.unpack("<Q", reader.read(8))
    reader.append(bytearray(reader.read(length)))


def _dispatch() -> dict[int, Callable[[Any], None]]:
    """What is done at each opcode. Those that make instances of classes are none of data's."""
    table: dict[int, Callable[[Any], None]] = {
        code: load for code, load in Unpickler.dispatch.items() if code not in _INSTANCES
    }
    table |= {code: _costly(table[code]) for code in _OBJECTS}
    for code, keys in _KEYS.items():
        table[code] = _checked(table[code], lambda reader, keys=keys: check_keys(keys(reader)))
    table[pickle.REDUCE[0]] = _checked(
        table[pickle.REDUCE[0]], lambda reader: reader.charge(reader.stack[-1])
    )
    return table | {pickle.BUILD[0]: _build, pickle.BYTEARRAY8[0]: _byte_array}


_INSTANCES = b"io\x81\x92\x82\x83\x84"
_OBJECTS = b"pqr\x94}]\x8f(t\x85\x86\x87"
_KEYS: dict[int, Callable[[Any], Iterable[object]]] = {
    pickle.SETITEM[0]: lambda reader: reader.stack[-2:-1],
    pickle.SETITEMS[0]: lambda reader: reader.stack[::2],
    pickle.ADDITEMS[0]: lambda reader: reader.stack,
    pickle.FROZENSET[0]: lambda reader: reader.stack,
}
"""What an opcode is about to hash."""

DataUnpickler.dispatch = _dispatch()


def torch_data(
    path: Path, budget: FileBudget, reader: type[DataUnpickler] = DataUnpickler
) -> object:
    """What `torch.save` wrote, without tensors. Raises RefusedError, E106, E108, E604."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(names) != 1:
                raise damaged(path, f"the zip file holds {len(names)} files 'data.pkl', not one")
            with archive.open(names[0]) as stream:
                return reader(budget.stream(stream), budget).load()
    with path.open("rb") as file:
        stream = budget.stream(file)
        if reader(stream, budget).load() != _TORCH_MAGIC:
            raise NasirError("E108", "the file was not written by torch.save", Where(str(path)))
        # Protocol, machine, data, and the names of the storages, which follow.
        _, _, data, _ = [reader(stream, budget).load() for _ in range(4)]
        return data


def _ask(path: Path, name: str, trusted: Trusted) -> None:
    if trusted(name):
        return
    raise NasirError(
        "E603",
        f"the file asks for {quoted(name)}, which may run code; none of it was run",
        Where(str(path)),
        hint="results are plain data; if you know who made this file, add --trust-pickle",
    )


@contextmanager
def no_collection() -> Generator[None]:
    """Without garbage collections, which look at millions of new objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
