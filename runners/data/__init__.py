"""Data sets: the room's one door."""

from runners.data.augment import Augment
from runners.data.batches import Batches, Dealing, Order
from runners.data.colour import Jitter
from runners.data.load import load_pictures
from runners.data.name import DataName, parse_data
from runners.data.official import AUTODL
from runners.data.pictures import Pictures, PictureSet, statistics
from runners.data.split import halves
from runners.data.text import Corpus, load_text
from runners.data.text_name import TextName, is_text, parse_text
from runners.data.where import absolute

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
