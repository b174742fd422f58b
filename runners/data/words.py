"""One text file as numbers of words, in the order in which words appear."""

from array import array
from pathlib import Path

import torch
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted

EOS = "<eos>"
UNKNOWN = "<unk>"

_BOM = b"\xef\xbb\xbf"


def read_words(path: Path, index: dict[str, int], limit: int | None = None) -> Tensor:
    """The words of the first `limit` tokens, int64, `<eos>` behind each line; extends `index`.

    Words are what blanks separate, as published: empty lines are an `<eos>` too. Raises E711 where
    the file cannot be read, E712 where it has no words, E713 where it is not UTF-8.
    """
    numbers = array("q")
    empty = True
    try:
        with path.open("rb") as stream:
            for line, raw in enumerate(stream, start=1):
                words = _decoded(raw, path, line).split()
                empty = empty and not words
                words.append(EOS)
                if limit is not None:
                    del words[max(limit - len(numbers), 0) :]
                numbers.extend([index.setdefault(word, len(index)) for word in words])
                if limit is not None and len(numbers) >= limit:
                    break
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"the text cannot be read: {reason}"
        raise NasirError("E711", message, Where(str(path))) from error
    if empty:
        raise NasirError("E712", "the text has no words", Where(str(path)))
    return torch.tensor(numbers, dtype=torch.int64)


def most_frequent(
    vocabulary: tuple[str, ...], train: Tensor, limit: int
) -> tuple[tuple[str, ...], Tensor]:
    """A vocabulary of `limit` words, and for each old number the new one; rare ones are `<unk>`.

    The words that are most frequent in `train` stay, of equally frequent ones the first, always
    `<eos>` and `<unk>`; they stay in order, and an `<unk>` that the texts do not have comes last.
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
    """A line as text. Raises E713."""
    raw = raw.removeprefix(_BOM) if line == 1 else raw
    at = raw.find(0)
    if at >= 0:
        message = "the file is binary: it has a byte 0"
        raise NasirError("E713", message, Where(str(path), line, at + 1))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise NasirError(
            "E713",
            f"the text is not UTF-8: byte {quoted(f'0x{raw[error.start]:02x}')}",
            Where(str(path), line, len(raw[: error.start].decode()) + 1),
            hint="convert it, for example with iconv -t UTF-8",
        ) from error
