"""Texts that tests make: numbers of words, without files."""

from typing import Any

import torch

from runners.data.text import Corpus
from runners.experiment.recipe import Text, Train
from runners.machine.device import Place
from runners.task.language import Language, Lengths, two_lengths

USED = 5
"""How many different words a text has."""

STILL = dict.fromkeys(("output", "state", "input", "embedded", "words"), 0.0)
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


def halves(full: float) -> Lengths:
    """Windows of the usual length with that probability, else half of it."""

    def lengths(bptt: int, rows: int, source: torch.Generator) -> torch.Tensor:
        whole = torch.rand(rows // (bptt // 2) + 1, generator=source) < full
        return torch.where(whole, bptt, bptt // 2)

    return lengths


def task(
    data: Corpus,
    place: Place | None = None,
    lengths: Lengths = two_lengths,
    train: Train | None = None,
    **text: float,
) -> Language:
    """The language task of a search with these options; batch 4 unless said."""
    options: dict[str, Any] = {"words": 0.0} | text
    train = train or Train(batch=4, slowness=1e-3)
    return Language(data, Text(**options), train, place or Place(), 0, lengths)
