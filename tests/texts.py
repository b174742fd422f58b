"""Texts that tests make: numbers of words, without files."""

import torch

from runners.data.text import Corpus
from runners.machine.device import Place
from runners.task.language import Dropout, Language, LanguageOptions

USED = 5
"""How many different words a text has."""

STILL = Dropout(0, 0, 0, 0, 0)
"""No dropout."""


def corpus(train: int = 700, valid: int = 300, vocabulary: int = 50) -> Corpus:
    """A text of few of its words, in which the next follows from the last one 9 times in 10."""
    source = torch.Generator().manual_seed(0)
    length = train + valid
    chance = torch.rand(length, generator=source)
    other = torch.randint(USED, (length,), generator=source)
    numbers = [0]
    for at in range(1, length):
        follows = bool(chance[at] < 0.9)
        numbers.append((numbers[-1] + 3) % USED if follows else int(other[at]))
    text = torch.tensor(numbers)
    words = tuple(f"w{number}" for number in range(vocabulary))
    return Corpus("text", words, text[:train], text[train:], None, "f")


def counting(train: int = 100, valid: int = 60) -> Corpus:
    """Words that are their own places, so that a window shows where it was cut."""
    words = tuple(map(str, range(train + valid)))
    return Corpus("text", words, torch.arange(train), torch.arange(valid), None, "f")


def task(data: Corpus, place: Place | None = None, **options: object) -> Language:
    """The language task with these options; batch 4 unless said."""
    given = LanguageOptions(**({"batch": 4} | options))  # pyright: ignore[reportArgumentType]
    return Language(data, given, place or Place())
