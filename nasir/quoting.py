"""Escapes text from files in generated text: a function per target.

Names, titles, values of meta and paths are untrusted. Python's functions are in
`lowering.python_text`.
"""

import json
import re
from html import escape

LONGEST = 80
"""The most characters of a name in a drawing, or in a file's name."""


def visible(text: str) -> str:
    """The text on one line, with unprintable characters escaped: `\\n`, `\\x1b`, `\\u202e`.

    These are control characters, marks of direction and lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def visible_lines(text: str) -> str:
    """The visible text of several lines; tabs become spaces."""
    return "\n".join(map(visible, text.expandtabs(4).split("\n")))


def shortened(text: str, limit: int = LONGEST) -> str:
    """The visible text, cut to `limit` characters."""
    text = visible(text[: limit + 1])
    return f"{text[: limit - 1]}…" if len(text) > limit else text


def shortened_lines(text: str, limit: int) -> list[str]:
    """The visible lines of the text, cut to `limit` characters in all."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return [visible(line) for line in cut.split("\n")]


def dot(text: str) -> str:
    """A DOT string that Graphviz shows unchanged; backslashes and entities are escaped."""
    shown = visible(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{shown}"'


def xml(text: str) -> str:
    """The text as content, or as the value of an attribute in quotes, of SVG and HTML."""
    return escape(visible_lines(text))


def markdown(text: str) -> str:
    """The text on one line of Markdown, in a table too, without any of its marks."""
    marks = re.sub(r"([\\`*_\[\]<>|~&$@]|:(?=//)|(?<=www)\.)", r"\\\1", visible(text))
    return re.sub(r"^(\s*\d*)([#+\-=.)])", r"\1\\\2", marks)


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON with unprintable characters escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if text.isprintable() else "\n".join(map(_json_line, text.split("\n")))


def file_stem(text: str) -> str:
    """The text as a part of a file's name: other characters than letters become underscores."""
    return re.sub(r"[^\w+-]+", "_", text)[:LONGEST]


def _json_line(text: str) -> str:
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
