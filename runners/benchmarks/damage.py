"""Faults of a benchmark's file, as errors that name it."""

import csv
import struct
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from pickle import UnpicklingError
from zipfile import BadZipFile

from nasir import NasirError, Where
from nasir.errors import quoted

_ROUNDING = 1e-4

_FAULTS = (
    AttributeError,
    BadZipFile,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    UnpicklingError,
    ValueError,
    csv.Error,
    struct.error,
    zlib.error,
)
"""What decompressing and unpickling raise on bytes that are cut off or changed."""


def damaged(path: Path, what: str) -> NasirError:
    """E604 for a file."""
    return NasirError(
        "E604", what, Where(str(path)), hint="is the file complete? Fetch it again if it is not"
    )


@contextmanager
def read_whole(path: Path) -> Generator[None]:
    """Around reading bytes of unknown soundness: their faults become E101, E102, E501 or E604."""
    try:
        yield
    except FileNotFoundError:
        raise NasirError("E101", "the file does not exist", Where(str(path))) from None
    except (IsADirectoryError, PermissionError) as error:
        reason = (error.strerror or "unknown reason").lower()
        raise NasirError("E102", f"the file cannot be read: {reason}", Where(str(path))) from None
    except ImportError as error:
        message = f"the file needs the module {quoted(error.name or str(error))}"
        hint = "install it; for nas_201_api: pip install nasir[bench]"
        raise NasirError("E501", message, Where(str(path)), hint) from None
    except _FAULTS as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": ")
        raise damaged(path, f"the file cannot be read: {quoted(reason, 120)}") from None


def percent(value: object, where: Where, what: str) -> float:
    """The value as an accuracy in percent. Raises E109 for no number, E107 outside 0 to 100.

    What exceeds 100 by no more than float32's rounding, as means over batches may, counts as 100.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise NasirError("E109", f"{what} must be a number, and is {quoted(value)}", where)
    number = float(value)
    if not 0 <= number <= 100 + _ROUNDING:  # false for NaN too
        raise NasirError("E107", f"{what} is {number}, not a percentage", where)
    return min(number, 100.0)
