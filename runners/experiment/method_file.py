"""Methods in YAML files: the published ones, and a user's own."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from nasir import NasirError
from nasir.document import Cursor, check_version, parse_document
from nasir.errors import nearest, quoted
from nasir.source import read_source
from nasir.space.skeletons import find_skeleton
from runners.experiment.combine import with_parts
from runners.experiment.method import PARTS, Method, find_part
from runners.experiment.recipe import RENAMED, sections
from runners.experiment.recipe_file import SUFFIXES, entered, placed
from runners.experiment.settings import Settings, Stage
from runners.fields import filled

SHIPPED = Path(__file__).parent / "methods"

SECTIONS = tuple(sections(Settings()))

CHANGES = ("stages", *SECTIONS, *PARTS)
"""What a file may change of the method that it is like, on all skeletons or on one."""


def method_names() -> tuple[str, ...]:
    """The published methods, by name."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def read_method(text: str, skeleton: str, outer: tuple[str, ...] = ()) -> Method:
    """The published method of that name, or the one of a YAML or JSON file, on that skeleton.

    A file says `method:` (its name), `about:`, `paper:`, `like:` (another method, which it
    overrides), and `CHANGES`: parts by kind (`perturb: pgd`, or a mapping with `part:` and the
    part's own fields), `stages:` (a list of epochs, warm_up, options, parts), and the sections of
    `Settings` by field. `on:` has `CHANGES` by skeleton, which override the file's others there.
    Raises E742, E743, and E1xx for the file, with the place.
    `outer` are the files that are `like` this one, E109 where it is among them.
    """
    if text.endswith(SUFFIXES):
        return _read(Path(text), skeleton, entered(text, outer, "methods"))
    names = method_names()
    if text not in names:
        raise NasirError("E742", f"unknown method {quoted(text)}", hint=nearest(text, names))
    return _shipped(text, skeleton)


@lru_cache(maxsize=128)
def _shipped(name: str, skeleton: str) -> Method:
    return _read(SHIPPED / f"{name}.yaml", skeleton)


def _read(path: Path, skeleton: str, outer: tuple[str, ...] = ()) -> Method:
    root = parse_document(read_source(path)).root
    words = ("method", "about", "paper")
    _check_names(root)
    entries = root.fields("a method", (), ("nasir", *words, "like", "on", *CHANGES))
    if "nasir" in entries:
        check_version(root, "a method")
    like, on = entries.get("like"), entries.get("on")
    said = {name: entries[name].text(f"`{name}`") for name in words if name in entries}
    name = said.pop("method", path.stem)
    base = Method(name)
    if like is not None:
        base = placed(like, partial(read_method, like.text("`like`"), skeleton, outer))
    base = replace(base, name=name, **said)
    method = _changed(base, root, entries)
    for key, row in (on.entries("`on`") if on else {}).items():
        placed(row, partial(find_skeleton, key))
        there = _changed(method, row, row.fields("what differs on a skeleton", (), CHANGES))
        base = replace(base, skeletons=(*base.skeletons, key))
        method = there if key == skeleton else method
    return replace(method, skeletons=tuple(dict.fromkeys(base.skeletons)))


def _check_names(root: Cursor) -> None:
    """Raises E109 for the settings of version 0.1, with their names now."""
    entries = root.entries("a method")
    found = {"drop_path": entries["drop_path"]} if "drop_path" in entries else {}
    if "settings" in entries:
        found |= entries["settings"].entries("`settings`") or {"settings": entries["settings"]}
    for name, cursor in found.items():
        now = RENAMED.get(name)
        hint = f"it is {now} now" if now else f"the sections are {', '.join(SECTIONS)}"
        raise cursor.fault("E109", f"a method has no field `{name}`", hint)


def _changed(method: Method, at: Cursor, entries: Mapping[str, Cursor]) -> Method:
    """The method with the `CHANGES` among the entries."""
    chosen = {kind: cursor for kind, cursor in entries.items() if kind in PARTS}
    parts = {kind: _part_name(cursor) for kind, cursor in chosen.items()}
    own: Any = method.settings
    for name in SECTIONS:
        if name in entries:
            section = filled(getattr(own, name), entries[name].entries(f"`{name}`"))
            own = replace(own, **{name: section})
    if "stages" in entries:
        rows = tuple(_stage(row) for row in entries["stages"].items("`stages`"))
        own = placed(entries["stages"], partial(replace, own, stages=rows))
    method = replace(method, settings=own)
    return _with_part_fields(placed(at, partial(with_parts, method, parts)), chosen)


def _part_name(cursor: Cursor) -> str:
    if isinstance(cursor.value, Mapping):
        entries = cursor.entries("a part")
        if "part" not in entries:
            raise cursor.fault("E109", "a part with fields of its own needs `part`, its name")
        return entries["part"].text("`part`")
    return cursor.text("a part")


def _with_part_fields(method: Method, chosen: Mapping[str, Cursor]) -> Method:
    """The method whose parts have the fields that the file gives them."""
    for kind, cursor in chosen.items():
        if isinstance(cursor.value, Mapping):
            part = find_part(kind, _part_name(cursor))
            given = {k: v for k, v in cursor.entries("a part").items() if k != "part"}
            method = replace(method, **{kind: filled(part, given)})
    return method


def _stage(cursor: Cursor) -> Stage:
    return filled(Stage(1), cursor.entries("a stage"))
