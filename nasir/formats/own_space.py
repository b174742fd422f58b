"""The field `space` of nasir's own format: a shipped name, a path, or the space itself."""

import json
from pathlib import Path

from nasir.document import Cursor
from nasir.genotype import Genotype
from nasir.plain import Json
from nasir.quoting import json_text
from nasir.source import is_there, looks_like_path
from nasir.space.adoption import space_in_force
from nasir.space.load import is_shipped, load_space
from nasir.space.space import Space

_SUFFIXES = (".yaml", ".yml", ".json")
_WIDTH = 88


def read_space_field(cursor: Cursor) -> Space | str:
    """The space, or the name of one that is shipped or not known.

    A path is relative to the genotype's file. The space that the reader's caller gave wins.
    """
    given = space_in_force()
    if given is not None:
        return given
    if isinstance(cursor.value, dict):
        from nasir.space.reader import read_document

        return read_document(cursor.document.part(cursor.path, cursor.value))
    text = cursor.text("the space")
    if not looks_like_path(text, _SUFFIXES):
        return text
    path = Path(cursor.document.source.name).parent / text
    if not is_there(str(path)):
        hint = "the path is relative to the genotype's file"
        raise cursor.fault("E101", f"the space's file '{text}' does not exist", hint)
    return load_space(path)


def format_space_field(genotype: Genotype) -> str:
    """The space as JSON: its name where it is shipped or not known, else the whole of it."""
    space = genotype.definition
    if space is None or not space.text or _is_shipped(space):
        return json_text(genotype.space)
    return "\n".join(_lines(json.loads(space.text), 2))


def _is_shipped(space: Space) -> bool:
    return is_shipped(space.name) and load_space(space.name) == space


def _lines(value: Json, indent: int) -> list[str]:
    """The value as JSON, short lists and mappings on one line."""
    whole = json_text(value)
    if not isinstance(value, (dict, list)) or len(whole) + indent <= _WIDTH:
        return [whole]
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [(f"{json_text(k)}: ", v) for k, v in value.items()]
    else:
        parts = [("", v) for v in value]
    lines = ["{" if isinstance(value, dict) else "["]
    for number, (lead, part) in enumerate(parts):
        first, *rest = _lines(part, indent + 2)
        lines += [f"{pad}{lead}{first}", *rest]
        lines[-1] += "," if number < len(parts) - 1 else ""
    return [*lines, " " * indent + ("}" if isinstance(value, dict) else "]")]
