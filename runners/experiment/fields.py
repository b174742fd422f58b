"""Pydantic models with ranges, and field values from files and texts.

Recipes and methods are such models, with others as sections; both are files, shipped or a user's,
and may be `like` another.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from nasir import NasirError
from nasir.document import Cursor
from nasir.errors import LIKE_LEVELS, NUMBER_LIMIT, nearest, quoted
from nasir.files import Source, read_source
from nasir.table import Table

Epochs = Annotated[int, Field(strict=True, ge=1, le=100_000)]
AnyEpochs = Annotated[int, Field(strict=True, ge=0, le=100_000)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
AnyCount = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Repeats = Annotated[int, Field(strict=True, ge=1, le=1_000)]
"""Repetitions within one training step."""
BatchSize = Annotated[int, Field(strict=True, ge=1, le=1 << 16)]
Limit = Annotated[int, Field(strict=True, ge=1, le=10**12)]
Window = Annotated[int, Field(strict=True, ge=2, le=10_000)]
Pixels = Annotated[int, Field(strict=True, ge=0, le=1 << 14)]
Seed = Annotated[int, Field(strict=True, ge=0, le=NUMBER_LIMIT)]
Number = Annotated[float, Field(strict=True, ge=0, le=NUMBER_LIMIT)]
Positive = Annotated[float, Field(strict=True, ge=1e-9, le=NUMBER_LIMIT)]
Share = Annotated[float, Field(strict=True, ge=0, lt=1)]
"""Ranges of fields, by what they count or measure."""

Made = TypeVar("Made")
Whole = TypeVar("Whole", bound="Model")

RENAMED_SECTIONS = {"sizes": "network", "pictures": "images"}
"""Old names of sections, and their present names."""

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
    "settings": "network, train, optimizer, schedule, logits and images",
    **RENAMED_SECTIONS,
}
"""Old names of settings and sections, and their present names."""

RENAMED_WORDS = {"picture": "image"}
"""Old values of fields, and their present values."""

SUFFIXES = (".yaml", ".yml", ".json")

_SWITCHES = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}

_RANGE_FAULTS = {
    *("greater_than", "greater_than_equal", "less_than", "less_than_equal"),
    *("finite_number", "int_parsing_size"),
}
"""Pydantic's error types for numbers outside a range."""

_WORDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple: "a list",
    BaseModel: "a mapping",
}


class FieldError(NasirError, ValueError):
    """A wrong field of a model; `path` leads to it. Outer models prepend their field."""

    def __init__(
        self, code: str, message: str, hint: str = "", path: tuple[str | int, ...] = ()
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.path = path

    def within(self, root: Cursor) -> NasirError:
        """Returns the error with its place in that mapping."""
        return NasirError(self.code, self.message, root.place(*self.path), self.hint)


class Model(BaseModel):
    """A frozen model.

    Raises FieldError for a number outside its range, an unknown or a missing field, and with the
    model's `code` for any other wrong value.
    """

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True, allow_inf_nan=False)

    code: ClassVar[str] = "E109"

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise _explained(type(self), error) from None

    def having(self, **changes: Any) -> Self:
        """Returns a copy with other values; a mapping changes fields of the nested model."""
        return type(self)(**merged(dict(self), changes))


class Section(Model):
    """A model whose fields are named in texts: `optimizer.lr`."""


def _explained(kind: type[Model], error: ValidationError) -> FieldError:
    """Returns the first of pydantic's errors as a sentence with the accepted values."""
    first = error.errors(include_url=False)[0]
    path, cause = first["loc"], first.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return FieldError(cause.code, cause.message, cause.hint, (*path, *cause.path))
    if not path:
        return FieldError(kind.code, str(cause))
    name, *rest = map(str, path)
    if first["type"] == "extra_forbidden":
        hint = nearest(name, kind.model_fields)
        return FieldError("E109", f"unknown field {quoted(name)}", hint, path)
    if first["type"] == "missing":
        return FieldError("E109", f"the field '{name}' is missing", path=path)
    given = first["input"]
    wanted = "" if rest else accepted(get_type_hints(kind, include_extras=True)[name])
    message = f"and must be {wanted}" if wanted else str(first["msg"]).lower()
    return FieldError(
        "E107" if first["type"] in _RANGE_FAULTS else kind.code,
        f"`{'.'.join((name, *rest))}` is {_shown(given)}, {message}",
        _renamed_hint(RENAMED_WORDS.get(given) if isinstance(given, str) else None),
        path,
    )


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `old` updated with `new`; mappings and models are merged at every level.

    A mapping with `part` replaces the part and inherits nothing from it.
    """
    found = dict(old)
    for name, value in new.items():
        before = found.get(name)
        if isinstance(value, dict) and isinstance(before, dict | Model) and "part" not in value:
            value = merged(cast("dict[str, Any]", before), cast("dict[str, Any]", value))
        found[name] = value
    return found


class Interval(NamedTuple):
    """A range; `below`: whether `most` is excluded."""

    least: int | float
    most: int | float
    below: bool


def interval(hint: Any) -> Interval | None:
    """Returns the range of an annotation, if any."""
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
            if ends:
                return Interval(ends["ge"], ends["lt" if "lt" in ends else "le"], "lt" in ends)
    return None


def accepted(hint: Any) -> str:
    """Describes the values accepted by an annotation; "" without a short description."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return accepted(next(each for each in parts if each is not NoneType))
    if origin is Literal:
        return f"one of: {', '.join(map(str, parts))}"
    found = interval(hint)
    if found is None:
        kind = parts[0] if origin is Annotated else origin or hint
        return next((words for each, words in _WORDS.items() if issubclass(kind, each)), "")
    style = ",d" if parts[0] is int else "g"
    most = f"{'below ' if found.below else ''}{found.most:{style}}"
    return f"{_WORDS[parts[0]]} from {found.least:{style}} to {most}"


def sections(model: Model) -> dict[str, Section]:
    """Returns the sections of a recipe or a method, by name."""
    return {name: each for name, each in model if isinstance(each, Section)}


def with_values(
    made: Whole, values: Mapping[str, Any], what: str = "a recipe", code: str = "E109"
) -> Whole:
    """Returns a recipe or method with values replaced by name (`optimizer.lr`).

    Raises an error for wrong names and values: `code`, unless a number is outside its range.
    """
    known, changes = sections(made), dict[str, dict[str, Any]]()
    for name, value in values.items():
        section, dot, key = name.partition(".")
        if section not in known or not dot:
            names = f"a section and a field, such as optimizer.lr; sections: {', '.join(known)}"
            meant = [
                f"{each}.{name}" for each, row in known.items() if name in type(row).model_fields
            ]
            near = f"did you mean {' or '.join(meant)}?" if meant else names
            hint = _renamed_hint(_renamed(name)) or near
            raise NasirError(code, f"{quoted(name)} is no setting of {what}", hint=hint)
        fields = type(known[section]).model_fields
        if key not in fields:
            message = f"the section '{section}' has no field {quoted(key)}"
            hint = _renamed_hint(_renamed(key, section)) or nearest(key, fields)
            raise NasirError(code, message, hint=hint)
        if isinstance(value, str):
            is_switch = fields[key].annotation is bool
            value = _SWITCHES.get(value, value) if is_switch else from_text(value)
        changes.setdefault(section, {})[key] = value
    try:
        return made.having(**changes)
    except FieldError as error:
        message = f"in '{error.path[0]}': {error.message}"
        raise NasirError(
            error.code if error.code == "E107" else code, message, hint=error.hint
        ) from None


def from_text(text: str) -> int | float | str:
    """Parses a number (also 1/8); returns other texts unchanged."""
    try:
        number = Fraction(text) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        return text
    whole = math.isfinite(number) and number == int(number)
    return int(number) if whole else float(number) if math.isfinite(number) else text


def _renamed(name: str, section: str = "") -> str:
    """Returns the present name of a renamed setting, preferably in that section; "" for others."""
    old, _, key = name.partition(".")
    if key:
        return f"{RENAMED_SECTIONS[old]}.{key}" if old in RENAMED_SECTIONS else ""
    now = [RENAMED[each] for each in (name, f"logit_{name}") if each in RENAMED]
    return next((each for each in now if each.startswith(section)), now[0] if now else "")


def _renamed_hint(name: str | None) -> str:
    """Returns a hint with the present name; "" without one."""
    return f"it is {name} now" if name else ""


Named = Any
"""The file of a recipe or a method with a name, its content, or itself."""


def named_files(folder: Path, kind: str) -> Table[Named]:
    """Returns the YAML files in a folder by name, and what extensions in use bring."""
    files: dict[str, Named] = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return Table.of(files, kind)


def named_source(
    text: str, table: Table[Named], outer: tuple[str, ...]
) -> tuple[Source, tuple[str, ...]]:
    """Reads the file of a path or a name; a path is appended to `outer`.

    Raises an error for an unknown name, for a cycle of files, or for too many.
    """
    kind = table.kinds[0]
    if not text.endswith(SUFFIXES):
        found = table.get(text)
        if found is None:
            message = f"unknown {kind} {quoted(text)}"
            raise NasirError("E201", message, hint=nearest(text, table))
        if isinstance(found, Mapping):
            return Source.of(json.dumps({"nasir": 1, kind: text, **found}), f"<{text}>"), outer
        assert isinstance(found, str | Path), "models are no files"
        return read_source(Path(found)), outer
    path = os.path.realpath(text)
    if path in outer:
        names = " to ".join(Path(each).name for each in (*outer[outer.index(path) :], path))
        raise NasirError("E109", f"the {kind}s are `like` one another in a cycle: {names}")
    if len(outer) == LIKE_LEVELS:
        message = f"more than {LIKE_LEVELS} {kind}s are each `like` the next"
        raise NasirError("E106", message)
    return read_source(Path(text)), (*outer, path)


def like_file(
    root: Cursor, kind: str, words: Sequence[str], known: Sequence[str], read: Callable[[str], Made]
) -> tuple[Made | None, dict[str, Any]]:
    """Returns the base (`like`) of a recipe or method file, and the values that differ from it.

    Field `kind` has the name; `words` are the one-line text fields.
    """
    what = f"a {kind}"
    entries = named_fields(root, what, ("nasir", kind, "like", *words, *known))
    base = None
    if "like" in entries:
        like = entries["like"]
        base = with_place(like, partial(read, like.text("`like`")))
    found = {name: entries[name].text(f"`{name}`") for name in (kind, *words) if name in entries}
    found["name"] = found.pop(kind, Path(root.where.file).stem)
    return base, {**found, **{name: entries[name].value for name in known if name in entries}}


def named_fields(cursor: Cursor, what: str, known: Sequence[str]) -> dict[str, Cursor]:
    """Returns the entries of a mapping. Raises an error for unknown and renamed ones."""
    entries = cursor.entries(what)
    older = entries["settings"].entries("`settings`") if "settings" in entries else {}
    for name, entry in (older | entries).items():
        if name in RENAMED:
            raise entry.fault("E109", f"{what} has no field `{name}`", _renamed_hint(RENAMED[name]))
    return cursor.fields(what, (), known)


def with_place(cursor: Cursor, make: Callable[[], Made]) -> Made:
    """Returns `make()`; adds the cursor's place, or that of the field, to its errors."""
    try:
        return make()
    except FieldError as error:
        raise error.within(cursor) from None
    except NasirError as error:
        raise error.at(cursor.where) from None


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) <= NUMBER_LIMIT else "beyond all limits"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value, 32) if isinstance(value, str) else f"a {type(value).__name__}"
