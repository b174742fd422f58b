"""Data sets: the room's one door."""

from runners.data.augment import Augment
from runners.data.batches import Batches, Dealing
from runners.data.load import load_pictures
from runners.data.name import DataName, parse_data
from runners.data.pictures import Pictures, PictureSet, statistics
from runners.data.split import halves
from runners.data.text import Corpus, TextName, is_text, load_text, parse_text


def absolute(text: str) -> str:
    """The text of a data argument with an absolute path. Raises E701 and E711."""
    return (parse_text(text) if is_text(text) else parse_data(text)).resolved().text


__all__ = [
    "Augment",
    "Batches",
    "Corpus",
    "DataName",
    "Dealing",
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
