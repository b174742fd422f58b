"""Pictures in a NumPy archive."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir import NasirError, Where
from runners.data.pictures import Pictures, PictureSet, statistics
from runners.data.split import mixed

Array = NDArray[np.generic]

_TRAIN = (("images", "labels"), ("train_images", "train_labels"), ("x_train", "y_train"))
_TEST = (("test_images", "test_labels"), ("x_test", "y_test"))


def load_arrays(path: Path) -> PictureSet:
    """The pictures of an .npz file. Raises E701, E702, E703, E706.

    Its arrays are `images` and `labels` or `train_images` and `train_labels`, and perhaps
    `test_images`, `test_labels`, and `classes` (their names). Images are bytes: (N, H, W),
    (N, H, W, C) or (N, C, H, W); grey becomes three equal channels. Pictures sorted by class are
    mixed, so that halves of them hold all classes.
    """
    arrays = _read(path)
    train = _part(path, arrays, _TRAIN)
    if train is None:
        found = ", ".join(sorted(arrays)) or "none"
        raise _bad(path, f"no arrays 'images' and 'labels'; it has: {found}")
    test = _part(path, arrays, _TEST)
    classes = _classes(path, arrays, train, test)
    if bool((train.labels[1:] >= train.labels[:-1]).all()):
        order = mixed(train.labels)
        train = Pictures(train.images[order], train.labels[order])
    return PictureSet(path.stem, classes, train, test, *statistics(train.images))


def _read(path: Path) -> Mapping[str, Array]:
    if not path.is_file():
        raise NasirError("E701", "there is no such file", Where(str(path)))
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise _bad(path, f"it cannot be read: {error}") from error


def _part(
    path: Path, arrays: Mapping[str, Array], names: tuple[tuple[str, str], ...]
) -> Pictures | None:
    for images, labels in names:
        if images in arrays and labels in arrays:
            part = Pictures(
                _images(path, images, arrays[images]), _labels(path, labels, arrays[labels])
            )
            if len(part.images) != len(part.labels):
                counts = f"{len(part.images)} pictures and {len(part.labels)} labels"
                raise _bad(path, f"'{images}' and '{labels}' hold {counts}")
            if not len(part):
                raise NasirError("E702", f"'{images}' holds no pictures", Where(str(path)))
            return part
    return None


def _images(path: Path, name: str, array: Array) -> Tensor:
    if array.dtype != np.uint8:
        raise _bad(path, f"'{name}' has the type {array.dtype}, not uint8")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise _bad(path, f"'{name}' has the shape {array.shape}, not (N, H, W, C)")
    if array.shape[1] not in (1, 3):
        if array.shape[3] not in (1, 3):
            raise _bad(path, f"'{name}' has the shape {array.shape}: neither 1 nor 3 channels")
        array = np.moveaxis(array, 3, 1)
    images = torch.from_numpy(np.ascontiguousarray(array))
    return images.repeat(1, 3, 1, 1) if images.shape[1] == 1 else images


def _labels(path: Path, name: str, array: Array) -> Tensor:
    if not np.issubdtype(array.dtype, np.integer):
        raise _bad(path, f"'{name}' has the type {array.dtype}, not integers")
    if array.size != len(array):
        raise _bad(path, f"'{name}' has the shape {array.shape}, not (N,)")
    labels = torch.from_numpy(array.reshape(-1).astype(np.int64))
    if len(labels) and int(labels.min()) < 0:
        raise _bad(path, f"'{name}' holds the label {int(labels.min())}")
    return labels


def _classes(
    path: Path, arrays: Mapping[str, Array], train: Pictures, test: Pictures | None
) -> tuple[str, ...]:
    if len(train.labels.unique()) < 2:
        raise NasirError("E703", "all training pictures have one label", Where(str(path)))
    largest = max(int(part.labels.max()) for part in (train, test) if part is not None)
    if "classes" not in arrays:
        if largest >= len(train):
            raise _bad(path, f"the label {largest} among {len(train)} pictures")
        return tuple(str(label) for label in range(largest + 1))
    classes = tuple(str(name) for name in arrays["classes"].reshape(-1))
    if largest >= len(classes):
        raise _bad(path, f"'classes' holds {len(classes)} names, but a label is {largest}")
    return classes


def _bad(path: Path, message: str) -> NasirError:
    hint = "numpy.savez(path, images=bytes of (N, H, W, 3), labels=integers of (N,))"
    return NasirError("E706", message, Where(str(path)), hint)
