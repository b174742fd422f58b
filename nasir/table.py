"""Ordered tables of named things, to which extensions in use add rows."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Protocol, TypeVar, cast
from weakref import WeakSet

from nasir.errors import NasirError


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str: ...


T = TypeVar("T")
Row = TypeVar("Row")

_tables: "WeakSet[Table[Any]]" = WeakSet()
_brought: dict[str, dict[str, Any]] = {}
"""The rows of extensions in use, by kind and name."""


class Table(Mapping[str, T]):
    """Rows by name, in the order given, then those that extensions bring of its kinds.

    Two rows of its own with one name are a programming error.
    """

    def __init__(
        self, *rows: T, kinds: tuple[str, ...] = (), named: Mapping[str, T] | None = None
    ) -> None:
        self._rows: dict[str, T] = dict(named or {})
        self.kinds = kinds
        for row in rows:
            name = cast("Named", row).name
            assert name not in self._rows, f"'{name}' stands in the table twice"
            self._rows[name] = row
        if kinds:
            for name in chain.from_iterable(_brought.get(kind, ()) for kind in kinds):
                self.check_free(name)
            _tables.add(self)

    @staticmethod
    def of(rows: Mapping[str, Row], *kinds: str) -> "Table[Row]":
        """A table of rows that do not have their names in them."""
        return Table[Row](kinds=kinds, named=rows)

    def __getitem__(self, name: str) -> T:
        try:
            return self._rows[name]
        except KeyError:
            for kind in self.kinds:
                if name in _brought.get(kind, ()):
                    return _brought[kind][name]
            raise

    def __iter__(self) -> Iterator[str]:
        brought = (_brought.get(kind, ()) for kind in self.kinds)
        return iter(dict.fromkeys(chain(self._rows, *brought)))

    def __len__(self) -> int:
        return len(self._rows) + sum(len(_brought.get(kind, ())) for kind in self.kinds)

    def __hash__(self) -> int:
        return id(self)

    def check_free(self, name: str) -> None:
        """Raises an error if a row of its own has that name."""
        if name in self._rows:
            message = f"an extension brings '{name}', which nasir has already"
            raise NasirError("E505", message, hint="choose another name")


def bring(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Adds rows by kind and name to all tables of these kinds, or none if a name is taken."""
    for kind, named in rows.items():
        for name in named:
            if name in _brought.get(kind, ()):
                message = f"two extensions bring '{name}' ({kind})"
                raise NasirError("E505", message, hint="use one of them, or rename")
            for table in _tables:
                if kind in table.kinds:
                    table.check_free(name)
    for kind, named in rows.items():
        _brought.setdefault(kind, {}).update(named)


def remove(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Removes rows that `bring` added."""
    for kind, named in rows.items():
        for name in named:
            del _brought[kind][name]


def brought(kind: str) -> Mapping[str, Any]:
    """The rows of that kind that extensions in use bring."""
    return _brought.get(kind, {})
