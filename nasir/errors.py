"""Errors that a user can cause: a code, a place, what is wrong there, and a hint."""

import difflib
import reprlib
from collections.abc import Iterable
from dataclasses import dataclass

from nasir.quoting import shortened, shortened_lines, visible

CODES: dict[str, str] = {
    # files
    "E101": "the file does not exist",
    "E102": "the path is a directory, or not a regular file",
    "E103": "the file is binary or not UTF-8 text",
    "E104": "the text cannot be parsed (truncated, or a syntax error)",
    "E105": "a key occurs twice",
    "E106": "the input is too large, nests too deeply, takes too many steps, or uses aliases",
    "E107": "a number is NaN, infinite, or out of range",
    "E108": "the format cannot be recognised, or is unknown",
    "E109": "a field is missing, unknown, or of the wrong type",
    "E110": "the file is written in a version that this nasir does not read",
    "E111": "the ONNX file was not written by nasir",
    "E112": "the output cannot be written",
    # genotypes
    "E201": "unknown op",
    "E202": "a node has the wrong number of inputs",
    "E203": "a node reads itself or a later node",
    "E204": "the output cannot be reached from the inputs",
    "E205": "an index is out of range",
    "E206": "the output names a node that is not there",
    "E207": "a cell has no nodes",
    "E208": "the target format cannot express the genotype",
    "E209": "unknown genotype or space name",
    "E210": "a cell kind is missing or unknown",
    "E211": "the genotype does not belong to the space",
    "E212": "a choice has another number of weights than options",
    # networks
    "E301": "unknown skeleton",
    "E302": "the skeleton cannot take this number of layers, classes, or size",
    "E303": "the skeleton or an op cannot take this number of channels",
    "E304": "the image is too small",
    "E305": "the types at a node clash",
    "E306": "an attribute of an op is wrong",
    # graphs
    "E401": "no such node",
    "E402": "two nodes have one name",
    "E403": "a node reads a value that is not defined before it",
    "E404": "an op is given the wrong number of inputs",
    "E405": "the graph text cannot be parsed",
    "E406": "unknown pass",
    # running
    "E501": "an optional part is not installed",
    "E502": "the device is not available",
    "E503": "the weights do not fit the network",
    "E504": "the export differs from the network",
    "E505": "the call's options contradict each other",
    # benchmarks
    "E601": "the architecture is not in the benchmark",
    "E602": "the benchmark has no such dataset, epochs, split or seed",
    "E603": "the file asks to run code",
    "E604": "the benchmark file is damaged",
    # data
    "E701": "the data is unknown, or not there",
    "E702": "there are no images",
    "E703": "there is one class alone",
    "E704": "an image is broken",
    "E705": "images have different sizes",
    "E706": "a label is out of range",
    "E707": "images are not square, or too small",
    "E708": "the arrays of an .npz file are not those of images",
    "E709": "a file of the data is damaged",
    "E711": "a folder of texts, or a file of it, is named wrongly or not there",
    "E712": "a text has no words",
    "E713": "a text is not UTF-8",
    "E714": "a text is too short for the batch",
    # runs
    "E721": "the folder is not a run",
    "E722": "a file of the run is damaged",
    "E723": "the folder is not empty, or holds a run already",
    "E724": "the run is in use by another process",
    "E725": "the run cannot be written",
    "E726": "the run has other settings",
    "E727": "the checkpoint is missing or damaged",
    "E728": "nasir is started as one of several processes",
    "E729": "the precision is unknown, or the device lacks it",
    # figures of runs
    "E731": "the run has nothing to draw",
    # searching
    "E741": "the loss is not a number",
    "E742": "unknown search method or part",
    "E743": "the parts or settings of a search contradict each other",
    "E744": "the memory is not enough for a step",
    # evaluation
    "E751": "unknown recipe",
    "E752": "a recipe has no such value",
    "E753": "a recipe, the data and the sizes contradict each other",
    "E754": "weights cannot be inherited from the run",
    "E755": "the run has no genotype, or no weights, yet",
    "E756": "a file's accuracy is not the network's",
    # weights of original implementations
    "E761": "the file holds no weights that are known",
    "E762": "the original's weights do not fit the genotype's network",
    "E763": "the weights file asks to run code",
    # targets
    "E765": "unknown target",
    "E766": "the target cannot be on this machine, or not of this network",
}


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
        """The same error at `where`, if it has no place yet."""
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
"""What ops of earlier versions are called now."""


def unknown_op(name: str, known: Iterable[str], where: Where = NOWHERE) -> NasirError:
    """E201 with the nearest known name, or what an old name is now."""
    now = RENAMED_OPS.get(name, "")
    names = set(known)
    hint = f"it is {now} now" if now in names else nearest(name, names)
    return NasirError("E201", f"unknown op {quoted(name)}", where, hint)


def quoted(value: object, limit: int = 60) -> str:
    """A value as an error shows it: quoted, on one line, cut to `limit` characters.

    Of what is nested or long only the beginning is looked at, however often a part stands in it.
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
        """The number; of one that Python does not write, how many bits it has."""
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
