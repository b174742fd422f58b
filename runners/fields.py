"""Dataclasses of numbers and words, filled from files and from `NAME=VALUE` texts."""

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, TypeVar

from nasir.document import Cursor
from nasir.errors import nearest, quoted

Filled = TypeVar("Filled")

_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def values_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def filled(value: Filled, given: Mapping[str, Cursor], cursor: Cursor) -> Filled:
    """The dataclass with other values of its number, word and switch fields. Raises E109.

    What a field takes is what it has: a default of None takes a whole number. ValueError of the
    dataclass itself becomes E109 at the cursor's place.
    """
    known = values_of(value)
    changed: dict[str, Any] = {}
    for name, entry in given.items():
        if name not in known:
            raise entry.fault("E109", f"unknown field {quoted(name)}", nearest(name, known))
        changed[name] = _value(known[name], entry, name)
    made: Any = value
    try:
        return replace(made, **changed)
    except (TypeError, ValueError) as error:
        raise cursor.fault("E109", str(error)) from None


def parsed(old: object, text: str) -> Any:
    """What a text means for a field that has `old`. Raises ValueError saying what it should be."""
    if isinstance(old, bool):
        if text.lower() not in _SWITCH:
            raise ValueError("true or false")
        return _SWITCH[text.lower()]
    if isinstance(old, str):
        return text
    try:
        number = Fraction(text) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError("a number") from None
    if isinstance(old, float):
        return float(number)
    if number != number // 1:
        raise ValueError("a whole number")
    return int(number)


def _value(old: object, entry: Cursor, name: str) -> Any:
    what = f"`{name}`"
    if isinstance(old, bool):
        if not isinstance(entry.value, bool):
            raise entry.fault("E109", f"{what} must be true or false")
        return entry.value
    if isinstance(old, str):
        return entry.text(what)
    if isinstance(old, float):
        return entry.real(what)
    if isinstance(old, int) or old is None:
        return entry.integer(what)
    if isinstance(old, tuple):
        return tuple(item.real(what) for item in entry.items(what))
    raise entry.fault("E109", f"{what} cannot be set in a file")
