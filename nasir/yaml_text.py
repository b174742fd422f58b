"""YAML 1.2 into plain data and places: the core schema, without aliases, tags or odd keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from nasir.errors import NasirError, Where
from nasir.genotype import Path
from nasir.limits import DEPTH_LIMIT, YAML_LIMIT, YAML_VALUE_LIMIT, Budget
from nasir.plain import (
    Json,
    Places,
    bad_number,
    check_unicode,
    double_key,
    number,
    too_deep,
)
from nasir.source import Source

_NUMBER = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)(e[-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE
)
_WORDS: dict[str, Json] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


@dataclass(slots=True)
class _YamlFrame:
    """An open list or mapping, and the key of the entry at hand (None: a key comes next)."""

    path: Path
    value: list[Json] | dict[str, Json]
    key: str | None = None


def parse_yaml(source: Source) -> tuple[Json, Places]:
    """The data of a YAML text and its places. Mapping keys are texts, `2:` is "2".

    Raises E104, E105, E106 (too large, too deep, an alias), E107, with their places.
    """
    if len(source.text) > YAML_LIMIT:
        raise NasirError(
            "E106",
            f"the YAML is larger than {YAML_LIMIT // 2**10} KiB",
            Where(source.name),
            hint="write large data as JSON",
        )
    return _Builder(source).build()


class _Builder:
    """Data and places, grown event by event without recursion."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.places = Places()
        self.stack: list[_YamlFrame] = []
        self.root: Json = None

    def build(self) -> tuple[Json, Places]:
        """The document, once its events have been taken."""
        documents = 0
        unit, hint = "values and keys", "write large data as JSON"
        budget = Budget(YAML_VALUE_LIMIT, "the YAML", unit, hint)
        for event in _events(self.source):
            budget.spend(1, lambda: Where(self.source.name))
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise self.error("the file has more than one document", event)
            else:
                self.take(kind, event)
        return self.root, self.places

    def take(self, kind: str, event: Any) -> None:
        """One event into the data."""
        if kind == "AliasEvent":
            where = self.source.at(event.start_mark.index)
            raise NasirError("E106", "the YAML uses an alias", where, hint="write the value out")
        if getattr(event, "ctag", None) is not None:
            raise self.error("YAML tags are not read", event)
        if kind == "ScalarEvent":
            self.scalar(event)
        elif kind == "MappingStartEvent":
            self.open({}, event)
        elif kind == "SequenceStartEvent":
            self.open([], event)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.stack.pop()

    def scalar(self, event: Any) -> None:
        """A scalar as a key or as a value."""
        text = cast("str", event.value)
        check_unicode(text, lambda: self.source.at(event.start_mark.index))
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            path = (*frame.path, text)
            if text in frame.value:
                raise double_key(text, self.source.at(event.start_mark.index))
            self.places.keys[path] = event.start_mark.index
            frame.key = text
            return
        plain = event.style is None
        self.add(self.plain(text, event) if plain else text, event)

    def plain(self, text: str, event: Any) -> Json:
        """What an unquoted scalar means in YAML's core schema."""
        if text in _WORDS:
            return _WORDS[text]
        if not _NUMBER.fullmatch(text):
            return text
        try:
            return number(text)
        except ValueError:
            raise bad_number(text, self.source.at(event.start_mark.index)) from None

    def open(self, value: list[Json] | dict[str, Json], event: Any) -> None:
        """A list or mapping begins."""
        if len(self.stack) >= DEPTH_LIMIT:
            raise too_deep(self.source.at(event.start_mark.index))
        path = self.add(value, event)
        self.stack.append(_YamlFrame(path, value))

    def add(self, value: Json, event: Any) -> Path:
        """Put a value where it belongs; its path."""
        path: Path = ()
        if not self.stack:
            self.root = value
        else:
            frame = self.stack[-1]
            if isinstance(frame.value, list):
                path = (*frame.path, len(frame.value))
                frame.value.append(value)
            elif frame.key is None:
                raise self.error("a key must be a single word or text", event)
            else:
                path = (*frame.path, frame.key)
                frame.value[frame.key] = value
                frame.key = None
        self.places.values[path] = event.start_mark.index
        return path

    def error(self, message: str, event: Any) -> NasirError:
        """E104 where an event starts."""
        return NasirError("E104", message, self.source.at(event.start_mark.index))


def _events(source: Source) -> Iterator[Any]:
    """The parser's events. Raises E104 where the text is no YAML."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    parser = cast("Any", YAML(typ="safe", pure=True))
    try:
        yield from parser.parse(source.text)
    except ReaderError:
        where = _control_character(source)
        raise NasirError("E104", "the YAML holds a control character", where) from None
    except MarkedYAMLError as error:
        raise _syntax_error(source, cast("Any", error)) from None
    except (YAMLError, ValueError, RecursionError) as error:
        problem = str(error).split("\n", maxsplit=1)[0]
        where = Where(source.name)
        raise NasirError("E104", f"the YAML cannot be parsed: {problem}", where) from None


def _syntax_error(source: Source, error: Any) -> NasirError:
    mark = error.problem_mark or error.context_mark
    problem = str(error.problem or error.context or "a syntax error").split("\n", maxsplit=1)[0]
    index = int(mark.index) if mark else len(source.text)
    ends = not source.text[index:].strip()
    return NasirError(
        "E104",
        f"the YAML cannot be parsed: {problem}",
        source.end if ends else source.at(index),
        hint="the text ends too early: is the file truncated?" if ends else "",
    )


def _control_character(source: Source) -> Where:
    for offset, character in enumerate(source.text):
        if not character.isprintable() and character not in "\n\t\xa0\u2028\u2029\x85":
            return source.at(offset)
    return Where(source.name)
