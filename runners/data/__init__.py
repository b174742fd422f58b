"""Data sets: the room's one door."""

from runners.data.augment import Augment
from runners.data.batches import Batches, Dealing
from runners.data.load import load_pictures
from runners.data.name import DataName, parse_data
from runners.data.pictures import Pictures, PictureSet, statistics
from runners.data.split import halves

__all__ = [
    "Augment",
    "Batches",
    "DataName",
    "Dealing",
    "PictureSet",
    "Pictures",
    "halves",
    "load_pictures",
    "parse_data",
    "statistics",
]
