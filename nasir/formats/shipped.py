"""The genotypes that nasir carries, by name: `darts_v2`, or `darts_v2@darts` for a catalogue's."""

import difflib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

from nasir.document import Document, check_version
from nasir.errors import NasirError, quoted
from nasir.formats.own import OWN
from nasir.plain import Json
from nasir.reading import read_json
from nasir.source import read_source
from nasir.space.locate import spaces_directory
from nasir.space.space import Genotype


@dataclass(frozen=True, slots=True)
class Entry:
    """A published genotype's place in a catalogue file."""

    name: str
    catalogue: str
    index: int
    aliases: tuple[str, ...]
    sources: tuple[str, ...]
    paper: str


@cache
def entries() -> tuple[Entry, ...]:
    """Every published genotype, catalogues in the order of their file names."""
    return tuple(entry for path in _catalogues() for entry in _entries_of(path))


def find(name: str) -> Entry | None:
    """The entry of a name or alias, in any case; `@catalogue` picks among equal names.

    Without it, the first catalogue in the order of file names wins.
    """
    wanted, _, catalogue = name.lower().partition("@")
    for entry in entries():
        names = (entry.name.lower(), *(alias.lower() for alias in entry.aliases))
        if wanted in names and catalogue in ("", entry.catalogue):
            return entry
    return None


def load_shipped(name: str) -> Genotype:
    """The published genotype of that name. Raises E209, with one of the same paper if there is."""
    entry = find(name)
    if entry is None:
        raise NasirError("E209", f"unknown genotype {quoted(name)}", hint=_same_paper(name))
    return load_entry(entry)


def _same_paper(name: str) -> str:
    """A hint of a name that begins so, or has other digits or the same letters in another order.

    Names of different papers differ by a letter (P-DARTS, PC-DARTS), so nearness is no reason.
    """
    wanted = _letters(name.partition("@")[0])
    known = {known.lower(): known for each in entries() for known in (each.name, *each.aliases)}
    same = [one for one in known if _letters(one).startswith(wanted) and len(wanted) >= 4]
    same = same or [one for one in known if sorted(_letters(one)) == sorted(wanted)]
    close = difflib.get_close_matches(name.lower(), same, n=1, cutoff=0)
    if close:
        return f"did you mean '{known[close[0]]}'?"
    return "'nasir spaces --genotypes' lists the published names; write './NAME' for a file"


def _letters(name: str) -> str:
    return "".join(filter(str.isalpha, name.lower()))


def load_entry(entry: Entry) -> Genotype:
    """The genotype of an entry; its source is the first that published it."""
    document = _document(entry.catalogue)
    item = document.root.entries("a catalogue")["genotypes"].items("the genotypes")[entry.index]
    cells = OWN.read(item)
    return Genotype(cells.space, cells.cells, cells.name, entry.sources[0])


def _catalogues() -> list[Path]:
    return sorted((spaces_directory() / "genotypes").glob("*.json"))


def _entries_of(path: Path) -> list[Entry]:
    # The files are nasir's own: a test reads each of them whole, with every check.
    data = json.loads(path.read_text(encoding="utf-8"))
    rows = cast("list[dict[str, Json]]", data["genotypes"])
    return [
        Entry(
            name=str(row["name"]),
            catalogue=path.stem,
            index=index,
            aliases=tuple(cast("list[str]", row.get("aliases", []))),
            sources=tuple(cast("list[str]", row["sources"])),
            paper=str(row.get("paper", "")),
        )
        for index, row in enumerate(rows)
    ]


@cache
def _document(catalogue: str) -> Document:
    source = read_source(spaces_directory() / "genotypes" / f"{catalogue}.json")
    document = Document(source, read_json(source))
    check_version(document.root, "a catalogue")
    return document
