"""JSON into plain data: the standard library's parser, and a scanner that knows every place."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import cast

from nasir.errors import NasirError, Where
from nasir.genotype import Path
from nasir.limits import DEPTH_LIMIT, NUMBER_LIMIT, VALUE_LIMIT, Budget
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

_TOKEN = re.compile(r'[ \t\n]*("(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+)', re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_WORDS = {"true", "false", "null"}


class _RefusedError(Exception):
    """The fast parser met something that is JSON, or nearly, and not allowed."""


@dataclass(frozen=True, slots=True)
class _Step:
    """A key or a value as it stands in the text."""

    path: Path
    offset: int
    token: str
    is_key: bool


@dataclass(slots=True)
class _JsonFrame:
    """An open list or mapping: its path, and the key or index of the entry at hand."""

    path: Path
    key: str | int
    wants_key: bool


def parse_json(source: Source, largest: float = NUMBER_LIMIT) -> Json:
    """The data of a JSON text, whose numbers are finite and at most `largest` in magnitude.

    Raises E103, E104, E105, E106 (too large or too deep) and E107, with their places.
    """
    _check_size(source)
    spell = partial(_number, largest=largest)
    try:
        data = cast(
            "Json",
            json.loads(
                source.text,
                object_pairs_hook=_mapping,
                parse_constant=_refuse,
                parse_int=spell,
                parse_float=spell,
            ),
        )
        if _is_deep(source.text, data):
            raise _RefusedError
        if half := _SURROGATE.search(source.text):
            offset = half.start()
            check_unicode(json.dumps(data, ensure_ascii=False), lambda: source.at(offset))
    except json.JSONDecodeError as error:
        raise _syntax_error(source, error) from None
    except (_RefusedError, RecursionError):
        raise _fault(source, largest) from None
    return data


def read_json(content: bytes | str, name: str, largest: float = 2.0**64) -> Json:
    """The data of JSON that a program wrote: a run's facts, a header. Raises as `parse_json`.

    `name` is the file that errors name. Numbers may be as large as a random seed.
    """
    source = Source.of(content, name) if isinstance(content, str) else Source(name, content)
    return parse_json(source, largest)


def json_places(source: Source) -> Places:
    """Where each key and value of a text that `parse_json` accepts starts."""
    places = Places()
    for step in _steps(source.text):
        (places.keys if step.is_key else places.values)[step.path] = step.offset
    return places


def _mapping(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        raise _RefusedError
    return mapping


def _refuse(_: str) -> Json:
    raise _RefusedError


def _check_size(source: Source) -> None:
    """Raises E106 for more values than VALUE_LIMIT, before any memory is spent on them."""
    text = source.text
    if _separators(text) > VALUE_LIMIT:
        hint = "leave out what is not needed, or split the file"
        budget = Budget(VALUE_LIMIT, "the JSON", "values and keys", hint)
        budget.spend(_separators(_STRING.sub("", text)), lambda: Where(source.name))


def _separators(text: str) -> int:
    return sum(map(text.count, ",:[{"))


def _number(text: str, largest: float) -> int | float:
    try:
        return number(text, largest)
    except ValueError:
        raise _RefusedError from None


def _is_deep(text: str, data: Json) -> bool:
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return False
    level = [data]
    for _ in range(DEPTH_LIMIT):
        inner = [child for value in level for child in _children(value)]
        level = [value for value in inner if isinstance(value, (dict, list))]
    return bool(level)


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _syntax_error(source: Source, error: json.JSONDecodeError) -> NasirError:
    message = error.msg[0].lower() + error.msg[1:]
    ends = error.pos >= len(source.text.rstrip()) or "Unterminated string" in error.msg
    return NasirError(
        "E104",
        f"the JSON cannot be parsed: {message}",
        source.end if error.pos >= len(source.text.rstrip()) else source.at(error.pos),
        hint="the text ends too early: is the file truncated?" if ends else "",
    )


def _fault(source: Source, largest: float) -> NasirError:
    """The first duplicate key, bad number or too deep value; there is one."""
    seen: set[Path] = set()
    for step in _steps(source.text):
        if step.is_key:
            if step.path in seen:
                return double_key(str(step.path[-1]), source.at(step.offset))
            seen.add(step.path)
        elif step.token in "{[":
            if len(step.path) >= DEPTH_LIMIT:
                return too_deep(source.at(step.offset))
        elif step.token[0] != '"' and step.token not in _WORDS:
            try:
                number(step.token, largest)
            except ValueError:
                return bad_number(step.token, source.at(step.offset), largest)
    return NasirError("E104", "the JSON cannot be parsed", source.end)


def _steps(text: str) -> Iterator[_Step]:
    """Every key and value in the order of the text, without recursion."""
    stack: list[_JsonFrame] = []
    offset = 0
    while match := _TOKEN.match(text, offset):
        token, start, offset = match[1], match.start(1), match.end()
        frame = stack[-1] if stack else None
        if token in "}]":
            if stack:
                stack.pop()
        elif token == ",":
            _advance(frame)
        elif token == ":":
            continue
        elif frame is not None and frame.wants_key:
            frame.key, frame.wants_key = _key(token), False
            yield _Step((*frame.path, frame.key), start, token, is_key=True)
        else:
            path = (*frame.path, frame.key) if frame else ()
            yield _Step(path, start, token, is_key=False)
            if token in "{[":
                stack.append(_JsonFrame(path, 0, wants_key=token == "{"))


def _advance(frame: _JsonFrame | None) -> None:
    if frame is None:
        return
    if isinstance(frame.key, int):
        frame.key += 1
    else:
        frame.wants_key = True


def _key(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:
        return token
