"""Plain data read from a file: its type, its places, and what a number may be."""

from dataclasses import dataclass, field
from typing import TypeAlias

from nasir.errors import NasirError, Where, quoted
from nasir.genotype import Path
from nasir.limits import DEPTH_LIMIT

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_KINDS: dict[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where each value starts, and where the key of each mapping's entry starts, as offsets.

    `calls` has the name of the class that a record of Python text is an instance of.
    """

    values: dict[Path, int] = field(default_factory=dict[Path, int])
    keys: dict[Path, int] = field(default_factory=dict[Path, int])
    calls: dict[Path, str] = field(default_factory=dict[Path, str])


def kind_of(value: Json) -> str:
    """What a value is, in words."""
    return "nothing" if value is None else _KINDS.get(type(value), "a number")


def too_deep(where: Where) -> NasirError:
    """an error for data that nests deeper than DEPTH_LIMIT."""
    return NasirError("E106", f"the data nests more than {DEPTH_LIMIT} levels deep", where)


def double_key(key: str, where: Where) -> NasirError:
    """an error for the second of two equal keys."""
    return NasirError(
        "E104", f"the key {quoted(key)} occurs twice", where, hint="remove one of them"
    )
