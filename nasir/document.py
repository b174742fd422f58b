"""Parses JSON and YAML 1.2, without aliases and tags, into plain data with source positions.

JSON is parsed by the standard library; its tokens are parsed here only to locate an error or a
value. YAML is always parsed from tokens.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeAlias, cast

from nasir.errors import (
    DEPTH_LIMIT,
    NUMBER_LIMIT,
    VALUE_LIMIT,
    YAML_LIMIT,
    YAML_VALUE_LIMIT,
    Budget,
    NasirError,
    Where,
    nearest,
    quoted,
)
from nasir.files import Source

Path = tuple[str | int, ...]
"""A part of a genotype: (kind,), (kind, node), (kind, node, slot), (kind, "output", slot)."""

Place = Callable[[Path], Where]
"""The place of a part; an edge's op is (kind, node, slot, "op"), a node's (kind, node, "op")."""

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_IN_WORDS: dict[type, str] = {
    dict: "a mapping",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
}


@dataclass(frozen=True, slots=True)
class Places:
    """Offsets at which each value, and the key of each mapping's entry, starts.

    `calls` has the name of the class that a record of Python text is an instance of.
    """

    values: dict[Path, int] = field(default_factory=dict[Path, int])
    keys: dict[Path, int] = field(default_factory=dict[Path, int])
    calls: dict[Path, str] = field(default_factory=dict[Path, str])


def kind_of(value: Json) -> str:
    """The kind of a value, in words."""
    return "nothing" if value is None else _IN_WORDS.get(type(value), "a number")


def too_deep(where: Where) -> NasirError:
    """An error for data that nests deeper than DEPTH_LIMIT."""
    return NasirError("E106", f"the data nests more than {DEPTH_LIMIT} levels deep", where)


def double_key(key: str, where: Where) -> NasirError:
    """An error for the second of two equal keys."""
    return NasirError(
        "E104", f"the key {quoted(key)} occurs twice", where, hint="remove one of them"
    )


YAML_SUFFIXES = (".yaml", ".yml")

Token = tuple[str, int, str]
"""Kind, offset and text; the kinds are `{`, `[`, `end` of either, `word`, `number`, `quoted`."""

_TOKEN = re.compile(r'[ \t\n]*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)(e[-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE
)
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_KINDS = {"MappingStart": "{", "SequenceStart": "[", "MappingEnd": "end", "SequenceEnd": "end"}


def read(source: Source) -> tuple[Json, Places | None]:
    """The data of JSON, which opens with a bracket or is named so, or else of YAML.

    The places of JSON are None: `json_places` finds them. Mapping keys are texts, `2:` is "2".
    Errors have the place of what is too large or too deep, of an alias or a wrong number.
    """
    text, name = source.text, source.name.lower()
    if not text.strip():
        raise NasirError("E104", "the file is empty", Where(source.name, 1, 1))
    if name.endswith(".json") or text.lstrip()[0] in "{[":
        try:
            return read_json(source), None
        except NasirError:
            # Flow style YAML opens with a bracket, too: the suffix decides.
            if not name.endswith(YAML_SUFFIXES):
                raise
    if len(text) > YAML_LIMIT:
        message = f"the YAML is larger than {YAML_LIMIT // 2**10} KiB"
        raise NasirError("E106", message, Where(source.name), hint="write large data as JSON")
    return _build(source, _yaml_tokens(source))


def read_json(source: Source, largest: float = NUMBER_LIMIT) -> Json:
    """The data of a JSON text, whose numbers are finite and at most `largest` in magnitude.

    Errors have the place of what is too large or too deep, or of a wrong number.
    """
    text = source.text
    spell = partial(_number, largest=largest)
    _check_size(source)
    try:
        data: Json = json.loads(
            text,
            object_pairs_hook=_mapping,
            parse_constant=spell,
            parse_int=spell,
            parse_float=spell,
        )
        if _is_deep(data, DEPTH_LIMIT):
            raise ValueError
        if _SURROGATE.search(text):
            json.dumps(data, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        problem = error.msg[0].lower() + error.msg[1:]
        raise _broken(source, f"JSON cannot be parsed: {problem}", error.pos) from None
    except (ValueError, RecursionError):  # a number, a key twice, nesting, half of a surrogate
        return _build(source, _json_tokens(source.text), largest)[0]
    return data


def json_places(source: Source) -> Places:
    """The offset of each key and value of a text that `read_json` accepts."""
    return _build(source, _json_tokens(source.text), math.inf)[1]


@dataclass(slots=True)
class _Open:
    """An open list or mapping, and the key of the current entry (None: a key comes next)."""

    path: Path
    value: list[Json] | dict[str, Json]
    key: str | None = None

    def add(self, value: Json) -> Path:
        """Adds a value; returns its path."""
        if isinstance(self.value, list):
            self.value.append(value)
            return (*self.path, len(self.value) - 1)
        key, self.key = cast("str", self.key), None
        self.value[key] = value
        return (*self.path, key)


def _build(
    source: Source, tokens: Iterator[Token], largest: float = NUMBER_LIMIT
) -> tuple[Json, Places]:
    """Data and places of tokens, without recursion. Raises an error at the first fault."""
    root: Json = None
    places, stack = Places(), list[_Open]()
    for kind, offset, text in tokens:
        if kind == "end":
            stack.pop()
            continue
        inner = stack[-1] if stack else None
        _check_unicode(source, text, offset)
        if inner and inner.key is None and isinstance(inner.value, dict):
            if kind in "{[":
                raise NasirError("E104", "a key must be a single word or text", source.at(offset))
            if text in inner.value:
                raise double_key(text, source.at(offset))
            places.keys[(*inner.path, text)] = offset
            inner.key = text
            continue
        value = _value(source, (kind, offset, text), largest)
        path: Path = inner.add(value) if inner else ()
        root = root if inner else value
        places.values[path] = offset
        if isinstance(value, (dict, list)):
            if len(stack) >= DEPTH_LIMIT:
                raise too_deep(source.at(offset))
            stack.append(_Open(path, value))
    return root, places


def _value(source: Source, token: Token, largest: float) -> Json:
    kind, offset, text = token
    if kind == "number":
        try:
            return _number(text, largest)
        except ValueError:
            message = f"the number {quoted(text, limit=24)} is not finite, or is too large"
            hint = f"numbers are between -{largest:.0e} and {largest:.0e}".replace("e+", "e")
            raise NasirError("E107", message, source.at(offset), hint) from None
    if kind == "word":
        return _WORDS.get(text, text)
    return text if kind == "quoted" else {} if kind == "{" else []


def _number(text: str, largest: float) -> int | float:
    """The number in a text. Raises ValueError if it is not finite or beyond `largest`."""
    if len(text) > 400:
        raise ValueError(text)
    try:
        value: int | float = int(text)
    except ValueError:
        value = float(text)
    if not math.isfinite(value) or abs(value) > largest:
        raise ValueError(text)
    return value


def _check_unicode(source: Source, text: str, offset: int) -> None:
    """Raises an error for half of a surrogate pair, which no file can hold; an escape spells it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        message = "a text has half of a surrogate pair, which is no character"
        raise NasirError("E103", message, source.at(offset)) from None


def _mapping(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise ValueError
    return mapping


def _check_size(source: Source) -> None:
    """Raises an error for more values than VALUE_LIMIT, before any memory is spent on them."""
    if sum(map(source.text.count, ",:[{")) > VALUE_LIMIT:
        bare = _STRING.sub("", source.text)
        hint = "leave out what is not needed, or split the file"
        budget = Budget(VALUE_LIMIT, "the JSON", "values and keys", hint)
        budget.spend(sum(map(bare.count, ",:[{")), lambda: Where(source.name))


def _is_deep(data: Json, levels: int) -> bool:
    """True if lists and mappings nest deeper than that."""
    if not isinstance(data, (dict, list)):
        return False
    inner = data.values() if isinstance(data, dict) else data
    return levels == 0 or any(_is_deep(value, levels - 1) for value in inner)


def _json_tokens(text: str) -> Iterator[Token]:
    offset = 0
    while match := _TOKEN.match(text, offset):
        token, start, offset = match[1], match.start(1), match.end()
        if token[0] == '"':
            yield "quoted", start, json.loads(token)
        elif token in "{[":
            yield token, start, ""
        elif token in "}]":
            yield "end", start, ""
        elif token not in ",:":
            yield "word" if token in _WORDS else "number", start, token


def _yaml_tokens(source: Source) -> Iterator[Token]:
    """Raises an error where the text is no YAML, has tags or documents, or for aliases and size."""
    hint, documents = "write large data as JSON", 0
    budget = Budget(YAML_VALUE_LIMIT, "the YAML", "values and keys", hint)
    for event in _yaml_events(source):
        budget.spend(1, lambda: Where(source.name))
        kind, offset = type(event).__name__.removesuffix("Event"), event.start_mark.index
        documents += kind == "DocumentStart"
        if documents > 1:
            raise NasirError("E104", "the file has more than one document", source.at(offset))
        if kind == "Alias":
            where = source.at(offset)
            raise NasirError("E106", "the YAML uses an alias", where, hint="write the value out")
        if getattr(event, "ctag", None) is not None:
            raise NasirError("E104", "YAML tags are not read", source.at(offset))
        if kind == "Scalar":
            plain = "number" if _NUMBER.fullmatch(event.value) else "word"
            yield "quoted" if event.style else plain, offset, event.value
        elif kind in _KINDS:
            yield _KINDS[kind], offset, ""


def _yaml_events(source: Source) -> Iterator[Any]:
    """The parser's events. Raises an error where the text is no YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    try:
        yield from cast("Any", YAML(typ="safe", pure=True)).parse(source.text)
    except ReaderError as caught:
        where = source.at(cast("Any", caught).position)
        raise NasirError("E104", "the YAML holds a control character", where) from None
    except MarkedYAMLError as caught:
        error = cast("Any", caught)
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context or "a syntax error").split("\n", maxsplit=1)[0]
        index = int(mark.index) if mark else len(source.text)
        raise _broken(source, f"YAML cannot be parsed: {problem}", index) from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = str(error).split("\n", maxsplit=1)[0]
        where = Where(source.name)
        raise NasirError("E104", f"the YAML cannot be parsed: {problem}", where) from None


def _broken(source: Source, problem: str, index: int) -> NasirError:
    """An error at the offset where a parser stopped."""
    ends = not source.text[index:].strip()
    cut = ends or "nterminated string" in problem
    hint = "the text ends too early: is the file truncated?" if cut else ""
    return NasirError("E104", f"the {problem}", source.end if ends else source.at(index), hint)


VERSION = 1
"""The version of nasir's own files, genotypes and spaces, which they state as `nasir: 1`."""


@dataclass(frozen=True)
class Document:
    """The data of a source. Places are computed at their first use."""

    source: Source
    data: Json
    known_places: Places | None = field(default=None, repr=False)

    @cached_property
    def places(self) -> Places:
        """Offsets of every key and value."""
        return self.known_places or json_places(self.source)

    @property
    def calls(self) -> Mapping[Path, str]:
        """The names of the classes that values are instances of; only Python text has them."""
        return self.known_places.calls if self.known_places else {}

    def place(self, path: Path) -> Where:
        """The place of the value at `path`, or else of the nearest value around it."""
        while path and path not in self.places.values:
            path = path[:-1]
        return self.source.at(self.places.values.get(path, 0))

    def key_place(self, path: Path) -> Where:
        """The place of the key of the entry at `path`, or else of the nearest value around it."""
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
    """A value in a document. Reading it as another type raises an error at its place."""

    document: Document
    path: Path
    value: Json

    @property
    def where(self) -> Where:
        """The place of the value."""
        return self.document.place(self.path)

    def place(self, *path: str | int) -> Where:
        """The place of the part at `path` of this value, or else of the nearest part around it."""
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
    """The source's data: JSON if it opens with a bracket or is named .json, else YAML.

    A source is parsed once.
    """
    return source.once(_parsed)


def _parsed(source: Source) -> Document:
    return Document(source, *read(source))
