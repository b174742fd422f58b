"""Data sets by name; `.npz` files, and scikit-learn's digits."""

import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.benchmarks.files import FileBudget
from runners.data.folders import read_folder, read_imagenet
from runners.data.images import ImageSet, ImageTensors, Raw, image_set, mixed
from runners.data.name import DataName, parse_data
from runners.data.official import STATISTICS, read_official
from runners.machine.device import distinct

Array = NDArray[np.generic]

_CHANNELS = range(1, 5)

DIGITS_TEST = 297
"""Of the 1,797 digits, the last ones are held back for testing."""

_TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"))
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"))


def read_digits() -> Raw:
    """1,797 handwritten digits of 8x8 pixels, in three equal channels. Raises E501."""
    try:
        source: Any = import_module("sklearn.datasets")  # it ships no types
    except ImportError as error:
        message = "the data 'digits' is part of scikit-learn, which is not installed"
        raise NasirError("E501", message, hint="pip install scikit-learn") from error
    values, targets = source.load_digits(return_X_y=True)
    grey = torch.as_tensor(values).view(-1, 1, 8, 8) * (255 / 16)
    images = grey.round().to(torch.uint8).repeat(1, 3, 1, 1)
    labels = torch.as_tensor(targets).to(torch.int64)
    cut = len(labels) - DIGITS_TEST
    train, test = ImageTensors(images[:cut], labels[:cut]), ImageTensors(images[cut:], labels[cut:])
    return Raw("digits", tuple(str(digit) for digit in range(10)), train, test)


def read_npz(path: Path) -> Raw:
    """The images of an .npz file. Raises E701, E703, E708.

    Its arrays are `x_train` and `y_train` (or `train_images` and `train_labels`, or `images` and
    `labels`), and perhaps `x_test` and `y_test` (or `test_images` and `test_labels`) and `classes`,
    their names. Images are bytes, (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels.
    Training images sorted by class are mixed, so that halves hold all classes.
    """
    arrays = _read(path)
    train = _part(path, arrays, _TRAIN)
    if train is None:
        found = ", ".join(sorted(arrays)) or "none"
        raise _bad(path, f"there are no arrays x_train and y_train; there are: {found}")
    test = _part(path, arrays, _TEST)
    if len(train) and _sorted(train.labels):
        order = mixed(train.labels)
        train = ImageTensors(train.images[order], train.labels[order])
    return Raw(path.stem, _classes(arrays, train, test), train, test)


def _read(path: Path) -> Mapping[str, Array]:
    if not path.is_file():
        raise NasirError("E701", "the data is not there", Where(str(path)))
    try:
        with path.open("rb") as stream:  # which NumPy leaves open where it fails
            if zipfile.is_zipfile(stream):
                budget = FileBudget(path)
                for member in zipfile.ZipFile(stream).infolist():
                    budget.spend(member.file_size)
            stream.seek(0)
            stored: Any = np.load(stream, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise _bad(path, "the file is a single array, not an archive of them")
            arrays: dict[str, Any] = {name: stored[name] for name in stored.files}
    except NasirError:
        raise
    # NumPy parses a header as Python: what that raises on changed bytes has no class in common.
    except Exception as error:
        raise _bad(path, f"the arrays cannot be read: {quoted(str(error), 200)}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise _bad(path, f"{quoted(name)} is no array")
    return arrays


def _part(
    path: Path, arrays: Mapping[str, Array], names: tuple[tuple[str, str], ...]
) -> ImageTensors | None:
    for name, other in names:
        if name not in arrays:
            continue
        if other not in arrays:
            raise _bad(path, f"there is an array {name}, but no {other}")
        images = _images(path, name, arrays[name])
        labels = _labels(path, other, arrays[other])
        if len(images) != len(labels):
            raise _bad(path, f"{name} has {len(images)} images, {other} {len(labels)} labels")
        return ImageTensors(images, labels)
    return None


def _images(path: Path, name: str, array: Array) -> Tensor:
    if array.dtype != np.uint8:
        raise _bad(path, f"{name} is {array.dtype}, not uint8")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4:
        raise _bad(path, f"{name} has the shape {array.shape}")
    if array.shape[3] in _CHANNELS and (
        array.shape[1] not in _CHANNELS or array.shape[1] == array.shape[2]
    ):
        array = np.moveaxis(array, 3, 1)
    if array.shape[1] not in _CHANNELS:
        raise _bad(path, f"{name} has the shape {array.shape}, so not 1 to 4 channels")
    return torch.as_tensor(np.ascontiguousarray(array))


def _labels(path: Path, name: str, array: Array) -> Tensor:
    if not np.issubdtype(array.dtype, np.integer):
        raise _bad(path, f"{name} is {array.dtype}, not integers")
    if array.ndim == 0 or array.size != len(array):
        raise _bad(path, f"{name} has the shape {array.shape}")
    return torch.as_tensor(array.reshape(-1).astype(np.int64))


def _sorted(labels: Tensor) -> bool:
    return bool((labels[1:] >= labels[:-1]).all()) and int(labels[0]) >= 0


def _classes(
    arrays: Mapping[str, Array], train: ImageTensors, test: ImageTensors | None
) -> tuple[str, ...]:
    if "classes" in arrays:
        return tuple(str(name) for name in arrays["classes"].reshape(-1))
    labels = torch.cat([part.labels for part in (train, test) if part is not None])
    count = len(distinct(labels[labels >= 0]))
    return tuple(str(label) for label in range(count))


def _bad(path: Path, message: str) -> NasirError:
    hint = "numpy.savez(path, x_train=bytes (N, H, W, 3), y_train=labels (N,))"
    return NasirError("E708", message, Where(str(path)), hint)


def load_images(text: str) -> ImageSet:
    """The data set that a text names; `parse_data` says how. Nothing is downloaded.

    Raises E501, E701 to E709.
    """
    name = parse_data(text)
    _check_reachable(name)
    if name.kind == "imagenet":
        return read_imagenet(name)
    return image_set(_raw(name), Where(str(name.path or name.kind)))


def _check_reachable(name: DataName) -> None:
    """Raises E701 where the system refuses the path; readers say what is not there."""
    try:
        if name.path is not None:
            name.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        message = f"the data cannot be reached: {error.strerror}"
        raise NasirError("E701", message, Where(str(name.path))) from error


def _raw(name: DataName) -> Raw:
    if name.path is None:
        return read_digits()
    if name.kind == "npz":
        return read_npz(name.path)
    if name.kind in STATISTICS:
        return read_official(name)
    return read_folder(name.path, name.resolution)
