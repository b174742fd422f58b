"""What the text of a data argument names where it names a folder of texts."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from nasir import NasirError
from nasir.errors import nearest, quoted

ROLES = ("train", "valid", "test")

TEXT_KINDS = ("ptb", "wikitext-2", "text")
"""Kinds of data that are texts: the Penn treebank, WikiText-2, any folder."""

SMALLEST_VOCABULARY = 3

_OPTIONS = (*ROLES, "vocabulary", "tokens")
_OPTION = re.compile(r"([A-Za-z_-]+)=(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextName:
    """A kind of text and the folder where it lies.

    `files` names the file of a role (`train`, `valid`, `test`) where it is not the usual one;
    `vocabulary` is how many words stay, `tokens` how many tokens of each file are read.
    """

    kind: str
    path: Path
    files: tuple[tuple[str, str], ...] = ()
    vocabulary: int | None = None
    tokens: int | None = None

    @property
    def text(self) -> str:
        """As it is written on a command line."""
        options = [f"{role}={file}" for role, file in self.files]
        if self.vocabulary is not None:
            options.append(f"vocabulary={self.vocabulary}")
        if self.tokens is not None:
            options.append(f"tokens={self.tokens}")
        return ",".join([f"{self.kind}:{self.path}", *options])

    def resolved(self) -> "TextName":
        """The same with an absolute path."""
        return replace(self, path=self.path.absolute())


def is_text(text: str) -> bool:
    """Whether a data argument names texts, not pictures."""
    return text.partition(":")[0] in TEXT_KINDS


def parse_text(text: str) -> TextName:
    """`wikitext-2:PATH`, `text:PATH,train=a.txt,valid=b.txt,vocabulary=2000,tokens=100000`.

    Options stand last, so that a path may have commas. Raises E711.
    """
    kind, _, rest = text.partition(":")
    if kind not in TEXT_KINDS:
        known = [f"{name}:PATH" for name in TEXT_KINDS]
        hint = nearest(f"{kind}:PATH", known)
        raise NasirError("E711", f"unknown text data {quoted(text)}", hint=hint)
    pieces = rest.split(",")
    options: dict[str, str] = {}
    while len(pieces) > 1 and (found := _OPTION.fullmatch(pieces[-1])):
        name, value = found.groups()
        _check_option(name, value, options, text)
        options[name] = value
        pieces.pop()
    path = ",".join(pieces)
    if not path:
        message = f"the data '{kind}' needs a path, and nothing is downloaded"
        hint = f"{kind}:PATH, a folder with train.txt, valid.txt and test.txt"
        raise NasirError("E711", message, hint=hint)
    return TextName(
        kind,
        Path(path),
        tuple((role, options[role]) for role in ROLES if role in options),
        _count(options, "vocabulary", SMALLEST_VOCABULARY),
        _count(options, "tokens", 1),
    )


def _check_option(name: str, value: str, options: dict[str, str], text: str) -> None:
    if name not in _OPTIONS:
        message = f"unknown option {quoted(name)} in {quoted(text)}"
        raise NasirError("E711", message, hint=nearest(name, _OPTIONS))
    if name in options:
        raise NasirError("E711", f"the option '{name}' occurs twice in {quoted(text)}")
    if not value:
        raise NasirError("E711", f"the option '{name}' has no value in {quoted(text)}")


def _count(options: dict[str, str], name: str, least: int) -> int | None:
    """The number of an option, None where it is not given. Raises E711."""
    value = options.get(name)
    if value is None:
        return None
    if not value.isascii() or not value.isdecimal() or len(value) > 15 or int(value) < least:
        message = f"{name}={value} is no whole number from {least}"
        raise NasirError("E711", message, hint=f"for example {name}=2000")
    return int(value)
