"""Errors that a user can cause, limits of input and work, and escaping of text from files.

An error has a code, a message, a place and a hint. A limit holds for one file or call; work that
grows with the product of several limited numbers is charged to a `Budget`. Names, titles, values of
meta and paths are untrusted: generated text has them through the function of its target (Python's
are in `lowering.python_text`).
"""

import difflib
import json
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

CODES: dict[str, str] = {
    # files: give another one, or repair it
    "E101": "the file does not exist, or cannot be read",
    "E103": "the file is binary or not UTF-8 text",
    "E104": "the text cannot be parsed: it is truncated, has a syntax error, or a key occurs twice",
    "E106": "the input is too large, nests too deeply, takes too many steps, or uses aliases",
    "E107": "a number is NaN, infinite, or out of range",
    "E108": "the format cannot be recognised, or is unknown, or the model was not written by nasir",
    "E109": "a field is missing, unknown, or of the wrong type",
    "E110": "the file is written in a version that this nasir does not read",
    "E112": "the output cannot be written",
    # names: choose a known one
    "E201": "unknown op, genotype, space, skeleton, pass, method, part, proxy, recipe, target, or "
    "tracker",
    # spaces, genotypes, networks, graphs: change them, or their size
    "E202": "a cell is malformed: its kinds, its nodes, what they read, or its output",
    "E208": "the target format cannot express the genotype",
    "E211": "the genotype does not belong to the space",
    "E302": "the network cannot have this number of layers, classes, channels, or pixels",
    "E305": "the types at a node clash",
    "E306": "an attribute of an op, or an expression, is wrong",
    "E401": "a graph is malformed: a name is missing or taken, or an op reads the wrong values",
    # running: install, choose another device, other weights, or other options
    "E501": "an optional package is not installed, or another module has the name of nasir's",
    "E502": "this machine, or this network, cannot take the device, the precision, or the target",
    "E503": "the weights do not fit the network",
    "E504": "the export, or its accuracy, differs from the network's",
    "E505": "options, settings, parts, or the data contradict each other",
    # benchmarks and downloads
    "E601": "the architecture, dataset, epochs, split, or seed is not in the benchmark",
    "E603": "the file would run code",
    "E604": "a file of a benchmark, of data, or of a run is missing or damaged: get it again",
    # data
    "E701": "the data is unknown, or not there",
    "E702": "the data cannot be learned from: too few or unequal images, labels, words",
    # runs
    "E721": "the folder is not a run, or the run does not have the requested file or value yet",
    "E723": "the folder is not empty, or already holds a run",
    "E724": "the run is in use by another process",
    "E726": "the run has other settings",
    "E728": "the command, or the batch, is not for so many processes",
    "E741": "the loss is not a number",
    "E744": "the memory is not enough for a step",
    "E745": "a process of the run is gone, or has other values than the others",
}

TEXT_LIMIT = 4 * 2**20
"""The largest text, in bytes; the largest real file is some hundred KiB."""

LOG_LIMIT = 64 * 2**20
"""The largest text in which genotypes are looked for, in bytes: logs of long searches."""

MODEL_LIMIT = 2 * 2**30
"""The largest ONNX model, in bytes: protobuf's own limit."""

YAML_LIMIT = 2**18
"""The largest YAML text, in characters: its parser is slow."""

VALUE_LIMIT = 2**18
"""The most values, keys and entries in a JSON text: a second of work, 100 MiB of places."""

YAML_VALUE_LIMIT = 2**14
"""The most values and keys in a YAML text, whose parser takes 25 to 100 µs for each."""

DEPTH_LIMIT = 64
"""The levels to which lists and mappings nest."""

NUMBER_LIMIT = 10**15
"""The largest magnitude of a number; far above any width, and exact as a float."""

CELL_NODE_LIMIT = 1000
"""The most nodes of a cell of a genotype."""

EDGE_LIMIT = 2**14
"""The most edges of a genotype, of all its cells together."""

GRAPH_TEXT_LIMIT = 2**24
"""The largest text of a graph, in characters."""

PRIMITIVE_LIMIT = 2**16
"""The most primitives of a network or of a graph's text, with those of a body at each application.

A supernet of DARTS with 100 cells has 44,000.
"""

OWN_OP_LIMIT = 2**11
"""The most primitives of one own op."""

OWN_OPS_LIMIT = 2**13
"""The most primitives of all own ops of a space together."""

OWN_OP_LEVELS = 3
"""The levels to which own ops use one another."""

BODY_LEVELS = 16
"""The levels to which the bodies of a graph nest."""

MEMBER_LIMIT = 2**16
"""The most genotypes of a space with `where` that are enumerated: about 20 seconds."""

DRAWN_LIMIT = 256
"""The most arrows of a drawing, whose layout takes time in proportion to their square."""

LIKE_LEVELS = 16
"""The longest chain of files of which each is `like` the next."""

LABEL_STEPS = 2**21
"""The most steps of a canonical numbering; a step visits an edge of a cell."""

NAME_LENGTH = 80
"""The most characters of a name in a drawing, or in a file's name."""

SUMMARY = 300
"""The most characters of a line of a summary."""


@dataclass(frozen=True, slots=True)
class Where:
    """A place: a file (or `<text>`), a line and a column from 1, and that line's text."""

    file: str = ""
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        parts = [visible(self.file) or "nasir"]
        if self.line:
            parts.append(str(self.line))
            if self.column:
                parts.append(str(self.column))
        return ":".join(parts)


NOWHERE = Where()

_LONGEST = 2000
"""The most characters of an error's message."""


class NasirError(Exception):
    """An error a user can cause; `str(error)` is what they see: line, source line, hint."""

    def __init__(self, code: str, message: str, where: Where = NOWHERE, hint: str = "") -> None:
        assert code in CODES, f"undeclared error code {code}"
        super().__init__(code, message, where, hint)  # so that it can be pickled
        self.code = code
        self.message = message
        self.where = where
        self.hint = hint

    def at(self, where: Where) -> "NasirError":
        """The error at `where`, unless it has a place already."""
        if self.where != NOWHERE:
            return self
        return NasirError(self.code, self.message, where, self.hint)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.code} {shortened(self.message, _LONGEST)}"]
        if self.where.text:
            gutter = f"  {self.where.line} | "
            source, column = _window(self.where.text, self.where.column)
            lines.append(f"{gutter}{source}")
            if column:
                lines.append(" " * (len(gutter) + column - 1) + "^")
        if self.hint:
            first, *others = shortened_lines(self.hint, _LONGEST)
            lines += [f"  hint: {first}", *(f"    {line}" for line in others)]
        return "\n".join(lines)

    def facts(self) -> dict[str, str | int]:
        """The error as plain data, for `--json`."""
        return {
            "code": self.code,
            "message": self.message,
            "file": self.where.file,
            "line": self.where.line,
            "column": self.where.column,
            "hint": self.hint,
        }


@dataclass(slots=True)
class Budget:
    """A limit and the amount spent: `what` takes at most `limit` of the `unit`."""

    limit: int
    what: str
    unit: str
    hint: str = ""
    spent: int = 0

    def spend(self, count: int, where: Callable[[], Where] = lambda: NOWHERE) -> None:
        """Charges `count` units. Raises an error at `where` if the limit is exceeded."""
        self.spent += count
        if self.spent > self.limit:
            message = f"{self.what} takes more than {self.limit:,} {self.unit}"
            raise NasirError("E106", message, where(), self.hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not among `known`: the nearest one, or all of them."""
    names = sorted(set(known))
    lowered = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(str(name).lower(), list(lowered), n=1)
    if close:
        return f"did you mean '{lowered[close[0]]}'?"
    shown = ", ".join(names[:20])
    return f"known: {shown}{', …' if len(names) > 20 else ''}" if names else ""


RENAMED_OPS = {"truncate": "channels", "rest": "channels", "part": "channels"}
"""Renamed ops: the name in earlier versions and the current one."""


def unknown_op(name: str, known: Iterable[str], where: Where = NOWHERE) -> NasirError:
    """An error with the nearest known name, or the current name of a renamed op."""
    now = RENAMED_OPS.get(name, "")
    names = set(known)
    hint = f"it is {now} now" if now in names else nearest(name, names)
    return NasirError("E201", f"unknown op {quoted(name)}", where, hint)


def quoted(value: object, limit: int = 60) -> str:
    """A value as an error shows it: quoted, on one line, cut to `limit` characters.

    Only the beginning of a long or nested value is formatted.
    """
    text = value if isinstance(value, str) else _shown(value)
    return f"'{shortened(text, limit)}'"


class _Shown(reprlib.Repr):
    """Texts of values, bounded in depth and length."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = 400
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = 12

    def repr_int(self, x: int, level: int) -> str:
        """The number, or its number of bits if it is too long for Python to print."""
        del level
        return repr(x) if x.bit_length() < 1024 else f"<int of {x.bit_length()} bits>"


_shown = _Shown().repr


def _window(text: str, column: int, width: int = 96) -> tuple[str, int]:
    """The part of a long line around `column`, and the column within it.

    Tabs and control characters become spaces, which keep the caret in its place.
    """
    text = "".join(character if character.isprintable() else " " for character in text)
    if len(text) <= width:
        return text, column
    start = max(0, min(column - width // 2, len(text) - width))
    return text[start : start + width], column - start


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


def shortened(text: str, limit: int = NAME_LENGTH) -> str:
    """The visible text, cut to `limit` characters."""
    text = visible(text[: limit + 1])
    return f"{text[: limit - 1]}…" if len(text) > limit else text


def shortened_lines(text: str, limit: int) -> list[str]:
    """The visible lines of the text, cut to `limit` characters in all."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return [visible(line) for line in cut.split("\n")]


def xml(text: str) -> str:
    """The text as content, or as the value of an attribute in quotes, of SVG and HTML."""
    from html import escape  # not needed by most calls

    return escape(visible_lines(text))


def markdown(text: str) -> str:
    """The text on one line of Markdown, in a table too, without any of its marks."""
    marks = re.sub(r"([\\`*_\[\]<>|~&$@]|:(?=//)|(?<=www)\.)", r"\\\1", visible(text))
    return re.sub(r"^(\s*\d*)([#+\-=.)])", r"\1\\\2", marks)


class Summarised:
    """Shown as a few facts: on one line, and as a table in a notebook."""

    @property
    def _facts(self) -> Mapping[str, object]:
        raise NotImplementedError

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}={fact}" for name, fact in self._facts.items())
        return shortened(f"<{type(self).__name__} {facts}>", SUMMARY)

    def _repr_html_(self) -> str:
        rows = ""
        for name, fact in self._facts.items():
            text = f"{fact:,}" if isinstance(fact, int) else shortened(str(fact), SUMMARY)
            rows += f"<tr><th>{xml(name)}</th><td>{xml(text)}</td></tr>"
        return f'<table style="text-align:left">{rows}</table>'


def json_text(value: object, indent: int | None = None) -> str:
    """The value as JSON with unprintable characters escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text if text.isprintable() else "\n".join(map(_json_line, text.split("\n")))


def file_stem(text: str) -> str:
    """The text as a part of a file's name: other characters than letters become underscores."""
    return re.sub(r"[^\w+-]+", "_", text)[:NAME_LENGTH]


def _json_line(text: str) -> str:
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)
