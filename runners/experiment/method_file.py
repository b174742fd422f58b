"""Methods in YAML files: a row of the table, with other parts and numbers."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from nasir import NasirError
from nasir.document import Cursor, parse_document
from nasir.source import read_source
from runners.experiment.combine import with_parts
from runners.experiment.method import METHODS, PARTS, Method, find_method, find_part
from runners.experiment.settings import Stage
from runners.fields import code_for, filled

SUFFIXES = (".yaml", ".yml", ".json")


def read_method(text: str) -> Method:
    """A method of the table by its name, or one from a YAML or JSON file.

    A file says `method:` (its name), `like:` (a row of the table; darts), and what is different:
    parts by kind (`perturb: pgd`, or a mapping with `part:` and the part's own fields), `stages:`
    (a list of epochs, warm_up, options, parts), `drop_path:`, and `settings:` by name. Raises E742,
    E743, and E1xx for the file, with the place.
    """
    if not text.endswith(SUFFIXES):
        return find_method(text)
    root = parse_document(read_source(Path(text))).root
    optional = ("method", "like", "stages", "drop_path", "settings", *PARTS)
    entries = root.fields("a method", (), optional)
    name, like = entries.get("method"), entries.get("like")
    base = _at(like, partial(find_method, like.text("`like`"))) if like else METHODS["darts"]
    chosen = {kind: cursor for kind, cursor in entries.items() if kind in PARTS}
    parts = {kind: _part_name(cursor) for kind, cursor in chosen.items()}
    stages, settings = entries.get("stages"), entries.get("settings")
    drop_path = entries.get("drop_path")
    own = base.settings
    if stages is not None:
        rows = tuple(_stage(row) for row in stages.items("`stages`"))
        own = _at(stages, partial(replace, own, stages=rows))
    if settings is not None:
        own = filled(own, settings.entries("`settings`"))
    changed: dict[str, Any] = {"settings": own, "elsewhere": {}} if stages or settings else {}
    if drop_path is not None:
        changed["drop_path"] = drop_path.real("`drop_path`")
    own_name = name.text("`method`") if name else Path(text).stem
    method = _at(drop_path or root, partial(replace, base, name=own_name, **changed))
    return _with_part_fields(_at(root, partial(with_parts, method, parts)), chosen)


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


def _at(cursor: Cursor, make: Any) -> Any:
    """What `make` gives; its errors get the cursor's place."""
    try:
        return make()
    except NasirError as error:
        raise error.at(cursor.where) from None
    except ValueError as error:
        raise cursor.fault(code_for(error, "E109"), str(error)) from None
