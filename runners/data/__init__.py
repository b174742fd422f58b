"""Data sets: the room's one door."""

from runners.data.augment import Augment
from runners.data.batches import Batches, Sampling, View
from runners.data.load import load_pictures
from runners.data.names import DataName, parse_data
from runners.data.pictures import Pictures, PictureSet
from runners.data.split import halves

__all__ = [
    "Augment",
    "Batches",
    "DataName",
    "PictureSet",
    "Pictures",
    "Sampling",
    "View",
    "halves",
    "load_pictures",
    "parse_data",
]
