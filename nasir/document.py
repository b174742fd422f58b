"""A JSON or YAML file as plain data whose every part knows its place."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from nasir.errors import NasirError, Where, nearest, quoted
from nasir.genotype import Path
from nasir.plain import Json, Places, kind_of
from nasir.reading import json_places, read
from nasir.source import Source

VERSION = 1
"""The version of nasir's own files, genotypes and spaces, which they state as `nasir: 1`."""


@dataclass(frozen=True)
class Document:
    """The data of a source. Places are worked out when one is first asked for."""

    source: Source
    data: Json
    known_places: Places | None = field(default=None, repr=False)

    @cached_property
    def places(self) -> Places:
        """Where every key and value starts."""
        return self.known_places or json_places(self.source)

    def place(self, path: Path) -> Where:
        """Where the value at `path` starts, or else the nearest value around it."""
        while path and path not in self.places.values:
            path = path[:-1]
        return self.source.at(self.places.values.get(path, 0))

    def key_place(self, path: Path) -> Where:
        """Where the key of the entry at `path` starts, or else the nearest value around it."""
        offset = self.places.keys.get(path)
        return self.place(path) if offset is None else self.source.at(offset)

    def part(self, path: Path, data: Json) -> "Document":
        """The value at `path` as a document of its own, whose places are those in this one."""
        size = len(path)
        values = {at[size:]: x for at, x in self.places.values.items() if at[:size] == path}
        keys = {at[size:]: x for at, x in self.places.keys.items() if at[:size] == path}
        return Document(self.source, data, Places(values, keys))

    @property
    def root(self) -> "Cursor":
        """The whole data."""
        return Cursor(self, (), self.data)


@dataclass(frozen=True, slots=True)
class Cursor:
    """A value in a document, read with its expected type. A wrong one raises an error at its
    place.
    """

    document: Document
    path: Path
    value: Json

    @property
    def where(self) -> Where:
        """Where the value stands."""
        return self.document.place(self.path)

    def place(self, *path: str | int) -> Where:
        """Where the part at `path` of this value stands, or else the nearest part around it."""
        return self.document.place((*self.path, *path))

    def fault(self, code: str, message: str, hint: str = "") -> NasirError:
        """An error at this value's place."""
        return NasirError(code, message, self.where, hint)

    def entries(self, what: str) -> dict[str, "Cursor"]:
        """The entries of a mapping, in order."""
        if not isinstance(self.value, dict):
            raise self._wrong(f"{what} must be a mapping")
        return {
            key: Cursor(self.document, (*self.path, key), value)
            for key, value in self.value.items()
        }

    def fields(
        self, what: str, required: Iterable[str], optional: Iterable[str] = ()
    ) -> dict[str, "Cursor"]:
        """The entries of a mapping with all `required` keys and perhaps `optional` ones."""
        entries = self.entries(what)
        required = tuple(required)
        known = (*required, *optional)
        for key, entry in entries.items():
            if key not in known:
                where = self.document.key_place(entry.path)
                message = f"{what} has an unknown field {quoted(key)}"
                raise NasirError("E109", message, where, hint=nearest(key, known))
        for key in required:
            if key not in entries:
                have = ", ".join(entries) or "none"
                raise self.fault("E109", f"{what} has no field '{key}'", hint=f"its fields: {have}")
        return entries

    def items(self, what: str) -> tuple["Cursor", ...]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise self._wrong(f"{what} must be a list")
        return tuple(
            Cursor(self.document, (*self.path, index), value)
            for index, value in enumerate(self.value)
        )

    def text(self, what: str) -> str:
        """A text of one printable line."""
        if not isinstance(self.value, str):
            raise self._wrong(f"{what} must be a text")
        if not self.value.isprintable() or len(self.value) > 200:
            raise self.fault("E109", f"{what} must be one line of at most 200 printable characters")
        return self.value

    def integer(self, what: str) -> int:
        """A whole number."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._wrong(f"{what} must be a whole number")
        return self.value

    def real(self, what: str) -> float:
        """A number."""
        if not isinstance(self.value, (int, float)) or isinstance(self.value, bool):
            raise self._wrong(f"{what} must be a number")
        return float(self.value)

    def _wrong(self, message: str) -> NasirError:
        shown = f" {quoted(self.value, 32)}" if isinstance(self.value, (str, int, float)) else ""
        return self.fault("E109", f"{message}, and is {kind_of(self.value)}{shown}")


def check_version(root: Cursor, what: str) -> None:
    """Raises an error when the field `nasir` states no version, or when it states another one."""
    version = root.entries(what).get("nasir")
    if version is None:
        raise root.fault(
            "E109", f"{what} needs the field 'nasir'", hint=f"begin with nasir: {VERSION}"
        )
    number = version.integer("the version 'nasir'")
    if number != VERSION:
        message = f"the file is written in version {number}; this nasir reads version {VERSION}"
        raise version.fault("E110", message, hint="update nasir" if number > VERSION else "")


def parse_document(source: Source) -> Document:
    """The source's data: JSON where it opens with a bracket (or is named .json), else YAML."""
    return Document(source, *read(source))
