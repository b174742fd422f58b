"""The official files of CIFAR-10, CIFAR-100, SVHN and ImageNet16-120."""

import pickle
import tarfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from nasir import NasirError, Where
from runners.arrays import tensor_of
from runners.data.folders import Report, read_folder
from runners.data.name import FOLDERS, DataName
from runners.data.pictures import Pictures, Raw

# Means and deviations as published; CIFAR-100's and SVHN's are those of SmoothDARTS's code.
CIFAR10 = ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))
CIFAR100 = ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762))
SVHN = ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970))
IMAGENET16 = (
    (122.68 / 255, 116.66 / 255, 104.01 / 255),
    (63.22 / 255, 61.26 / 255, 65.09 / 255),
)
CIFAR10_CLASSES = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]  # fmt: skip
IMAGENET16_CLASSES = 120
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _Arrays(pickle.Unpickler):
    """Reads containers, numbers, text and arrays, and nothing that runs."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Raises UnpicklingError for anything else."""
        if (module_name, global_name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")
        return super().find_class(module_name.replace("numpy.core", "numpy._core"), global_name)


def _cifar10(name: DataName, report: Report | None) -> Raw:
    assert name.path is not None
    if not _has(name.path, "data_batch_1"):
        raw = read_folder(name.path, name.resolution, report)
        return Raw("cifar10", raw.classes, raw.train, raw.test, *CIFAR10)
    rows = _pickles(name, [f"data_batch_{number}" for number in range(1, 6)], b"labels")
    test = _pickles(name, ["test_batch"], b"labels")
    return Raw("cifar10", CIFAR10_CLASSES, rows, test, *CIFAR10)


def _cifar100(name: DataName, report: Report | None) -> Raw:
    del report
    train = _pickles(name, ["train"], b"fine_labels")
    test = _pickles(name, ["test"], b"fine_labels")
    return Raw("cifar100", tuple(str(n) for n in range(100)), train, test, *CIFAR100)


def _imagenet16(name: DataName, report: Report | None) -> Raw:
    """Labels 1 to 120 of the 1,000, shifted to 0 to 119."""
    del report
    files = [f"train_data_batch_{number}" for number in range(1, 11)]
    train = _pickles(name, files, b"labels", side=16)
    test = _pickles(name, ["val_data"], b"labels", side=16)
    train, test = _first(train, IMAGENET16_CLASSES), _first(test, IMAGENET16_CLASSES)
    classes = tuple(str(number) for number in range(IMAGENET16_CLASSES))
    return Raw("imagenet16-120", classes, train, test, *IMAGENET16)


def _first(part: Pictures, classes: int) -> Pictures:
    chosen = (part.labels >= 1) & (part.labels <= classes)
    return Pictures(part.images[chosen], part.labels[chosen] - 1)


def _svhn(name: DataName, report: Report | None) -> Raw:
    """The split `train` without `extra`, as all published searches do; label 10 is digit 0."""
    del report
    io: Any = import_module("scipy.io")
    parts: list[Pictures] = []
    for split in ("train", "test"):
        path = _file(name, f"{split}_32x32.mat")
        try:
            found: Any = io.loadmat(path)
            images = tensor_of(np.ascontiguousarray(found["X"].transpose(3, 2, 0, 1)))
            labels = tensor_of(found["y"].reshape(-1).astype(np.int64)) % 10
        except (ValueError, KeyError, OSError, TypeError) as error:
            raise _damaged(path, error) from None
        parts.append(Pictures(images, labels))
    return Raw("svhn", tuple(str(digit) for digit in range(10)), parts[0], parts[1], *SVHN)


def _pickles(name: DataName, files: list[str], labels: bytes, side: int = 32) -> Pictures:
    """The pictures of several pickled batches, one after the other. Raises E701, E709."""
    images: list[np.ndarray] = []
    found: list[int] = []
    for file in files:
        batch = _batch(name, file)
        rows = np.asarray(_entry(batch, b"data", name, file), dtype=np.uint8)
        images.append(rows.reshape(-1, 3, side, side))
        found += [int(label) for label in _entry(batch, labels, name, file)]
    return Pictures(tensor_of(np.concatenate(images)), torch.tensor(found))


def _entry(batch: Mapping[Any, Any], key: bytes, name: DataName, file: str) -> Any:
    for known in (key, key.decode()):
        if known in batch:
            return batch[known]
    where = Where(f"{name.path}/{file}")
    raise NasirError("E709", f"the batch has no entry '{key.decode()}'", where)


def _batch(name: DataName, file: str) -> Mapping[Any, Any]:
    assert name.path is not None
    path = name.path
    try:
        if path.is_file():
            with tarfile.open(path) as archive:
                wanted = [m for m in archive if m.name.rpartition("/")[2] == file and m.isfile()]
                if not wanted:
                    raise _missing(name, file)
                stream = archive.extractfile(wanted[0])
                assert stream is not None
                return _loaded(stream)
        with _file(name, file).open("rb") as stream:
            return _loaded(stream)
    except (pickle.UnpicklingError, EOFError, OSError, tarfile.TarError, ValueError) as error:
        raise _damaged(path / file, error) from None


def _loaded(stream: IO[bytes]) -> Mapping[Any, Any]:
    found: Any = _Arrays(stream, encoding="bytes").load()
    if not isinstance(found, dict):
        raise ValueError("it holds no mapping")
    return found  # pyright: ignore[reportUnknownVariableType]


def _has(path: Path, file: str) -> bool:
    """Whether official files are there: by name in a folder, by the archive's own name."""
    if path.is_dir():
        return any((folder / file).exists() for folder in _folders(path))
    return "python" in path.name


def _file(name: DataName, file: str) -> Path:
    assert name.path is not None
    for folder in _folders(name.path):
        if (folder / file).exists():
            return folder / file
    raise _missing(name, file)


def _folders(path: Path) -> list[Path]:
    """The folder itself, and the one that the official archive unpacks into."""
    return [path, path / "cifar-10-batches-py", path / "cifar-100-python"]


def _missing(name: DataName, file: str) -> NasirError:
    return NasirError(
        "E701",
        f"the file '{file}' is not there, and nothing is downloaded",
        Where(str(name.path)),
        hint=f"{name.kind}:PATH with {FOLDERS[name.kind]}",
    )


def _damaged(path: Path, error: Exception) -> NasirError:
    return NasirError("E709", f"the file is damaged: {error}", Where(str(path)))


READERS: Mapping[str, Callable[[DataName, Report | None], Raw]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "svhn": _svhn,
    "imagenet16-120": _imagenet16,
}
"""By kind of data."""
