"""Texts in memory: each word a number, `<eos>` at the end of each line."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.data.text_name import ROLES, TextName, parse_text
from runners.data.words import most_frequent, read_words

_USUAL = {
    "ptb": ("ptb.{}.txt", "{}.txt", "{}"),
    "wikitext-2": ("wiki.{}.tokens", "wiki.{}.raw", "{}.txt", "{}"),
    "text": ("{}.txt", "{}", "ptb.{}.txt", "wiki.{}.tokens", "wiki.{}.raw"),
}
"""The names that a role's file may have, by kind; the first that is there is taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Texts as numbers of words, int64, each (tokens,).

    `vocabulary` has the words of all texts in the order in which they first appear, as published:
    those of the validation and test texts too (so that a perplexity is over the published number of
    words). `test` is None where no file serves as the test text. `fingerprint` is the SHA-256 of
    vocabulary and texts.
    """

    name: str
    vocabulary: tuple[str, ...]
    train: Tensor
    valid: Tensor
    test: Tensor | None
    fingerprint: str


def load_text(text: str, limit: int | None = None) -> Corpus:
    """The texts that a data argument names (`parse_text`), at most `limit` tokens of each.

    A folder without a test text is taken; one without the others raises E711, and `train=FILE` says
    which file serves. Raises E711 to E713.
    """
    name = parse_text(text)
    files = find_files(name)
    bounds = [bound for bound in (name.tokens, limit) if bound is not None]
    index: dict[str, int] = {}
    texts = {
        role: read_words(path, index, min(bounds, default=None)) for role, path in files.items()
    }
    vocabulary = tuple(index)
    if name.vocabulary is not None:
        vocabulary, table = most_frequent(vocabulary, texts["train"], name.vocabulary)
        texts = {role: table[numbers] for role, numbers in texts.items()}
    return Corpus(
        name.kind,
        vocabulary,
        texts["train"],
        texts["valid"],
        texts.get("test"),
        _fingerprint(vocabulary, texts),
    )


def find_files(name: TextName) -> dict[str, Path]:
    """The file of each role, each file once. Raises E711 where train or valid have none."""
    if not name.path.is_dir():
        kind = "is a file" if name.path.exists() else "does not exist"
        message = f"the folder of texts {quoted(str(name.path))} {kind}"
        hint = f"{name.kind}:PATH, a folder with train.txt, valid.txt and test.txt"
        raise NasirError("E711", message, Where(str(name.path)), hint)
    found = {role: name.path / file for role, file in name.files}
    _check_named(found)
    for role in ROLES:
        if role not in found:
            taken = {path.resolve(): other for other, path in found.items()}
            there = [path for path in _usual(name, role) if path.is_file()]
            free = [path for path in there if path.resolve() not in taken]
            if free:
                found[role] = free[0]
            elif role != "test":
                serving = [f"{path.name} serves as '{taken[path.resolve()]}'" for path in there]
                raise _missing(name, role, serving)
    return {role: found[role] for role in ROLES if role in found}


def _check_named(files: Mapping[str, Path]) -> None:
    """Raises E711 for a file that was named and is not there, or that has two roles."""
    roles: dict[Path, str] = {}
    for role, path in files.items():
        if not path.is_file():
            present = _present(path.parent)
            message = f"the file for '{role}' does not exist"
            raise NasirError("E711", message, Where(str(path)), hint=present)
        other = roles.setdefault(path.resolve(), role)
        if other != role:
            message = f"one file cannot serve as '{other}' and as '{role}'"
            hint = "the architecture would learn from what the weights know"
            raise NasirError("E711", message, Where(str(path)), hint=hint)


def _usual(name: TextName, role: str) -> list[Path]:
    return [name.path / form.format(role) for form in _USUAL[name.kind]]


def _missing(name: TextName, role: str, serving: list[str]) -> NasirError:
    """E711 for a role without a file; `serving` says what the files with its names do instead."""
    names = ", ".join(path.name for path in _usual(name, role))
    message = f"there is no {role} text: {names}"
    if serving:
        message = f"no {role} text is left: {', '.join(serving)}"
    hint = f"say which file serves: {name.kind}:{name.path},train=FILE,valid=FILE"
    return NasirError("E711", message, Where(str(name.path)), f"{hint} ({_present(name.path)})")


def _present(folder: Path) -> str:
    """What files a folder has, in words."""
    if not folder.is_dir():
        return f"there is no folder {quoted(str(folder))}"
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    if not names:
        return "the folder has no files"
    return f"the folder has {', '.join(names[:6])}{', …' if len(names) > 6 else ''}"


def _fingerprint(vocabulary: tuple[str, ...], texts: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256("\n".join(vocabulary).encode())
    for role in ROLES:
        numbers = texts.get(role)
        digest.update(f"\n{role} {-1 if numbers is None else len(numbers)}\n".encode())
        if numbers is not None:
            digest.update(numbers.numpy().tobytes())
    return digest.hexdigest()
