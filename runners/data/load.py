"""Data sets by name: published files with checksums, digits, and `.npz` files."""

import hashlib
import pickle
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from nasir.lazy import import_optional
from runners.benchmarks.files import FileBudget
from runners.data.folders import (
    ARCHIVES,
    cached,
    is_image,
    read_folder,
    read_imagenet,
    stat_hash,
    tar_files,
)
from runners.data.images import (
    ImageSet,
    ImageTensors,
    Statistics,
    interleave,
)
from runners.data.name import FOLDERS, DataName, parse_images
from runners.machine.device import distinct

Array = NDArray[np.generic]

_CHANNELS = range(1, 5)

DIGITS_TEST = 297
"""The last of the 1,797 digits are held out as test images."""

_TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"))
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"))


def load_images(text: str) -> ImageSet:
    """Reads the image data set of an argument (see `parse_images`). Nothing is downloaded."""
    name = parse_images(text)
    _check_reachable(name)
    return _read(name).checked(Where(str(name.path or name.kind)))


def _check_reachable(name: DataName) -> None:
    """Raises an error if the system denies access to the path; readers report missing files."""
    try:
        if name.path is not None:
            name.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        message = f"the data cannot be reached: {error.strerror}"
        raise NasirError("E701", message, Where(str(name.path))) from error


def _read(name: DataName) -> ImageSet:
    if name.path is None:
        return read_digits()
    if name.kind == "npz":
        return read_npz(name.path)
    if name.kind == "imagenet":
        return read_imagenet(name)
    if name.kind in STATISTICS:
        return read_official(name)
    return read_folder(name.path, name.resolution)


def read_digits() -> ImageSet:
    """Reads 1,797 handwritten digits of 8x8 pixels, in three equal channels."""
    source = import_optional("sklearn.datasets")  # it has no types
    values, targets = source.load_digits(return_X_y=True)
    grey = torch.as_tensor(values).view(-1, 1, 8, 8) * (255 / 16)
    images = grey.round().to(torch.uint8).repeat(1, 3, 1, 1)
    labels = torch.as_tensor(targets).to(torch.int64)
    cut = len(labels) - DIGITS_TEST
    parts = ((images[:cut], labels[:cut]), (images[cut:], labels[cut:]))
    return ImageSet("digits", _numbers(10), [ImageTensors(*part) for part in parts])


def read_npz(path: Path) -> ImageSet:
    """Reads the images of an .npz file.

    Its arrays are `x_train` and `y_train` (or `train_images` and `train_labels`, or `images` and
    `labels`), optionally `x_test` and `y_test` (or `test_images` and `test_labels`) and `classes`,
    their names. Images are bytes, (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 to 4 channels.
    Training images sorted by class are interleaved, so that halves have all classes.
    """
    arrays = _arrays(path)
    train, test = (_part(path, arrays, names) for names in (_TRAIN, _TEST))
    if train is None:
        found = ", ".join(sorted(arrays)) or "none"
        raise _bad(path, f"there are no arrays x_train and y_train; there are: {found}")
    labels = train.labels
    if len(labels) and bool((labels[1:] >= labels[:-1]).all()) and int(labels[0]) >= 0:
        order = interleave(labels)
        train = ImageTensors(train.images[order], labels[order])
    parts = [train] if test is None else [train, test]
    if "classes" in arrays:
        return ImageSet(path.stem, tuple(map(str, arrays["classes"].reshape(-1))), parts)
    labels = torch.cat([part.labels for part in parts])
    return ImageSet(path.stem, _numbers(len(distinct(labels[labels >= 0]))), parts)


def _arrays(path: Path) -> Mapping[str, Array]:
    if not path.is_file():
        raise NasirError("E701", "the data is not there", Where(str(path)))
    try:
        with path.open("rb") as stream:  # NumPy leaves it open after a failure
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
    # NumPy parses a header as Python: exceptions for damaged bytes have no common class.
    except Exception as error:
        raise _bad(path, f"the arrays cannot be read: {quoted(str(error), 200)}") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise _bad(path, f"{quoted(name)} is not an array")
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


def _bad(path: Path, message: str) -> NasirError:
    hint = "numpy.savez(path, x_train=bytes (N, H, W, 3), y_train=labels (N,))"
    return NasirError("E702", message, Where(str(path)), hint)


_OPS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
"""Ops that torchvision describes on import, even if its compiled part is missing."""

_declared: list[torch.library.Library] = []
"""Declarations exist as long as these objects."""


def import_torchvision(module: str = "torchvision") -> Any:
    """Imports a module of torchvision, even if its compiled part does not match torch.

    Its CUDA build cannot load its compiled part with a CPU torch, and the import then fails on ops
    that are not declared. In that case they are declared here; calling one is an error. Raises an
    error if torchvision is missing or its import fails otherwise.
    """
    try:
        return import_module(module)
    except Exception as error:  # a broken installation may raise anything
        reason = error
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    if "operator torchvision::" in str(reason):
        _declare()
        return import_module(module)
    hint = f"pip install torchvision, the release that requires torch {torch.__version__}"
    raise NasirError("E501", f"torchvision cannot be imported: {reason}", hint=hint) from reason


def declared() -> bool:
    """Whether torchvision's ops had to be declared, as its compiled part is missing."""
    return bool(_declared)


def _declare() -> None:
    library: Any = torch.library.Library("torchvision", "FRAGMENT")
    _declared.append(library)
    for schema in _OPS:
        name = schema.partition("(")[0]
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)


STATISTICS: Mapping[str, Statistics] = {
    "cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "imagenet16-120": (
        (122.68 / 255, 116.66 / 255, 104.01 / 255),
        (63.22 / 255, 61.26 / 255, 65.09 / 255),
    ),
}
"""As published: CIFAR-100's and SVHN's by SmoothDARTS, ImageNet16-120's by AutoDL-Projects."""

AUTODL: Mapping[str, Statistics] = {
    "cifar10": (
        (125.3 / 255, 123.0 / 255, 113.9 / 255),
        (63.0 / 255, 62.1 / 255, 66.7 / 255),
    ),
    "cifar100": (
        (129.3 / 255, 124.1 / 255, 112.4 / 255),
        (68.2 / 255, 65.4 / 255, 70.4 / 255),
    ),
}
"""By data set, where AutoDL-Projects (NAS-Bench-201) differs."""

IMAGENET16_CLASSES = 120
"""The first 120 of 1,000 classes."""

IMAGENET16 = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
    "val_data": "3410e3017fdaefba8d5073aaa65e4bd6",
}
"""MD5 by file, from AutoDL-Projects' loader; torchvision has the others."""

_SUBFOLDERS = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def read_official(name: DataName) -> ImageSet:
    """Reads the published files or, for CIFAR, image files in `train/CLASS` and `test/CLASS`.

    Compares published checksums before reading anything else. Decoded images are kept in the user's
    cache. Raises an error for damaged files; for image files as `read_folder`.
    """
    path, statistics = name.location, STATISTICS[name.kind]
    if name.kind in _SUBFOLDERS and _holds_images(path):
        return replace(read_folder(path, name.resolution), name=name.kind, statistics=statistics)
    below = path / _SUBFOLDERS.get(name.kind, "")
    found = below if below.is_dir() else path
    try:
        files = sorted(found.iterdir()) if found.is_dir() else [path] * path.exists()
        images = cached(path, name.kind, stat_hash(path, files), lambda: _published(name, found))
    except OSError as error:
        message = f"the data cannot be read: {error.strerror}"
        raise NasirError("E604", message, Where(str(error.filename or path))) from error
    images = replace(images, name=name.kind, statistics=statistics)
    return images if name.resolution is None else images.resized(name.resolution)


def checksums(kind: str) -> dict[str, str]:
    """Returns the published MD5 of each required file, by name."""
    if kind == "imagenet16-120":
        return IMAGENET16
    sets = import_torchvision("torchvision.datasets")
    if kind == "svhn":
        return {file: md5 for _, file, md5 in map(sets.SVHN.split_list.get, ("train", "test"))}
    cifar = getattr(sets, kind.upper())
    files = dict(cifar.train_list + cifar.test_list)
    return files | {cifar.meta["filename"]: cifar.meta["md5"]}


def _published(name: DataName, path: Path) -> ImageSet:
    published = checksums(name.kind)
    with TemporaryDirectory(prefix="nasir-") as unpacked:
        folder = path
        if path.is_file():
            folder = Path(unpacked)
            for file, content in tar_files(path, lambda file: file.name in published):
                (folder / file.name).write_bytes(content)
        for file in published:
            if not (folder / file).is_file():
                raise _missing(name, file)
        for file, expected in published.items():
            _check(folder / file, path / file, expected)
        # NumPy warns about types in pickles of its first versions.
        with warnings.catch_warnings(action="ignore"):
            return _READERS[name.kind](name.kind, folder)


def _check(file: Path, place: Path, expected: str) -> None:
    """Raises an error that names `place`, unless the file is the published one."""
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != expected:
        message = f"this is not the published file: its MD5 is {found}, not {expected}"
        hint = "copy it again; images of your own go into a folder, imagefolder:PATH with "
        raise NasirError("E604", message, Where(str(place)), hint + "CLASS/*.png, or an .npz file")


def _cifar(kind: str, folder: Path) -> ImageSet:
    sets = import_torchvision("torchvision.datasets")
    local = type("Local", (getattr(sets, kind.upper()),), {"base_folder": ""})
    found = [local(folder, train=train) for train in (True, False)]
    parts = [_tensors(np.moveaxis(part.data, 3, 1), part.targets) for part in found]
    return ImageSet(kind, tuple(found[0].classes), parts)


def _svhn(kind: str, folder: Path) -> ImageSet:
    """Reads `train` without `extra`, as in every published search."""
    sets = import_torchvision("torchvision.datasets")
    found = [sets.SVHN(folder, split) for split in ("train", "test")]
    return ImageSet(kind, _numbers(10), [_tensors(part.data, part.labels) for part in found])


def _imagenet16(kind: str, folder: Path) -> ImageSet:
    """Reads labels 1 to 120 of 1,000; label 1 becomes 0."""
    *train, test = (pickle.loads((folder / file).read_bytes()) for file in IMAGENET16)
    parts: list[ImageTensors] = []
    for batches in (train, [test]):
        images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 16, 16)
        labels = np.concatenate([batch["labels"] for batch in batches])
        kept = labels <= IMAGENET16_CLASSES
        parts.append(_tensors(images[kept], labels[kept] - 1))
    return ImageSet(kind, _numbers(IMAGENET16_CLASSES), parts)


_READERS: Mapping[str, Callable[[str, Path], ImageSet]] = {
    "cifar10": _cifar,
    "cifar100": _cifar,
    "svhn": _svhn,
    "imagenet16-120": _imagenet16,
}


def _tensors(images: Any, labels: Any) -> ImageTensors:
    images = torch.as_tensor(np.ascontiguousarray(images))
    return ImageTensors(images, torch.as_tensor(labels, dtype=torch.int64))


def _numbers(count: int) -> tuple[str, ...]:
    """Returns numbers as names of classes."""
    return tuple(map(str, range(count)))


def _holds_images(path: Path) -> bool:
    """Whether an archive starts with an image, or a folder has a `train` folder."""
    if path.is_dir():
        return (path / "train").is_dir()
    if not path.is_file() or not path.name.lower().endswith(ARCHIVES):
        return False
    if path.name.lower().endswith(".zip"):
        return True
    first = next(tar_files(path, lambda _: True), None)
    return first is not None and is_image(first[0])


def _missing(name: DataName, file: str) -> NasirError:
    path = name.location
    message = f"the file '{file}' is not there" if path.exists() else "the data is not there"
    hint = f"{name.kind}:PATH with {FOLDERS[name.kind]}"
    return NasirError("E701", f"{message}; nothing is downloaded", Where(str(path)), hint)
