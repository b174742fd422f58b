"""Data sets by name, and batches of them."""

from runners.data.augment import Augment
from runners.data.batches import Batches, Dealing, Order
from runners.data.colour import Jitter
from runners.data.images import Pictures, PictureSet, halves, statistics
from runners.data.load import load_pictures
from runners.data.name import DataName, TextName, absolute, is_text, parse_data, parse_text
from runners.data.official import AUTODL
from runners.data.text import Corpus, load_text

__all__ = [
    "AUTODL",
    "Augment",
    "Batches",
    "Corpus",
    "DataName",
    "Dealing",
    "Jitter",
    "Order",
    "PictureSet",
    "Pictures",
    "TextName",
    "absolute",
    "halves",
    "is_text",
    "load_pictures",
    "load_text",
    "parse_data",
    "parse_text",
    "statistics",
]
