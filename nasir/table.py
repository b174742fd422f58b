"""An ordered table of named rows without duplicates."""

from collections.abc import Iterator, Mapping
from typing import Protocol, TypeVar


class Named(Protocol):
    """A row of a table."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Table(Mapping[str, T]):
    """Rows by name, in the order given. Asserts that names are unique."""

    def __init__(self, *rows: T) -> None:
        self._rows: dict[str, T] = {}
        for row in rows:
            assert row.name not in self._rows, f"'{row.name}' stands in the table twice"
            self._rows[row.name] = row

    def __getitem__(self, name: str) -> T:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
