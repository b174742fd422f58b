"""Errors that tests expect."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

import pytest

from nasir import NasirError


@contextmanager
def fails_with(code: str, match: str | None = None) -> Generator[pytest.ExceptionInfo[NasirError]]:
    """Requires an error with this code, and with a message in which `match` is found."""
    with pytest.raises(NasirError, match=match) as caught:
        yield caught
    assert caught.value.code == code


def error_of(call: Callable[[], object]) -> NasirError:
    """The error that a call raises."""
    with pytest.raises(NasirError) as caught:
        call()
    return caught.value
