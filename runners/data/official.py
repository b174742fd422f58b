"""The official files of CIFAR-10, CIFAR-100, SVHN and ImageNet16-120."""

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.data.files import ARCHIVES, is_picture, tar_files
from runners.data.folders import Report, read_folder
from runners.data.matlab import matlab_arrays
from runners.data.name import FOLDERS, DataName
from runners.data.pickled import Batch, damaged, entry, read_batch
from runners.data.pictures import Pictures, Raw

# As published: CIFAR-100's and SVHN's by SmoothDARTS, ImageNet16-120's by AutoDL-Projects.
CIFAR10 = ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))
CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
SVHN = ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))
IMAGENET16 = (
    (122.68 / 255, 116.66 / 255, 104.01 / 255),
    (63.22 / 255, 61.26 / 255, 65.09 / 255),
)

AUTODL = {
    "cifar10": (
        (125.3 / 255, 123.0 / 255, 113.9 / 255),
        (63.0 / 255, 62.1 / 255, 66.7 / 255),
    ),
    "cifar100": (
        (129.3 / 255, 124.1 / 255, 112.4 / 255),
        (68.2 / 255, 65.4 / 255, 70.4 / 255),
    ),
}
"""By data set, where the figures of AutoDL-Projects (NAS-Bench-201) are others."""

IMAGENET16_CLASSES = 120
"""The first ones of the thousand."""


@dataclass(frozen=True, slots=True)
class _Form:
    """The side of pickled pictures, and their least and greatest label."""

    side: int
    labels: tuple[int, int]


_CIFAR10, _CIFAR100 = _Form(32, (0, 9)), _Form(32, (0, 99))
_IMAGENET16 = _Form(16, (1, 1000))
_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"


def _cifar10(name: DataName, report: Report | None) -> Raw:
    path = _path(name)
    if _holds_pictures(path):
        raw = read_folder(path, name.resolution, report)
        return replace(raw, name="cifar10", statistics=CIFAR10)
    files = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    parts = [_pictures(batch, "labels", place, _CIFAR10) for batch, place in _batches(name, files)]
    return Raw("cifar10", tuple(_CIFAR10_CLASSES.split()), _joined(parts[:5]), parts[5], CIFAR10)


def _cifar100(name: DataName, report: Report | None) -> Raw:
    path = _path(name)
    if _holds_pictures(path):
        raw = read_folder(path, name.resolution, report)
        return replace(raw, name="cifar100", statistics=CIFAR100)
    train, test, (meta, place) = _batches(name, ["train", "test", "meta"])
    names = [_text(label) for label in entry(meta, "fine_label_names", place)]
    parts = [_pictures(batch, "fine_labels", place, _CIFAR100) for batch, place in (train, test)]
    return Raw("cifar100", tuple(names), parts[0], parts[1], CIFAR100)


def _imagenet16(name: DataName, report: Report | None) -> Raw:
    """Labels 1 to 120 of the 1,000; label 1 becomes 0."""
    del report
    files = [*(f"train_data_batch_{number}" for number in range(1, 11)), "val_data"]
    parts: list[Pictures] = []
    for batch, place in _batches(name, files):
        part = _pictures(batch, "labels", place, _IMAGENET16)
        kept = part.labels <= IMAGENET16_CLASSES
        parts.append(Pictures(part.images[kept], part.labels[kept] - 1))
    classes = tuple(str(number) for number in range(IMAGENET16_CLASSES))
    return Raw("imagenet16-120", classes, _joined(parts[:-1]), parts[-1], IMAGENET16)


def _svhn(name: DataName, report: Report | None) -> Raw:
    """`train` without `extra`, as in every published search; label 10 is the digit 0."""
    del report
    parts: list[Pictures] = []
    for split in ("train", "test"):
        path = _file(name, f"{split}_32x32.mat")
        try:
            found = matlab_arrays(path.read_bytes(), path)
        except (ValueError, EOFError, struct.error, zlib.error, MemoryError, OSError) as error:
            raise damaged(path, str(error)) from error
        images = entry(found, "X", path)
        if images.dtype != np.uint8 or images.shape[:3] != (32, 32, 3) or images.ndim != 4:
            message = f"X is {images.dtype} {images.shape}, not bytes (32, 32, 3, N)"
            raise damaged(path, message)
        labels = _labels(entry(found, "y", path), (1, 10), path)
        images = torch.as_tensor(np.ascontiguousarray(images.transpose(3, 2, 0, 1)))
        parts.append(_paired(images, labels % 10, path))
    classes = tuple(str(digit) for digit in range(10))
    return Raw("svhn", classes, parts[0], parts[1], SVHN)


READERS: Mapping[str, Callable[[DataName, Report | None], Raw]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "svhn": _svhn,
    "imagenet16-120": _imagenet16,
}
"""By kind of data."""


def _pictures(batch: Batch, labels: str, place: Path, form: _Form) -> Pictures:
    """Rows of bytes by channel, row and column. Raises E706, E709."""
    rows = entry(batch, "data", place)
    length = 3 * form.side**2
    if not isinstance(rows, np.ndarray):
        raise damaged(place, f"data is {type(rows).__name__}, not an array")
    array = cast("NDArray[Any]", rows)
    if array.dtype != np.uint8 or array.shape[1:] != (length,):
        raise damaged(place, f"data is {array.dtype} {array.shape}, not bytes (N, {length})")
    images = torch.as_tensor(array.copy()).view(-1, 3, form.side, form.side)
    return _paired(images, _labels(entry(batch, labels, place), form.labels, place), place)


def _labels(values: Iterable[Any], ends: tuple[int, int], place: Path) -> torch.Tensor:
    """int64 (N,) of whole numbers in any form. Raises E706 for one beyond the ends, E709."""
    try:
        # A list in a list may stand in it many times.
        if not isinstance(values, np.ndarray) and any(
            hasattr(value, "__len__") for value in values
        ):
            raise ValueError("labels are no list of numbers")
        numbers: NDArray[Any] = np.asarray(values).reshape(-1)
        labels = numbers.astype(np.int64)
        if not np.array_equal(labels, numbers):
            raise ValueError("labels are not whole numbers")
    except (ValueError, TypeError, OverflowError) as error:
        raise damaged(place, str(error)) from error
    wrong = labels[(labels < ends[0]) | (labels > ends[1])]
    if len(wrong):
        message = f"there is a label {wrong[0]}; they go from {ends[0]} to {ends[1]}"
        raise NasirError("E706", message, Where(str(place)))
    return torch.as_tensor(labels)


def _paired(images: torch.Tensor, labels: torch.Tensor, place: Path) -> Pictures:
    if len(images) != len(labels):
        raise damaged(place, f"it holds {len(images)} pictures and {len(labels)} labels")
    return Pictures(images, labels)


def _joined(parts: list[Pictures]) -> Pictures:
    images = torch.cat([part.images for part in parts])
    return Pictures(images, torch.cat([part.labels for part in parts]))


def _batches(name: DataName, files: list[str]) -> Iterable[tuple[Batch, Path]]:
    """Each file's mapping and place, one at a time. Raises E603, E701, E709."""
    path = _path(name)
    if path.is_file():
        contents = _members(path, files)
        for file in files:
            if file not in contents:
                raise _missing(name, file)
            yield read_batch(contents[file], path / file), path / file
        return
    places = [_file(name, file) for file in files]
    for place in places:
        yield read_batch(place.read_bytes(), place), place


def _members(path: Path, files: list[str]) -> dict[str, bytes]:
    found = tar_files(path, lambda name: name.name in files)
    return {name.name: content for name, content in found}


def _holds_pictures(path: Path) -> bool:
    """Whether an archive begins with a picture, or a folder holds folders of splits."""
    if path.is_dir():
        return (path / "train").is_dir()
    if not path.is_file() or not path.name.lower().endswith(ARCHIVES):
        return False
    if path.name.lower().endswith(".zip"):
        return True
    first = next(tar_files(path, lambda _: True), None)
    return first is not None and is_picture(first[0])


def _file(name: DataName, file: str) -> Path:
    """Where a file is: in the folder, or in the one that the official archive unpacks into."""
    path = _path(name)
    for folder in (path, path / "cifar-10-batches-py", path / "cifar-100-python"):
        if (folder / file).is_file():
            return folder / file
    raise _missing(name, file)


def _missing(name: DataName, file: str) -> NasirError:
    path = _path(name)
    message = f"the file '{file}' is not there" if path.exists() else "the data is not there"
    hint = f"{name.kind}:PATH with {FOLDERS[name.kind]}"
    return NasirError("E701", f"{message}; nothing is downloaded", Where(str(path)), hint)


def _path(name: DataName) -> Path:
    assert name.path is not None, "a name that parse_data has let through"
    return name.path


def _text(label: object) -> str:
    return label.decode("latin1") if isinstance(label, bytes) else quoted(label).strip("'")
