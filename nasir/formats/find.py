"""The genotypes in a source: one, several by name, or those of a log in order.

A source is JSON, YAML or Python text as a whole, or else running text (a log, a table), in which
genotypes are looked for. Nothing is executed.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePath

from nasir.document import Cursor, Document, Json, Path, Places, parse_document
from nasir.errors import NasirError, Where, nearest, quoted
from nasir.files import TEXT_LIMIT, Source
from nasir.formats.format import Format
from nasir.formats.python_text import Value, parse_statements, parse_value
from nasir.formats.table import FORMATS, in_running_text, read_value, rows_of
from nasir.space.space import Genotype, Space

_STEP_LIMIT = 200_000
"""The most values of a file that are looked at."""

_VALUE_LIMIT = 2**18
"""The longest genotype in running text, in characters."""

_FOUND_LIMIT = 500_000
"""The most genotypes of one source that are found."""

_NAME = re.compile(r"[\"']?\s{0,4}=\s{0,4}(?:[\w.]{1,80}\s{0,4}:\s{0,4})?(\w{1,80})")
"""A name, perhaps its annotation, and `=`, read backwards: so that a match starts at one place."""
_IDENTIFIER = re.compile(r"[\w.]{0,80}$")
_COLOUR = re.compile(r"\x1b\[[\d;]{0,20}m")
_BRACKET = re.compile(r"[()\[\]{}]")
_YAML_OPENING = re.compile(
    r"^(?:- |[\"']?[A-Za-z_][\w.\-/ ]{0,80}[\"']?\s{0,4}:(?:\s|$))", re.MULTILINE
)
_YAML_SUFFIXES = (".yaml", ".yml")
_TABLE_SUFFIXES = (".csv", ".tsv")
_HEAD = 2**12
_STRICT = re.compile(r"^[\"']?(?:nasir|arch_normal|arch_reduction)[\"']?\s{0,4}:", re.MULTILINE)
"""A key that says that the text is a mapping, whatever else it may look like."""


@dataclass(frozen=True)
class FoundGenotype:
    """A genotype in a source: its name there, perhaps empty, and where it stands.

    A genotype in running text has no `value`: it is a word, or is parsed when it is read. `rows`
    are the formats that recognise it, where they are known.
    """

    source: Source
    name: str
    start: int
    end: int = 0
    is_word: bool = False
    value: Cursor | NasirError | None = None
    rows: tuple[Format, ...] = ()

    @cached_property
    def cursor(self) -> Cursor:
        """The genotype as plain data."""
        if isinstance(self.value, NasirError):
            raise self.value
        if self.value is not None:
            return self.value
        if self.is_word:
            word = self.source.text[self.start : self.end]
            return Document(self.source, word, Places({(): self.start})).root
        return parse_value(self.source, self.start, self.end).document(self.source).root

    def read(self, row: Format | None, space: Space | None) -> tuple[Format, Genotype]:
        """Returns the format, which may be given, and the genotype. Raises what the format
        raises.
        """
        rows = (row,) if row else self.rows or rows_of(self.cursor)
        if not rows:
            raise unrecognised(self.source, self.cursor.where)
        return read_value(self.cursor, rows, space)


@dataclass(frozen=True)
class Sources:
    """All genotypes of a source, in order. Those of a series (a log) have no names of their own."""

    source: Source
    found: tuple[FoundGenotype, ...]
    is_series: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """A name for each: its own, or its number from 0."""
        if self.is_series:
            return tuple(str(number) for number in range(len(self.found)))
        return tuple(each.name or str(number) for number, each in enumerate(self.found))

    def named(self, name: str) -> FoundGenotype:
        """The genotype of that name (in any case), or of that number, from 0 or from the end."""
        names = self.names
        for equal in (str.__str__, str.lower):
            matches = [i for i, known in enumerate(names) if equal(known) == equal(name)]
            if matches:
                return self.found[matches[-1]]
        if re.fullmatch(r"-?\d{1,9}", name) and -len(names) <= int(name) < len(names):
            return self.found[int(name)]
        count = len(names)
        hint = f"it has {count}: 0 to {count - 1}" if self.is_series else nearest(name, names)
        message = f"{quoted(self.source.name)} has no genotype {quoted(name)}"
        raise NasirError("E201", message, Where(self.source.name), hint)

    def only(self) -> FoundGenotype:
        """The one genotype, or the last of a series. Raises an error where a name must be given."""
        if len(self.found) == 1 or self.is_series:
            return self.found[-1]
        names = self.names
        shown = ", ".join(names[:60]) + (", …" if len(names) > 60 else "")
        first = f"{self.source.name}:{names[0]}"
        raise NasirError(
            "E109",
            f"there are {len(names)} genotypes, where one is expected: {shown}",
            Where(self.source.name),
            hint=f"name one, as {quoted(first)}",
        )


def find_genotypes(source: Source, row: Format | None = None) -> Sources:
    """The genotypes of a source, of any format or of the one given."""
    if source.is_model:
        document = Document(source, None, Places())
        return Sources(source, (FoundGenotype(source, "", 0, value=document.root),))
    faults: list[NasirError] = []
    for reader, is_told in _readers(source):
        try:
            found = reader(source, row)
        except NasirError as error:
            if error.code not in ("E104", "E106"):
                raise
            if is_told:
                faults.append(error)
            continue
        if found:
            return found
    if faults:
        raise max(faults, key=lambda error: (error.where.line, error.where.column))
    if row:
        message = f"there is no genotype in the format '{row.name}'"
        raise NasirError("E108", message, Where(source.name), hint=f"{row.name}: {row.title}")
    raise unrecognised(source, Where(source.name, 1, 1, source.text.split("\n", 1)[0]))


def unrecognised(source: Source, where: Where) -> NasirError:
    """An error with the formats that there are."""
    del source
    hint = "; ".join(f"{row.name}: {row.title}" for row in FORMATS.values())
    return NasirError("E108", "the format is not recognised", where, hint=hint)


Reader = Callable[[Source, Format | None], Sources | None]


def _readers(source: Source) -> list[tuple[Reader, bool]]:
    """Readings of a text to try, in order, and whether a fault of one is reported."""
    text, suffix = source.text, PurePath(source.name).suffix.lower()
    if len(text) > TEXT_LIMIT:
        return [(_in_lines, True)]
    if not text.strip():
        return [(_in_document, True)]
    is_yaml = suffix in _YAML_SUFFIXES
    if text.lstrip()[0] in "{[" or suffix == ".json":
        return [(_in_document, True), (_in_python, True), (_in_lines, True)]
    if is_yaml or _STRICT.search(text, 0, _HEAD):
        return [(_in_document, True), (_in_lines, True)]
    is_python = text.lstrip()[0] in "(\"'"
    readers = [(_as_word, True), (_in_python, is_python), (_in_lines, True)]
    return [*readers, (_in_document, False)] if _YAML_OPENING.search(text, 0, _HEAD) else readers


def _as_word(source: Source, row: Format | None) -> Sources | None:
    """The whole text as one word, such as a NAS-Bench-201 string."""
    word = source.text.strip()
    if any("\n" in part.strip() for part in word.split("+")):
        return None
    lead = len(source.text) - len(source.text.lstrip())
    return _whole(Document(source, word, Places({(): lead})).root, row)


def _whole(root: Cursor, row: Format | None, name: str = "") -> Sources | None:
    """The whole of a text as one genotype, if it is recognised."""
    rows = (row,) if row and row.recognises(root) else () if row else rows_of(root)
    source = root.document.source
    found = FoundGenotype(source, name, 0, value=root, rows=rows)
    return Sources(source, (found,)) if rows else None


def _in_document(source: Source, row: Format | None) -> Sources | None:
    """The genotypes in JSON or YAML."""
    root = parse_document(source).root
    if whole := _whole(root, row):
        return whole
    named = tuple(_Walk(row).named(root))
    return Sources(source, named) if named else None


def _in_python(source: Source, row: Format | None) -> Sources | None:
    """The genotypes that a Python text assigns, or is."""
    statements = parse_statements(source)
    if len(statements) == 1 and isinstance(statements[0].value, Value):
        root = statements[0].value.document(source).root
        if whole := _whole(root, row, statements[0].name):
            return whole
    walk = _Walk(row)
    found: list[FoundGenotype] = []
    for statement in statements:
        if isinstance(statement.value, Value):
            for each in walk.named(statement.value.document(source).root):
                full = "/".join(filter(None, (statement.name, each.name)))
                found.append(replace(each, name=full))
        elif in_running_text().search(source.text, statement.start, statement.end):
            found.append(
                FoundGenotype(source, statement.name, statement.start, value=statement.value)
            )
    return _by_name(source, found) if found else None


def _in_lines(source: Source, row: Format | None) -> Sources | None:
    """The genotypes in running text, in order. Raises an error where the only one is cut off."""
    del row  # a genotype is parsed when it is read
    found: list[FoundGenotype] = []
    broken: FoundGenotype | None = None
    for number, span in enumerate(_spans(source.text, 0, len(source.text))):
        each = _found_at(source, span)
        if span.closes:
            found.append(each)
        else:
            broken = each
        if number >= _FOUND_LIMIT:
            message = f"the text holds more than {_FOUND_LIMIT:,} genotypes"
            raise NasirError("E106", message, Where(source.name))
    if not found:
        return broken and Sources(source, (replace(broken, end=len(source.text)),))
    if PurePath(source.name).suffix.lower() in _TABLE_SUFFIXES:
        return Sources(source, tuple(found))
    return _by_name(source, found)


def _by_name(source: Source, found: list[FoundGenotype]) -> Sources:
    """Genotypes with names of their own, of which the last holds; or a series without."""
    names = Counter(each.name for each in found)
    if len(found) > 1 and (len(names) == 1 or "" in names):
        return Sources(source, tuple(replace(each, name="") for each in found), is_series=True)
    return Sources(source, tuple({each.name: each for each in found}.values()))


@dataclass
class _Walk:
    """Looks for genotypes in plain data, texts within it included."""

    row: Format | None
    steps: int = 0

    def named(self, root: Cursor) -> Iterator[FoundGenotype]:
        """Each genotype with a name of its own."""
        found = list(self.inside(root))
        names = _names([path for path, _ in found], root.value)
        for (_, each), name in zip(found, names, strict=True):
            yield replace(each, name=name)

    def inside(self, cursor: Cursor) -> Iterator[tuple[Path, FoundGenotype]]:
        """Each genotype and its path. Raises an error beyond so many values."""
        self.steps += 1
        if self.steps > _STEP_LIMIT:
            raise cursor.fault("E106", f"the data has more than {_STEP_LIMIT:,} values")
        value, source = cursor.value, cursor.document.source
        if isinstance(value, str):
            yield from self.quoted(cursor, value)
        elif isinstance(value, (list, dict)) and value:
            if self.recognises(cursor):
                yield cursor.path, FoundGenotype(source, "", 0, value=cursor)
                return
            items = cursor.items("") if isinstance(value, list) else cursor.entries("").values()
            for item in items:
                if isinstance(item.value, (str, list, dict)):
                    yield from self.inside(item)

    def recognises(self, cursor: Cursor) -> bool:
        """True if it is a genotype; a list of numbers within a file may be anything."""
        if self.row:
            return self.row.recognises(cursor)
        rows = rows_of(cursor)
        return bool(rows) and not rows[0].shared

    def quoted(self, cursor: Cursor, text: str) -> Iterator[tuple[Path, FoundGenotype]]:
        """The genotypes in a text, as running text has them."""
        spans = list(_spans(text, 0, len(text)))
        spans = [span for span in spans if span.closes] or spans[-1:]
        document = cursor.document
        start = document.places.values.get(cursor.path, 0) + 1 if spans else 0
        verbatim = document.source.text[start : start + len(text)] == text
        for number, span in enumerate(spans):
            path = (*cursor.path, number) if len(spans) > 1 else cursor.path
            if verbatim:
                yield path, _found_at(document.source, span.moved(start))
            else:
                yield path, _escaped(cursor, text, span)


def _escaped(cursor: Cursor, text: str, span: "_Span") -> FoundGenotype:
    """A genotype in a text that is written with escapes: all of it stands where the text begins."""
    source = cursor.document.source
    try:
        inner = _found_at(Source.of(text, source.name), span).cursor
    except NasirError as error:
        fault = NasirError(error.code, error.message, cursor.where, error.hint)
        return FoundGenotype(source, "", 0, value=fault)
    places = Places({(): cursor.document.places.values.get(cursor.path, 0)})
    places.calls.update(inner.document.places.calls)
    return FoundGenotype(source, "", 0, value=Document(source, inner.value, places).root)


def _names(paths: list[Path], data: Json) -> list[str]:
    """A name for each path in the data: without what all share, and what nothing depends on."""
    below = Counter(path[:size] for path in paths for size in range(len(path) + 1))
    shared = 0
    while len(paths) > 1 and below[paths[0][: shared + 1]] == len(paths):
        shared += 1
    names: list[str] = []
    for path in paths:
        size = len(path)
        while size > shared and below[path[: size - 1]] == 1:
            size -= 1
        own = _part_at(data, path[:size])
        title = own.get("name") if isinstance(own, dict) else None
        name = "/".join(map(str, path[shared:size]))
        names.append(title if isinstance(title, str) and len(paths) > 1 else name)
    return names if len(set(names)) == len(names) else ["/".join(map(str, p)) for p in paths]


def _part_at(data: Json, path: Path) -> Json:
    for key in path:
        if isinstance(data, dict):
            data = data[str(key)]
        elif isinstance(data, list) and isinstance(key, int):
            data = data[key]
    return data


@dataclass(frozen=True, slots=True)
class _Span:
    """A genotype in running text: what stands before `=`, where it is, and how."""

    name: str
    start: int
    end: int
    is_word: bool
    closes: bool

    def moved(self, by: int) -> "_Span":
        return replace(self, start=self.start + by, end=self.end + by)


def _found_at(source: Source, span: _Span) -> FoundGenotype:
    return FoundGenotype(source, span.name, span.start, span.end, span.is_word)


def _spans(text: str, start: int, end: int) -> Iterator[_Span]:
    """The genotypes in running text. A value that is open where the next begins is cut off.

    Time is linear in the text: brackets are counted once, and quotes are not looked at.
    """
    matches = in_running_text().finditer(text, start, end)
    match = next(matches, None)
    after = start
    while match:
        following = next(matches, None)
        if match.start() >= after:
            span = _span(text, match, following.start() if following else end)
            after = span.end
            yield span
        match = following


def _span(text: str, match: re.Match[str], limit: int) -> _Span:
    begin = match.start()
    if match.lastgroup == "word":
        return _Span(_name_before(text, begin), begin, match.end(), is_word=True, closes=True)
    if text[begin] not in "[{":
        head = _IDENTIFIER.search(text, max(0, begin - 80), begin)
        begin = head.start() if head else begin
    name = _name_before(text, begin)
    depth = 0
    limit = min(limit, match.end() + _VALUE_LIMIT)
    for bracket in _BRACKET.finditer(text, match.end() - 1, limit):
        depth += 1 if bracket[0] in "([{" else -1
        if not depth:
            return _Span(name, begin, bracket.end(), is_word=False, closes=True)
    return _Span(name, begin, limit, is_word=False, closes=False)


def _name_before(text: str, start: int) -> str:
    """The name that the value is assigned to on its line, or none."""
    nearby = max(0, start - 200)
    line = text[max(nearby, text.rfind("\n", nearby, start) + 1) : start]
    found = _NAME.match(_COLOUR.sub("", line)[::-1])
    return found[1][::-1] if found else ""
