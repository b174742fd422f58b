"""Pickles read as data: containers, numbers and text, and nothing that runs."""

import bz2
import gc
import pickle
import struct
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.damage import damaged, read_whole
from runners.benchmarks.record import Trusted

_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
"""What a torch file from before version 1.6 begins with, as a pickle of its own."""


def load_pickle(path: Path, trusted: Trusted) -> object:
    """The data of a bz2-compressed pickle.

    Raises E603 before anything runs when it asks for more than data and is not trusted, E604.
    """
    with read_whole(path):
        try:
            with bz2.open(path, "rb") as stream, _no_collection():
                return DataUnpickler(stream).load()
        except RefusedError as error:
            _ask(path, str(error), trusted)
        with bz2.open(path, "rb") as stream, _no_collection():
            return pickle.load(stream)


def load_torch(path: Path, trusted: Trusted) -> object:
    """The data of a file that `torch.save` wrote, with None in place of every tensor.

    Reads both its zip files and the older stream of pickles. Raises like `load_pickle`.
    """
    with read_whole(path):
        try:
            with _no_collection():
                return _torch_data(path)
        except RefusedError as error:
            _ask(path, str(error), trusted)
        import torch

        return torch.load(path, map_location="cpu", weights_only=False)


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
    return NumpyType(str(code).lstrip("<>=|"))


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how the second pickle protocol writes bytes
        raise pickle.UnpicklingError(f"bytes are encoded as {quoted(encoding)}")
    return text.encode("latin1")


def _nothing(*_: object) -> None:
    """In place of a tensor: results have no need of weights."""


DATA: dict[str, object] = {
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
    "_codecs.encode": Stub(_encoded),
    "numpy.dtype": Stub(numpy_type),
    "numpy.core.multiarray.scalar": Stub(_number),
    "numpy._core.multiarray.scalar": Stub(_number),
    "torch._utils._rebuild_tensor_v2": Stub(_nothing),
    "torch._utils._rebuild_parameter": Stub(_nothing),
    **{
        f"{module}.{kind.__name__}": kind
        for module in ("builtins", "__builtin__")
        for kind in (dict, frozenset, list, set, tuple)
    },
    **{
        f"torch.{kind}Storage": Stub(_nothing)
        for kind in ("BFloat16", "Bool", "Byte", "Double", "Float", "Half", "Int", "Long")
    },
}
"""All that a pickle may name. Each only makes the data it is given."""


class DataUnpickler(pickle.Unpickler):
    """Reads a pickle that names nothing but `names`."""

    names: Mapping[str, object] = DATA

    def find_class(self, module_name: str, global_name: str, /) -> object:
        """What the pickle names."""
        name = f"{module_name}.{global_name}"
        if name not in self.names:
            raise RefusedError(name)
        return self.names[name]

    def persistent_load(self, pid: object, /) -> None:
        """A tensor's storage, which is left out."""
        del pid


def _torch_data(path: Path) -> object:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if len(names) != 1:
                raise damaged(path, f"the zip file holds {len(names)} files 'data.pkl', not one")
            with archive.open(names[0]) as stream:
                return DataUnpickler(stream).load()
    with path.open("rb") as stream:
        return _old_torch_data(path, stream)


def _old_torch_data(path: Path, stream: IO[bytes]) -> object:
    if DataUnpickler(stream).load() != _TORCH_MAGIC:
        raise NasirError("E108", "the file was not written by torch.save", Where(str(path)))
    for _ in ("protocol version", "machine"):
        DataUnpickler(stream).load()
    return DataUnpickler(stream).load()


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
def _no_collection() -> Generator[None]:
    """Without garbage collections, which look at millions of new objects again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
