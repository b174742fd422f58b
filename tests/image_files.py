"""Images, archives and data sets for tests, written in the formats of the originals."""

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nasir import NasirError
from runners.data.load import IMAGENET16, import_torchvision, load_images

CLASSES = ("ant", "bee", "cat")


def image_file(value: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A PNG file, all of whose pixels are (value, 0, 255 - value)."""
    stream = io.BytesIO()
    Image.new("RGB", size, (value, 0, 255 - value)).save(stream, "PNG")
    return stream.getvalue()


def tree(counts: tuple[int, ...] = (4, 4, 4)) -> dict[str, bytes]:
    """Files of train/CLASS and test/CLASS; images of class c have the values 100 c + number."""
    files: dict[str, bytes] = {}
    for number, (label, count) in enumerate(zip(CLASSES, counts, strict=True)):
        for i in range(count):
            files[f"train/{label}/{label}{i:02d}.png"] = image_file(100 * number + i)
        files[f"test/{label}/x.png"] = image_file(100 * number + 50)
    return files


def write_tree(folder: Path, files: dict[str, bytes]) -> Path:
    """The files in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    """The files in a tar archive."""
    with tarfile.open(path, mode) as archive:  # pyright: ignore[reportCallIssue, reportArgumentType]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """The files in a zip archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def rows(count: int, side: int, seed: int) -> np.ndarray:
    """Bytes (N, 3 · side · side) as CIFAR's batches hold them."""
    return np.random.default_rng(seed).integers(0, 256, (count, 3 * side * side), np.uint8)


def cifar10_files(protocol: int = 2) -> dict[str, bytes]:
    """Five batches of four images and a test batch of two."""
    files: dict[str, bytes] = {}
    for number in range(1, 6):
        batch = {"data": rows(4, 32, number), "labels": [number, 0, 9, number]}
        files[f"data_batch_{number}"] = pickle.dumps(batch, protocol)
    test = {"data": rows(2, 32, 9), "labels": [3, 4]}
    files["test_batch"] = pickle.dumps(test, protocol)
    names = [*(f"thing{number}" for number in range(9)), "truck"]
    files["batches.meta"] = pickle.dumps({"label_names": names}, protocol)
    return files


def cifar100_files() -> dict[str, bytes]:
    """Three training images, two for tests, and the names of the classes."""
    names = [f"thing{number}" for number in range(100)]
    parts = {
        "train": {"data": rows(3, 32, 1), "fine_labels": [0, 99, 5], "coarse_labels": [1, 2, 3]},
        "test": {"data": rows(2, 32, 2), "fine_labels": [7, 8], "coarse_labels": [1, 1]},
        "meta": {"fine_label_names": names},
    }
    return {name: pickle.dumps(part, 2) for name, part in parts.items()}


def imagenet16_files() -> dict[str, bytes]:
    """Ten batches of three images, two of them of the first 120 classes, and a test batch."""
    files: dict[str, bytes] = {}
    for number in range(1, 11):
        batch = {"data": rows(3, 16, number), "labels": [number, 121, 120], "mean": rows(1, 16, 0)}
        files[f"train_data_batch_{number}"] = pickle.dumps(batch, 3)
    files["val_data"] = pickle.dumps({"data": rows(2, 16, 99), "labels": [120, 1000]}, 3)
    return files


def publish(patch: pytest.MonkeyPatch, files: Mapping[str, bytes]) -> None:
    """Makes these the published files: their checksums take the place of the real ones."""
    sets = import_torchvision("torchvision.datasets")
    found = {name: md5(content).hexdigest() for name, content in files.items()}
    for kind in (sets.CIFAR10, sets.CIFAR100):
        for part in ("train_list", "test_list"):
            rows = [[name, found.get(name, old)] for name, old in getattr(kind, part)]
            patch.setattr(kind, part, rows)
        meta = kind.meta | {"md5": found.get(kind.meta["filename"], kind.meta["md5"])}
        patch.setattr(kind, "meta", meta)
    svhn = {
        split: [url, name, found.get(name, old)]
        for split, (url, name, old) in sets.SVHN.split_list.items()
    }
    patch.setattr(sets.SVHN, "split_list", svhn)
    for name in IMAGENET16.keys() & found:
        patch.setitem(IMAGENET16, name, found[name])


def python2_batch(data: np.ndarray, labels: list[int]) -> bytes:
    """A pickle as Python 2 wrote it: byte strings, and NumPy under its old name."""
    content = data.tobytes()
    shape = b"".join(b"J" + int(n).to_bytes(4, "little") for n in data.shape) + b"\x86"
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return b"".join(
        [
            b"\x80\x02}(U\x04data",
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01" + shape,
            b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + len(content).to_bytes(4, "little") + content + b"tb",
            b"U\x06labels](" + numbers + b"eu.",
        ]
    )


def write_npz(path: Path, arrays: Mapping[str, Any]) -> Path:
    """The arrays in an .npz file."""
    np.savez(path, allow_pickle=True, **arrays)
    return path


def npz_arrays(count: int = 12) -> dict[str, np.ndarray]:
    """Training and test arrays of 8x8 images in three classes."""
    source = np.random.default_rng(0)
    return {
        "x_train": source.integers(0, 256, (count, 8, 8, 3), np.uint8),
        "y_train": np.arange(count) % 3,
        "x_test": source.integers(0, 256, (3, 8, 8, 3), np.uint8),
        "y_test": np.arange(3),
    }


def fails(text: str) -> NasirError:
    """The error on loading what a text names."""
    with pytest.raises(NasirError) as caught:
        load_images(text)
    return caught.value
