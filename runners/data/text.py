"""Text for language models: words as numbers."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import nearest, quoted
from runners.arrays import tensor_of

KINDS = ("ptb", "wikitext-2", "text")
SPLITS = ("train", "valid", "test")
FILES = ("{}.txt", "ptb.{}.txt", "wiki.{}.tokens", "{}")
END, UNKNOWN = "<eos>", "<unk>"


@dataclass(frozen=True)
class Corpus:
    """Three texts as word numbers, int64 (tokens,); a line ends with `<eos>`.

    As published the vocabulary has the words of all three texts, in the order in which they occur.
    """

    name: str
    vocabulary: tuple[str, ...]
    train: Tensor
    valid: Tensor
    test: Tensor | None
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TextName:
    """A folder of text, which file is which split, and how many words the vocabulary may have."""

    kind: str
    path: Path
    files: tuple[tuple[str, str], ...] = ()
    words: int | None = None

    @property
    def text(self) -> str:
        """As it is written on a command line."""
        parts = [f"{self.kind}:{self.path}", *(f"{split}={file}" for split, file in self.files)]
        if self.words is not None:
            parts.append(f"words={self.words}")
        return ",".join(parts)

    def resolved(self) -> "TextName":
        """The same with an absolute path."""
        return TextName(self.kind, self.path.absolute(), self.files, self.words)


@dataclass(slots=True)
class _Words:
    """Numbers of words, given out in the order in which they occur."""

    numbers: dict[str, int] = field(default_factory=dict[str, int])

    def number(self, words: list[str]) -> np.ndarray:
        """The numbers of these words, new ones included."""
        known = self.numbers
        return np.array([known.setdefault(word, len(known)) for word in words], dtype=np.int64)


def is_text(text: str) -> bool:
    """Whether a data argument names text."""
    return text.partition(":")[0] in KINDS


def parse_text(text: str) -> TextName:
    """`text:PATH`, `ptb:PATH`, `wikitext-2:PATH`, with `,train=FILE` and `,words=N` behind it.

    Raises E711.
    """
    kind, _, rest = text.partition(":")
    if kind not in KINDS or not rest:
        raise NasirError(
            "E711",
            f"{quoted(text)} names no text",
            hint=nearest(kind, KINDS) if kind not in KINDS else f"{kind}:PATH of a folder",
        )
    path, *options = rest.split(",")
    files: list[tuple[str, str]] = []
    words: int | None = None
    for option in options:
        name, _, value = option.partition("=")
        if name in SPLITS and value:
            files.append((name, value))
        elif name == "words" and value.isdecimal() and int(value) > 1:
            words = int(value)
        else:
            message = f"{quoted(option)} is no option of text"
            raise NasirError("E711", message, hint="train=FILE, valid=FILE, test=FILE, words=N")
    return TextName(kind, Path(path), tuple(files), words)


def load_text(text: str) -> Corpus:
    """The corpus in a folder with a file for each of train, valid and test (which may be missing).

    Files are called `train.txt`, `ptb.train.txt` or `wiki.train.tokens`, or as the name says. With
    `words=N` the N - 1 most frequent words stay, and others become `<unk>`. Raises E711 where a
    file is missing, E712 for an empty text, E713 for one that is not UTF-8.
    """
    name = parse_text(text)
    found = {split: _words(name, split) for split in SPLITS}
    if name.words is not None:
        found = _frequent(found, name.words)
    numbers = _Words()
    tokens = {s: tensor_of(numbers.number(words)) for s, words in found.items() if words}
    digest = hashlib.sha256("\0".join(numbers.numbers).encode())
    for part in tokens.values():
        digest.update(part.numpy().data)
    return Corpus(
        f"{name.kind} {name.path.name}",
        tuple(numbers.numbers),
        tokens["train"],
        tokens["valid"],
        tokens.get("test"),
        digest.hexdigest(),
    )


def _words(name: TextName, split: str) -> list[str]:
    """The words of a split; none where the test text is missing."""
    path = _file(name, split)
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        message = f"the text is not UTF-8: {error.reason} at byte {error.start}"
        raise NasirError("E713", message, Where(str(path))) from None
    words = [word for line in lines for word in (*line.split(), END)]
    if len(words) == len(lines):
        raise NasirError("E712", "the text has no words", Where(str(path)))
    return words


def _file(name: TextName, split: str) -> Path | None:
    given = dict(name.files).get(split)
    candidates = [given] if given else [pattern.format(split) for pattern in FILES]
    for candidate in candidates:
        if (name.path / candidate).is_file():
            return name.path / candidate
    if split == "test" and not given:
        return None
    there = sorted(file.name for file in name.path.glob("*") if file.is_file())
    have = f"it has: {', '.join(there[:6])}" if there else "there is no such folder, or it is empty"
    raise NasirError(
        "E711",
        f"the {split} text '{candidates[0]}' is not there; {have}",
        Where(str(name.path)),
        hint=f"{name.kind}:{name.path},{split}=FILE names the file",
    )


def _frequent(found: dict[str, list[str]], words: int) -> dict[str, list[str]]:
    counts = Counter(word for part in found.values() for word in part if word != UNKNOWN)
    kept = {word for word, _ in counts.most_common(words - 1)}
    return {
        split: [word if word in kept else UNKNOWN for word in part] for split, part in found.items()
    }
