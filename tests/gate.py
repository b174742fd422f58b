"""Which cases of a test the gate runs; the others are slow."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def gated(cases: Iterable[Any], fast: Collection[Any]) -> list[Any]:
    """The cases as parameters; all but the `fast` ones are slow."""
    return [
        pytest.param(
            *(each if isinstance(each, tuple) else (each,)),
            marks=() if each in fast else pytest.mark.slow,
        )
        for each in cases
    ]
