"""The handwritten digits that scikit-learn brings along: 1,797 pictures, 8 x 8."""

from importlib import import_module
from typing import Any

import torch

from nasir import NasirError
from runners.data.pictures import Pictures, PictureSet, statistics

_EVERY = 5
"""Every fifth picture is held out for tests."""


def load_digits() -> PictureSet:
    """The digits in three equal channels. Raises E501 where scikit-learn is not installed."""
    try:
        source: Any = import_module("sklearn.datasets")  # it ships no types
    except ImportError as error:
        hint = "pip install scikit-learn"
        message = "the data set 'digits' is part of scikit-learn, which is not installed"
        raise NasirError("E501", message, hint=hint) from error
    images, labels = source.load_digits(return_X_y=True)
    grey = torch.from_numpy(images).view(-1, 1, 8, 8) * (255 / 16)
    colours = grey.round().to(torch.uint8).repeat(1, 3, 1, 1)
    labels = torch.from_numpy(labels).long()
    held_out = torch.arange(len(labels)) % _EVERY == _EVERY - 1
    train = Pictures(colours[~held_out], labels[~held_out])
    test = Pictures(colours[held_out], labels[held_out])
    classes = tuple(str(digit) for digit in range(10))
    return PictureSet("digits", classes, train, test, *statistics(train.images))
