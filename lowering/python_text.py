"""Names and texts of a graph as they stand in generated Python: files, programs."""

import builtins
import keyword
import re
from collections import Counter

from nasir.errors import visible

_LONGEST = 80

_NO_WORD = re.compile(r"\W", re.ASCII)
_FILE = ("path_masks", "self", "torch", "nn", "re", "json", "math")
_WORDS = frozenset({*keyword.kwlist, *dir(builtins), *_FILE})

CLASSES = _WORDS | {"Network", "Path", "Tensor", "F", "DTYPES", "KEYS"}
"""Names that no class of a file may have: the file's own names that begin with a capital, too."""


def identifier(name: str) -> str:
    """The name as that of a variable or an attribute, with `_` where it has other characters.

    It is of ASCII, at most about 80 characters long, never begins with a capital, as all classes
    do, or with two underscores, and is no keyword and no builtin. Names may become equal.
    """
    text = _NO_WORD.sub("_", name)[:_LONGEST]
    if text.startswith("__"):
        text = f"_{text.lstrip('_')}"
    if not text.strip("_"):
        text = "value"
    elif text[0].isdigit():
        text = f"_{text}"
    text = text[0].lower() + text[1:]
    return f"{text}_" if text in _WORDS else text


def class_name(kind: str) -> str:
    """`sep_conv_3x3` as `SepConv3x3`; digits stay apart (`Conv7x1_1x7`). Names may become equal."""
    text = ""
    for part in re.split(r"[^A-Za-z0-9]+", kind[:_LONGEST]):
        apart = text[-1:].isdigit() and part[:1].isdigit()
        text += f"{'_' if apart else ''}{part[:1].upper()}{part[1:]}"
    text = text or "Block"
    return f"Block{text}" if text[0].isdigit() else text


def literal(text: str) -> str:
    """A string literal, with double quotes where that needs no escapes."""
    literal = repr(text)
    plain = not set("\"'\\") & set(text) and literal[1:-1] == text
    return f'"{text}"' if plain else literal


def docstring(text: str) -> str:
    """The text between triple quotes; its line breaks stay."""
    body = text.rstrip('"')
    last = '\\"' * (len(text) - len(body))
    shown = "\n".join(map(visible, body.split("\n")))
    return '"""' + shown.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + last + '"""'


def attribute(of: str, path: str) -> str:
    """The attribute at a dotted path, of what the text `of` stands for."""
    for part in path.split("."):
        plain = part.isascii() and part.isidentifier() and not keyword.iskeyword(part)
        of = f"{of}.{part}" if plain else f"getattr({of}, {part!a})"
    return of


class Names:
    """Identifiers given out so far; it changes with every call."""

    def __init__(self, taken: frozenset[str] | set[str] = frozenset()) -> None:
        self._taken = set(taken)
        self._last: Counter[str] = Counter()

    def fresh(self, wanted: str, mark: str = "_") -> str:
        """`wanted`, or the first of `wanted_2`, `wanted_3`, … that is free; `mark` joins them."""
        number, name = max(1, self._last[wanted]), wanted
        while name in self._taken:
            number += 1
            name = f"{wanted}{mark}{number}"
        self._last[wanted] = number
        self._taken.add(name)
        return name
