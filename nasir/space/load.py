"""A space from its shipped name or its file, and the table of the shipped ones."""

from functools import cache
from pathlib import Path
from typing import Any

from nasir.errors import NasirError, nearest, quoted
from nasir.source import Source, is_there, looks_like_path, read_source
from nasir.space.locate import spaces_directory
from nasir.space.space import Space
from nasir.table import Table
from nasir.wanted import checked

SpaceLike = Space | str | Path
"""A space, or what `load_space` takes."""

_SUFFIXES = (".yaml", ".yml", ".json")

_TWO_SPACES = {
    "s5": "S5 is 'darts' in RobustDARTS, and 'darts_no_none' in SmoothDARTS and DARTS-PT",
}
"""Names that papers give to different spaces, and what they mean."""


@checked
def load_space(source: str | Path) -> Space:
    """The shipped space of that name (in any case), or the space of a YAML or JSON file.

    Raises an error for an unknown name, or for files that cannot be read, or for spaces that make
    no sense.
    """
    is_text = isinstance(source, str) and ("\n" in source or source.lstrip()[:1] == "{")
    if is_text and not is_there(str(source)):
        return parse_space(Source.of(str(source)))  # first: a layout's fractions look like paths
    if is_text or isinstance(source, Path) or looks_like_path(source, _SUFFIXES):
        return parse_space(read_source(source))
    files = {path.stem: path for path in _files()}
    if source.lower() not in files:
        hint = _TWO_SPACES.get(source.lower()) or nearest(source, files)
        raise NasirError("E201", f"unknown space {quoted(source)}", hint=hint)
    return _shipped(files[source.lower()])


def as_space(given: SpaceLike) -> Space:
    """The space itself, or what `load_space` gives."""
    return given if isinstance(given, Space) else load_space(given)


def catalog() -> Table[Space]:
    """Every shipped space, by name."""
    return Table(*(_shipped(path) for path in _files()))


def is_shipped(name: str) -> bool:
    """Whether a shipped space has that name, in any case."""
    return name.lower() in (path.stem for path in _files())


def parse_space(source: Source) -> Space:
    """The space of a YAML or JSON text."""
    from nasir.space.reader import read_space  # pydantic's models cost time that few commands need

    return read_space(source)


def space_schema() -> dict[str, Any]:
    """The JSON Schema of a space file, for editors."""
    from nasir.space.model import json_schema

    return json_schema()


def _files() -> list[Path]:
    return sorted(spaces_directory().glob("*.yaml"))


@cache
def _shipped(path: Path) -> Space:
    return parse_space(read_source(path))
