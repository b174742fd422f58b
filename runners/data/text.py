"""Texts as token numbers, with `<eos>` at the end of each line."""

import hashlib
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.data.name import ROLES, DataName, parse_text

_USUAL = {
    "ptb": ("ptb.{}.txt", "{}.txt", "{}"),
    "wikitext-2": ("wiki.{}.tokens", "wiki.{}.raw", "{}.txt", "{}"),
    "text": ("{}.txt", "{}", "ptb.{}.txt", "wiki.{}.tokens", "wiki.{}.raw"),
}
"""Possible file names of a role, by kind; the first that exists is used."""


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Texts as token numbers, int64, each (tokens,).

    `vocabulary` has the words of all texts in order of first appearance, as published: including
    validation and test texts, so that perplexities are over the published number of words. `test`
    is None without a test file. `fingerprint` is the SHA-256 of vocabulary and texts.
    """

    name: str
    vocabulary: tuple[str, ...]
    train: Tensor
    valid: Tensor
    test: Tensor | None
    fingerprint: str


def load_text(text: str, limit: int | None = None) -> Corpus:
    """Reads the texts of a data argument (`parse_text`), at most `limit` tokens each.

    A folder may lack the test text; for the others it raises an error, unless `train=FILE` names
    one.
    """
    name = parse_text(text)
    files = find_files(name)
    bounds = [int(name.options.get("tokens", limit or sys.maxsize)), limit or sys.maxsize]
    index: dict[str, int] = {}
    texts = {role: read_words(path, index, min(bounds)) for role, path in files.items()}
    vocabulary = tuple(index)
    if "vocabulary" in name.options:
        most = int(name.options["vocabulary"])
        vocabulary, table = most_frequent(vocabulary, texts["train"], most)
        texts = {role: table[numbers] for role, numbers in texts.items()}
    digest = _fingerprint(vocabulary, texts)
    train, valid, test = texts["train"], texts["valid"], texts.get("test")
    return Corpus(name.kind, vocabulary, train, valid, test, digest)


def find_files(name: DataName) -> dict[str, Path]:
    """Returns a distinct file for each role. Raises an error if train or valid has none."""
    folder = name.location
    if not folder.is_dir():
        kind = "is a file" if folder.exists() else "does not exist"
        message = f"the folder of texts {quoted(str(folder))} {kind}"
        hint = f"{name.kind}:PATH, a folder with train.txt, valid.txt and test.txt"
        raise NasirError("E701", message, Where(str(folder)), hint)
    found: dict[str, Path] = {}
    roles: dict[Path, str] = {}
    for role in (role for role in ROLES if role in name.options):
        path = found[role] = folder / str(name.options[role])
        if not path.is_file():
            message = f"the file for '{role}' does not exist"
            raise NasirError("E701", message, Where(str(path)), _present(path.parent))
        other = roles.setdefault(path.resolve(), role)
        if other != role:
            message = f"one file cannot serve as '{other}' and as '{role}'"
            hint = "the architecture would be trained on the weights' data"
            raise NasirError("E701", message, Where(str(path)), hint)
    for role in (role for role in ROLES if role not in found):
        usual = [folder / form.format(role) for form in _USUAL[name.kind]]
        there = [path for path in usual if path.is_file()]
        free = next((path for path in there if path.resolve() not in roles), None)
        if free is not None:
            found[role], roles[free.resolve()] = free, role
        elif role != "test":
            names = ", ".join(path.name for path in usual)
            message = f"there is no {role} text: {names}"
            if there:
                serving = (f"{path.name} serves as '{roles[path.resolve()]}'" for path in there)
                message = f"no {role} text is left: {', '.join(serving)}"
            hint = f"say which file serves: {name.kind}:{folder},train=FILE,valid=FILE"
            hint += f" ({_present(folder)})"
            raise NasirError("E701", message, Where(str(folder)), hint)
    return {role: found[role] for role in ROLES if role in found}


def _present(folder: Path) -> str:
    """Describes the files of a folder."""
    if not folder.is_dir():
        return f"there is no folder {quoted(str(folder))}"
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if not names:
        return "the folder has no files"
    return f"the folder has {', '.join(names[:6])}{', …' if len(names) > 6 else ''}"


def _fingerprint(vocabulary: tuple[str, ...], texts: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256("\n".join(vocabulary).encode())
    for role in ROLES:
        numbers = texts.get(role, torch.empty(0))
        digest.update(f"\n{role} {len(numbers) if role in texts else -1}\n".encode())
        digest.update(numbers.numpy().tobytes())
    return digest.hexdigest()


EOS = "<eos>"
UNKNOWN = "<unk>"

_BOM = b"\xef\xbb\xbf"


def read_words(path: Path, index: dict[str, int], limit: int) -> Tensor:
    """Reads the first `limit` tokens, int64, with `<eos>` after each line; extends `index`.

    Words are separated by white space, as published: empty lines are an `<eos>` too. Raises an
    error if the file cannot be read, has no words, or is not UTF-8.
    """
    numbers = array("q")
    empty = True
    try:
        with path.open("rb") as stream:
            for line, raw in enumerate(stream, start=1):
                words = _decoded(raw, path, line).split()
                empty = empty and not words
                words.append(EOS)
                del words[limit - len(numbers) :]
                numbers.extend([index.setdefault(word, len(index)) for word in words])
                if len(numbers) >= limit:
                    break
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"the text cannot be read: {reason}"
        raise NasirError("E701", message, Where(str(path))) from error
    if empty:
        raise NasirError("E702", "the text has no words", Where(str(path)))
    return torch.tensor(numbers, dtype=torch.int64)


def most_frequent(
    vocabulary: tuple[str, ...], train: Tensor, limit: int
) -> tuple[tuple[str, ...], Tensor]:
    """Returns a vocabulary of `limit` words, and a table from old to new numbers.

    Keeps the most frequent words of `train` (of equally frequent ones the first), `<eos>` and
    `<unk>`, in order; rare ones become `<unk>`, which comes last if the texts lack it.
    """
    if len(vocabulary) <= limit:
        return vocabulary, torch.arange(len(vocabulary))
    counts = torch.bincount(train, minlength=len(vocabulary))
    always = [number for number, word in enumerate(vocabulary) if word in (EOS, UNKNOWN)]
    counts[always] = len(train) + 1
    new = UNKNOWN not in vocabulary
    kept = counts.argsort(descending=True, stable=True)[: limit - new].sort().values
    words = [*(vocabulary[int(number)] for number in kept), *[UNKNOWN] * new]
    table = torch.full((len(vocabulary),), words.index(UNKNOWN))
    table[kept] = torch.arange(len(kept))
    return tuple(words), table


def _decoded(raw: bytes, path: Path, line: int) -> str:
    """Decodes a line of UTF-8."""
    raw = raw.removeprefix(_BOM) if line == 1 else raw
    at = raw.find(0)
    if at >= 0:
        message = "the file is binary: it has a byte 0"
        raise NasirError("E103", message, Where(str(path), line, at + 1))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NasirError(
            "E103",
            f"the text is not UTF-8: byte {quoted(f'0x{raw[error.start]:02x}')}",
            Where(str(path), line, len(raw[: error.start].decode()) + 1),
            hint="convert it, for example with iconv -t UTF-8",
        ) from error
