"""Pickled batches of pictures read as data: containers, numbers, text and arrays."""

import io
import pickle
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.budget import FileBudget
from runners.benchmarks.pickles import (
    DATA,
    PICKLE,
    UNPACKED,
    DataUnpickler,
    NumpyType,
    RefusedError,
    Stub,
    no_collection,
)

Array = NDArray[Any]

Batch = dict[str, Any]
"""What a batch holds, by name; pickles of Python 2 have names in bytes, which are decoded."""


def read_batch(content: bytes, place: Path) -> Batch:
    """The mapping that a pickle holds.

    Raises E603 before anything runs where it asks for more than data, and E709.
    """
    found: Any
    budget = FileBudget(place, len(content), PICKLE, UNPACKED)
    try:
        with no_collection():
            stream = budget.stream(io.BytesIO(content))
            found = _Unpickler(stream, budget, encoding="latin1").load()
        if isinstance(found, dict):
            batch = cast("dict[object, object]", found)
            return {_text(name): _plain(value) for name, value in batch.items()}
    except NasirError:
        raise
    except RefusedError as error:
        message = f"the file asks for {quoted(str(error))}, which may run code; none of it was run"
        raise NasirError("E603", message, Where(str(place)), "a batch is plain data") from error
    # What a broken pickle makes a constructor raise is not bounded.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise damaged(place, reason) from error
    raise damaged(place, f"it holds {quoted(type(found).__name__)}, not a mapping")


def entry(batch: Batch, name: str, place: Path) -> Any:
    """What the batch holds under a name. Raises E709."""
    if name not in batch:
        known = ", ".join(sorted(batch)) or "nothing"
        raise damaged(place, f"it has no entry '{name}'; it has {known}")
    return batch[name]


def damaged(place: Path, message: str) -> NasirError:
    """E709 at a file."""
    return NasirError("E709", f"the file is damaged: {message}", Where(str(place)), "copy it again")


_NUMBERS = ("b1", "f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
"""NumPy's codes of what an array may hold: no pickle makes a type out of bytes."""


class _Array:
    """An array as its pickle describes it, in three steps: made, described, filled."""

    __slots__ = ("values",)
    values: Array

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, content = state
        self.values = _array(content, kind, shape, "F" if by_column else "C")


def _array(content: Any, kind: NumpyType, shape: Any, order: Literal["C", "F"]) -> Array:
    """The numbers that the bytes are. Bytes of Python 2 come as text in latin1.

    NumPy's own way from a pickle to an array takes a type's word for what lies where, so that a
    file can make it follow any bytes as if they were an object's address.
    """
    if kind.code not in _NUMBERS:
        raise pickle.UnpicklingError(f"an array is of the type {quoted(kind.code)}")
    if not isinstance(content, (str, bytes, bytearray)):
        raise pickle.UnpicklingError(f"the numbers of an array are {quoted(content)}")
    content = content.encode("latin1") if isinstance(content, str) else content
    return np.frombuffer(content, f"{kind.order}{kind.code}").reshape(tuple(shape), order=order)


def _made(*_: object) -> _Array:
    return _Array()


def _filled(content: Any, kind: NumpyType, shape: Any, order: Literal["C", "F"]) -> _Array:
    made = _Array()
    made.values = _array(content, kind, shape, order)
    return made


def _number(kind: NumpyType, content: Any) -> int | float | bool:
    return _array(content, kind, (1,), "C").tolist()[0]


_NAMES: dict[str, object] = DATA | {"numpy.ndarray": Stub(_made)}
for _core in ("numpy.core", "numpy._core"):
    _NAMES[f"{_core}.multiarray._reconstruct"] = Stub(_made)
    _NAMES[f"{_core}.multiarray.scalar"] = Stub(_number)
    _NAMES[f"{_core}.numeric._frombuffer"] = Stub(_filled)


class _Unpickler(DataUnpickler):
    """Reads a pickle of plain data and of arrays of numbers."""

    names = _NAMES


def _plain(value: object) -> object:
    return value.values if isinstance(value, _Array) else value


def _text(name: object) -> str:
    return name.decode("latin1") if isinstance(name, bytes) else str(name)
