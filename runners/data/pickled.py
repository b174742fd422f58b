"""Pickled batches of pictures read as data: containers, numbers, text and arrays."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from nasir import NasirError, Where
from nasir.errors import quoted

Batch = dict[str, Any]
"""What a batch holds, by name; pickles of Python 2 have names in bytes, which are decoded."""


def read_batch(content: bytes, place: Path) -> Batch:
    """The mapping that a pickle holds.

    Raises E603 before anything runs where it asks for more than data, and E709.
    """
    found: Any
    try:
        found = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _RefusedError as error:
        message = f"the file asks for {quoted(str(error))}, which may run code; none of it was run"
        raise NasirError("E603", message, Where(str(place)), "a batch is plain data") from error
    # What a broken pickle makes a constructor raise is not bounded.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise damaged(place, reason) from error
    if not isinstance(found, dict):
        raise damaged(place, f"it holds {quoted(type(found).__name__)}, not a mapping")
    return {_text(name): value for name, value in cast("dict[Any, Any]", found).items()}


def entry(batch: Batch, name: str, place: Path) -> Any:
    """What the batch holds under a name. Raises E709."""
    if name not in batch:
        known = ", ".join(sorted(batch)) or "nothing"
        raise damaged(place, f"it has no entry '{name}'; it has {known}")
    return batch[name]


def damaged(place: Path, message: str) -> NasirError:
    """E709 at a file."""
    return NasirError("E709", f"the file is damaged: {message}", Where(str(place)), "copy it again")


class _RefusedError(Exception):
    """The pickle asks for something that is no data; its name."""


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # how the second pickle protocol writes bytes
        raise pickle.UnpicklingError(f"bytes are encoded as {quoted(encoding)}")
    return text.encode("latin1")


def _makers() -> dict[str, Callable[..., object]]:
    """All that a pickle may name, each of which only makes the data it is given."""
    array = np.zeros(1, np.uint8)
    old: Any = array.__reduce__()[0]
    new: Any = array.__reduce_ex__(5)[0]
    scalar: Any = np.uint8(0).__reduce__()[0]
    makers: dict[str, Callable[..., object]] = {
        "numpy.ndarray": np.ndarray,
        "numpy.dtype": np.dtype,
        "_codecs.encode": _encoded,
    }
    for core in ("numpy.core", "numpy._core"):
        makers[f"{core}.multiarray._reconstruct"] = old
        makers[f"{core}.multiarray.scalar"] = scalar
        makers[f"{core}.numeric._frombuffer"] = new
    return makers


_MAKERS = _makers()


class _Unpickler(pickle.Unpickler):
    """Reads a pickle that names nothing but `_MAKERS`."""

    def find_class(self, module_name: str, global_name: str, /) -> object:
        """What the pickle names."""
        name = f"{module_name}.{global_name}"
        if name not in _MAKERS:
            raise _RefusedError(name)
        return _MAKERS[name]


def _text(name: object) -> str:
    return name.decode("latin1") if isinstance(name, bytes) else str(name)
