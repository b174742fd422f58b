"""Data sets by name, and batches of them."""

from runners.data.batches import Augment, Batches, Dealing, Jitter, Order
from runners.data.images import ImageSet, ImageTensors, halves, statistics
from runners.data.load import load_images
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
    "ImageSet",
    "ImageTensors",
    "Jitter",
    "Order",
    "TextName",
    "absolute",
    "halves",
    "is_text",
    "load_images",
    "load_text",
    "parse_data",
    "parse_text",
    "statistics",
]
