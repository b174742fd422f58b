"""A genotype from what a user names: a published name, a file and a name in it, or a text."""

import difflib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import cast

from nasir.arguments import checked
from nasir.document import Document, Json, check_version, read_json
from nasir.errors import LOG_LIMIT, NasirError, nearest, quoted
from nasir.files import Source, is_there, looks_like_path, read_source
from nasir.formats.find import FoundGenotype, find_genotypes
from nasir.formats.format import Format
from nasir.formats.own import OWN
from nasir.formats.table import FORMATS, in_running_text, named_format, read_value, rows_of
from nasir.space.load import SpaceLike, adopt, as_space, spaces_directory
from nasir.space.space import Genotype

GenotypeLike = Genotype | str | Path
"""A genotype, or what `load_genotype` takes."""

_LIST = re.compile(r"\s*[\[(]\s*[\[(\"'0-9].*[\])]")
"""A list or tuple, as no file is called."""

SUFFIXES = (".json", ".yaml", ".yml", ".txt", ".py", ".onnx", ".log", ".csv", ".tsv", ".jsonl")
"""Suffixes that tell the name of a file from that of a published genotype."""

_IN_FILE = re.compile(r"(.+):([^:\\\n]{1,200})", re.DOTALL)
"""A file and a name or number in it; a Windows path after a drive's letter is no name."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A genotype and the format that it was read from; a published one has none."""

    genotype: Genotype
    format: Format | None = None

    @property
    def described(self) -> str:
        """The format's name, and what numbers mean in it."""
        if self.format is None:
            return "published format"
        numbering = self.format.numbering and self.format.numbering(self.genotype)
        return f"{self.format.name} format" + (f", ops {numbering}" if numbering else "")


@checked
def load_genotype(
    source: str | Path,
    space: SpaceLike | None = None,
    *,
    format: str | None = None,  # noqa: A002
) -> Genotype:
    """The genotype of a published name (in any case), a file, or a text in any format.

    `FILE:NAME` is one of several in a file, `FILE:30` or `FILE:-3` one by its number, from 0 or
    from the end; of a log alone the last is read. `space`, or what `load_space` takes, is the
    genotype's space whatever the source says: its own ops may stand in the source. `format` is
    needed where numbers have several meanings. A published name wins over a file of that name
    (write `./name` for the file), and a file over a text. In logs and Python files U+FFFD stands
    for bytes that are not UTF-8. Raises an error for a path that leads nowhere, or for what is
    ambiguous, or where a file has several, or for an unknown name, or for a published name with a
    format, and what the formats raise.
    """
    return read_genotype(source, space, format=format).genotype


@checked
def load_genotypes(
    source: str | Path,
    space: SpaceLike | None = None,
    *,
    format: str | None = None,  # noqa: A002
) -> dict[str, Genotype]:
    """Every genotype of a file, or of a text, by name; those of a log by number, in order.

    Raises what `load_genotype` raises.
    """
    each = each_genotype(_opened(source), space, format=format)
    return {name: read().genotype for name, read in each}


def as_genotype(given: GenotypeLike) -> Genotype:
    """The genotype itself, or what `load_genotype` gives."""
    return given if isinstance(given, Genotype) else load_genotype(given)


@checked
def dump_genotype(genotype: GenotypeLike, format: str = "nasir") -> str:  # noqa: A002
    """The genotype in a format. Raises an error for an unknown one, or for what it cannot hold.

    nasir's own format names a shipped space and holds any other space whole.
    """
    genotype = as_genotype(genotype)
    row = FORMATS.get(format)
    if row is None:
        writable = [name for name, row in FORMATS.items() if row.dump]
        hint = nearest(format, writable)
        raise NasirError("E108", f"unknown format {quoted(format)}", hint=hint)
    return row.write(genotype)


def read_genotype(
    source: str | Path,
    space: SpaceLike | None = None,
    *,
    format: str | None = None,  # noqa: A002
) -> Reading:
    """The genotype that `load_genotype` gives, and the format it was read from."""
    if is_published(source):
        genotype = load_shipped(str(source))
        if format:
            raise no_format(str(source))
        if space is None:
            return Reading(genotype)
        return Reading(adopt(genotype, space))
    path, name = split(source)
    return read_source_genotype(_opened(path), name, space, format=format)


def read_source_genotype(
    source: Source,
    name: str = "",
    space: SpaceLike | None = None,
    *,
    format: str | None = None,  # noqa: A002
) -> Reading:
    """The genotype of a source, or the one of that name in it. Raises what `load_genotype` does."""
    row = named_format(format) if format else None
    found = find_genotypes(source, row)
    one = found.named(name) if name else found.only()
    return read_found(one, "" if found.is_series else one.name, space, row)


def each_genotype(
    source: Source,
    space: SpaceLike | None = None,
    *,
    format: str | None = None,  # noqa: A002
) -> list[tuple[str, Callable[[], Reading]]]:
    """Every genotype of a source by name, in order, as a function that reads it.

    The functions raise what the formats do.
    """
    row = named_format(format) if format else None
    found = find_genotypes(source, row)
    return [
        (name, partial(read_found, each, "" if found.is_series else each.name, space, row))
        for name, each in zip(found.names, found.found, strict=True)
    ]


def read_found(
    found: FoundGenotype, name: str, space: SpaceLike | None, row: Format | None
) -> Reading:
    """A genotype that was found, with that name unless it has its own; of `space`, if given."""
    row, genotype = found.read(row, None if space is None else as_space(space))
    return Reading(genotype if genotype.name else replace(genotype, name=name), row)


def detect(source: Source) -> Format:
    """The format that a source is written in. Raises an error when it is none."""
    cursor = find_genotypes(source).only().cursor
    rows = rows_of(cursor)
    return rows[0] if len(rows) == 1 else read_value(cursor, rows)[0]


def is_published(source: str | Path) -> bool:
    """True if it can only be the name of a published genotype, or is one."""
    if isinstance(source, Path) or is_text(source):
        return False
    if find_entry(source) is not None:
        return True
    path, name = split(source)
    return not name and not looks_like_path(str(path), SUFFIXES) and not is_there(str(path))


def no_format(name: str) -> NasirError:
    """An error for a format that is asked for with a published name."""
    return NasirError(
        "E505",
        f"{quoted(name)} is a published name; a format says how a file or a text is read",
        hint=f"leave --from (format= in Python) out, or write {quoted('./' + name)} for a file",
    )


def split(source: str | Path) -> tuple[str | Path, str]:
    """A file and the name of a genotype in it, perhaps empty. A file of the whole name wins."""
    text = os.fspath(source)
    if is_there(text) or (isinstance(source, str) and is_text(text)):
        return source, ""
    parts = _IN_FILE.fullmatch(text)
    if parts and (is_there(parts[1]) or looks_like_path(parts[1], SUFFIXES)):
        return parts[1], parts[2]
    return source, ""


def is_text(source: str) -> bool:
    """True if it is a genotype's text itself rather than a name or a path that is there."""
    if is_there(source) or ((parts := _IN_FILE.fullmatch(source)) and is_there(parts[1])):
        return False
    if "\n" in source or source.lstrip()[:1] in ("{", "|", '"', "'"):
        return True
    return bool(_LIST.fullmatch(source.rstrip()) or in_running_text().search(source))


def _opened(source: str | Path) -> Source:
    if isinstance(source, str) and is_text(source):
        return Source.of(source)
    return read_source(source, LOG_LIMIT).mended()


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


def find_entry(name: str) -> Entry | None:
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
    """The published genotype of that name. Raises an error, with one of the same paper if there
    is.
    """
    entry = find_entry(name)
    if entry is None:
        raise NasirError("E201", f"unknown genotype {quoted(name)}", hint=_same_paper(name))
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
