"""Recipes in YAML files: those that nasir has, and a user's own."""

import os
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from nasir import NasirError
from nasir.document import Cursor, check_version, parse_document
from nasir.errors import nearest, quoted
from nasir.limits import LIKE_LEVELS
from nasir.source import read_source
from runners.experiment.recipe import SECTIONS, Recipe
from runners.fields import code_for, filled

Made = TypeVar("Made")

SUFFIXES = (".yaml", ".yml", ".json")

SHIPPED = Path(__file__).parent / "recipes"


def recipe_names() -> tuple[str, ...]:
    """The recipes that nasir has, by name."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def read_recipe(text: str, outer: tuple[str, ...] = ()) -> Recipe:
    """The recipe of that name, or of a YAML or JSON file.

    A file says `nasir: 1`, and may say `recipe:` (its name), `like:` (another recipe, of which it
    says what is different), `about:`, `data:`, and the sections of `Recipe` by field. Raises E751
    for an unknown name, and E1xx for the file, with the place. `outer` are the files that are
    `like` this one, E109 where it is among them.
    """
    if text.endswith(SUFFIXES):
        return _read(Path(text), entered(text, outer, "recipes"))
    names = recipe_names()
    if text not in names:
        raise NasirError("E751", f"unknown recipe {quoted(text)}", hint=nearest(text, names))
    return _shipped(text)


def entered(text: str, outer: tuple[str, ...], what: str) -> tuple[str, ...]:
    """`outer` with the file `text`. Raises E109 for a circle of files, E106 for too many."""
    path = os.path.realpath(text)
    if path in outer:
        names = " to ".join(Path(each).name for each in (*outer[outer.index(path) :], path))
        raise NasirError("E109", f"the {what} are `like` one another in a circle: {names}")
    if len(outer) == LIKE_LEVELS:
        raise NasirError("E106", f"more than {LIKE_LEVELS} {what} are each `like` the next")
    return (*outer, path)


@lru_cache(maxsize=64)
def _shipped(name: str) -> Recipe:
    return _read(SHIPPED / f"{name}.yaml")


def _read(path: Path, outer: tuple[str, ...] = ()) -> Recipe:
    root = parse_document(read_source(path)).root
    entries = root.fields("a recipe", ("nasir",), ("recipe", "like", "about", "data", *SECTIONS))
    check_version(root, "a recipe")
    like = entries.get("like")
    base = Recipe("")
    if like is not None:
        base = placed(like, partial(read_recipe, like.text("`like`"), outer))
    words = {name: entries[name].text(f"`{name}`") for name in ("about", "data") if name in entries}
    found: dict[str, Any] = {name: getattr(base, name) for name in ("about", "data", *SECTIONS)}
    for name in SECTIONS:
        if name in entries:
            given = entries[name].entries(f"`{name}`")
            found[name] = filled(found[name], given)
    own = entries["recipe"].text("`recipe`") if "recipe" in entries else path.stem
    known: dict[str, Any] = {"name": own, **found, **words}
    return Recipe(**known)


def placed(cursor: Cursor, make: Callable[[], Made]) -> Made:
    """Returns `make()`; its errors get the cursor's place."""
    try:
        return make()
    except NasirError as error:
        raise error.at(cursor.where) from None
    except ValueError as error:
        raise cursor.fault(code_for(error, "E109"), str(error)) from None
