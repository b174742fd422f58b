"""Dataclasses of numbers and words: the range of each field, and values from files and texts.

Recipes and methods are such dataclasses, with others as their sections; both are files, shipped or
a user's, each perhaps `like` another.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import EllipsisType, NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from nasir import NasirError
from nasir.document import Cursor
from nasir.errors import nearest, quoted
from nasir.limits import LIKE_LEVELS, NUMBER_LIMIT

Epochs = Annotated[int, Field(ge=1, le=100_000)]
AnyEpochs = Annotated[int, Field(ge=0, le=100_000)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
AnyCount = Annotated[int, Field(ge=0, le=1_000_000)]
Repeats = Annotated[int, Field(ge=1, le=1_000)]
"""Of what is done again and again within one step of a training."""
BatchSize = Annotated[int, Field(ge=1, le=1 << 16)]
Limit = Annotated[int, Field(ge=1, le=10**12)]
Window = Annotated[int, Field(ge=2, le=10_000)]
Pixels = Annotated[int, Field(ge=0, le=1 << 14)]
Seed = Annotated[int, Field(ge=0, le=NUMBER_LIMIT)]
Number = Annotated[float, Field(ge=0, le=NUMBER_LIMIT)]
Positive = Annotated[float, Field(ge=1e-9, le=NUMBER_LIMIT)]
Share = Annotated[float, Field(ge=0, lt=1)]
"""Ranges of fields, by what they count or measure."""

Made = TypeVar("Made")

RENAMED_SECTIONS = {"sizes": "network", "pictures": "images"}
"""Old names of sections, and their names now."""

RENAMED = {
    "batch": "train.batch",
    "drop_path": "train.drop_path",
    "rate": "optimizer.lr",
    "momentum": "optimizer.momentum",
    "nesterov": "optimizer.nesterov",
    "decay": "optimizer.weight_decay",
    "clip": "optimizer.clip",
    "clip_covers": "optimizer.clip_covers",
    "minimum": "schedule.minimum",
    "rate_warm_up": "schedule.warm_up",
    "logit_rate": "logits.lr",
    "betas": "logits.betas",
    "logit_clip": "logits.clip",
    "order": "logits.order",
    **RENAMED_SECTIONS,
}
"""Old names of settings and sections, and their names now."""

RENAMED_WORDS = {"picture": "image"}
"""Old words of fields, and their words now."""

SUFFIXES = (".yaml", ".yml", ".json")

_RANGE_FAULTS = {
    *("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
    *("finite_number", "int_parsing_size"),
}
"""What pydantic calls a number that is not in a range."""

_SWITCH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
}


class OutOfRangeError(ValueError):
    """A number outside its field's range."""


def code_for(error: ValueError, other: str) -> str:
    """The code of a wrong value: E107 for a number out of range, `other` for anything else."""
    return "E107" if isinstance(error, OutOfRangeError) else other


class Ranged:
    """A dataclass whose fields are checked when it is made: ValueError says what a field takes.

    A field's annotation is its type and its range; fields of nasir's own classes are not checked.
    A number out of its range is an OutOfRangeError. A class with a `code` raises NasirError
    instead, with `code_for` it: a user makes it.
    """

    __slots__ = ()

    code: ClassVar[str] = ""

    def __post_init__(self) -> None:
        values, known = values_of(self), field_types(type(self))
        try:
            _checks(type(self)).model_validate({f"{name}_": values[name] for name in known})
        except ValidationError as error:
            wrong = fault(error, known)
            if self.code:
                raise NasirError(code_for(wrong, self.code), str(wrong)) from None
            raise wrong from None


def fault(error: ValidationError, hints: Mapping[str, Any]) -> ValueError:
    """The first of pydantic's errors in a sentence, with what a field of that annotation takes."""
    first = error.errors(include_url=False)[0]
    name, *rest = map(str, first["loc"])
    name = name.removesuffix("_")
    wanted = "" if rest else takes(hints[name])
    what = f"`{'.'.join((name, *rest))}` is {_shown(first['input'])}"
    message = f"and has to be {wanted}" if wanted else str(first["msg"]).lower()
    return (OutOfRangeError if first["type"] in _RANGE_FAULTS else ValueError)(f"{what}, {message}")


@lru_cache(maxsize=128)
def field_types(kind: type) -> Mapping[str, Any]:
    """The annotations of a dataclass's fields that are numbers, words, and rows of these."""
    hints = get_type_hints(kind, include_extras=True)
    return {f.name: hints[f.name] for f in fields(kind) if _is_plain(hints[f.name])}


class Interval(NamedTuple):
    """A range: what is `below` is not in it itself."""

    least: int | float
    most: int | float
    below: bool


def interval(hint: Any) -> Interval | None:
    """The range in an annotation, if it has one."""
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, map(interval, get_args(hint))), None)
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, FieldInfo):
            ends: dict[str, Any] = {
                name: getattr(end, name)
                for end in each.metadata
                for name in ("ge", "le", "lt")
                if hasattr(end, name)
            }
            return Interval(ends["ge"], ends["lt" if "lt" in ends else "le"], "lt" in ends)
    return None


def takes(hint: Any) -> str:
    """What a field with that annotation takes, in words; "" for what has no short ones."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return takes(next(each for each in parts if each is not NoneType))
    if origin is Literal:
        return f"one of: {', '.join(map(str, parts))}"
    if origin is not Annotated:
        return _WORDS.get(hint, "")
    words, found = _WORDS[parts[0]], interval(hint)
    if found is None:
        return words
    style = ",d" if parts[0] is int else "g"
    most = f"{'below ' if found.below else ''}{found.most:{style}}"
    return f"{words} from {found.least:{style}} to {most}"


def values_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass by name."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def filled(value: Made, given: Mapping[str, Cursor]) -> Made:
    """The dataclass with other values of its number, word and switch fields. Raises E107 and E109.

    ValueError of the dataclass itself becomes an error at the field's place.
    """
    known, made = field_types(type(value)), cast("Any", value)
    for name, entry in given.items():
        if name not in known:
            fields_ = values_of(value)
            message = f"`{name}` cannot be set in a file"
            if name not in fields_:
                message = f"unknown field {quoted(name)}"
            raise entry.fault("E109", message, nearest(name, fields_))
        try:
            made = replace(made, **{name: _value(getattr(value, name), entry.value)})
        except ValueError as error:
            hint = _now(RENAMED_WORDS.get(str(entry.value)))
            raise entry.fault(code_for(error, "E109"), str(error), hint) from None
        except TypeError as error:
            raise entry.fault("E109", str(error)) from None
    return made


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
        if isinstance(old, float):
            return float(number)
    except (ValueError, ZeroDivisionError, OverflowError):
        raise ValueError("a number") from None
    if number != number // 1:
        raise ValueError("a whole number")
    return int(number)


def sections(value: object) -> dict[str, Any]:
    """The fields of a dataclass that are dataclasses themselves, by name."""
    return {name: each for name, each in values_of(value).items() if is_dataclass(each)}


def with_values(
    made: Made, values: Mapping[str, str | float], what: str = "a recipe", code: str = "E752"
) -> Made:
    """The recipe, or the settings of a search, with other values: `optimizer.lr` by name.

    Raises E107, and `code` for names and values that are wrong.
    """
    known = sections(made)
    for name, given in values.items():
        section, dot, key = name.partition(".")
        if section not in known or not dot:
            names = f"a section and a field, such as optimizer.lr; sections: {', '.join(known)}"
            hint = _now(_renamed(name)) or names
            raise NasirError(code, f"{quoted(name)} is nothing of {what}", hint=hint)
        part: Any = known[section]
        fields_ = values_of(part)
        if key not in fields_:
            message = f"the section '{section}' has no field {quoted(key)}"
            hint = _now(_renamed(key, section)) or nearest(key, fields_)
            raise NasirError(code, message, hint=hint)
        try:
            value = parsed(fields_[key], str(given))
        except ValueError as error:
            message = f"'{name}' cannot be {quoted(str(given))}"
            raise NasirError(code, message, hint=f"it takes {error}") from None
        try:
            known[section] = replace(part, **{key: value})
        except ValueError as error:
            raise NasirError(code_for(error, code), f"in '{section}': {error}") from None
    changed: Any = made
    return replace(changed, **known)


def _renamed(name: str, section: str = "") -> str:
    """The name now of a setting with an old name, if possible in that section; "" for others."""
    old, _, key = name.partition(".")
    if key:
        return f"{RENAMED_SECTIONS[old]}.{key}" if old in RENAMED_SECTIONS else ""
    now = [RENAMED[each] for each in (name, f"logit_{name}") if each in RENAMED]
    return next((each for each in now if each.startswith(section)), now[0] if now else "")


def _now(name: str | None) -> str:
    """A hint with the name now; "" without one."""
    return f"it is {name} now" if name else ""


def shipped_names(folder: Path) -> tuple[str, ...]:
    """The names of the YAML files there."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def named_file(
    text: str, shipped: Path, code: str, outer: tuple[str, ...]
) -> tuple[Path, tuple[str, ...]]:
    """The file that a text names, a path or a shipped name, and `outer` with it if it is a path.

    Raises `code` for an unknown name, E109 for a circle of files, E106 for too many.
    """
    if not text.endswith(SUFFIXES):
        names = shipped_names(shipped)
        if text not in names:
            message = f"unknown {shipped.name.removesuffix('s')} {quoted(text)}"
            raise NasirError(code, message, hint=nearest(text, names))
        return shipped / f"{text}.yaml", ()
    path = os.path.realpath(text)
    if path in outer:
        names = " to ".join(Path(each).name for each in (*outer[outer.index(path) :], path))
        raise NasirError("E109", f"the {shipped.name} are `like` one another in a circle: {names}")
    if len(outer) == LIKE_LEVELS:
        message = f"more than {LIKE_LEVELS} {shipped.name} are each `like` the next"
        raise NasirError("E106", message)
    return Path(text), (*outer, path)


def check_names(cursor: Cursor, what: str, old: Sequence[str]) -> None:
    """Raises E109 for an entry with one of these old names, with its name now."""
    entries = cursor.entries(what)
    for name in old:
        if name in entries:
            hint = _now(RENAMED[name])
            raise entries[name].fault("E109", f"{what} has no field `{name}`", hint)


def placed(cursor: Cursor, make: Callable[[], Made]) -> Made:
    """Returns `make()`; its errors get the cursor's place."""
    try:
        return make()
    except NasirError as error:
        raise error.at(cursor.where) from None
    except ValueError as error:
        raise cursor.fault(code_for(error, "E109"), str(error)) from None


@lru_cache(maxsize=128)
def _checks(kind: type) -> type[BaseModel]:
    """The model of a dataclass's plain fields, whose names end in _: some are those of methods."""
    given: dict[str, Any] = {f"{name}_": (hint, ...) for name, hint in field_types(kind).items()}
    config = ConfigDict(strict=True, allow_inf_nan=False)
    return create_model(kind.__name__, __config__=config, **given)


def _is_plain(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is None:
        return hint in (int, float, str, bool, NoneType, EllipsisType, ...)
    parts = get_args(hint)
    return origin is Literal or all(map(_is_plain, parts[:1] if origin is Annotated else parts))


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) <= NUMBER_LIMIT else "beyond all numbers of a file"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value, 32) if isinstance(value, str) else f"a {type(value).__name__}"


def _value(old: object, given: object) -> object:
    """The value of a file for a field that has `old`: whole numbers may stand for others."""
    if isinstance(old, tuple) and isinstance(given, list):
        return tuple(_value(0.0, each) for each in cast("list[object]", given))
    if isinstance(old, float) and type(given) is int and abs(given) <= NUMBER_LIMIT:
        return float(given)
    return given
