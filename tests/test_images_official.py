"""CIFAR-10, CIFAR-100, SVHN and ImageNet16-120 in the formats of their published files.

The files are small ones, whose checksums take the place of the published ones.
"""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io  # pyright: ignore[reportMissingTypeStubs]
import torch

from runners.data.load import checksums, load_images
from tests.image_files import (
    cifar10_files,
    cifar100_files,
    fails,
    imagenet16_files,
    publish,
    python2_batch,
    rows,
    tree,
    write_tar,
    write_tree,
)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(autouse=True)
def _published(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    for files in (cifar10_files(), cifar100_files(), imagenet16_files()):
        publish(monkeypatch, files)


def svhn_folder(folder: Path) -> Path:
    """Three training images, with the labels 1, 10 and 9, and two for tests."""
    folder.mkdir(exist_ok=True)
    for split, labels in (("train", [1, 10, 9]), ("test", [10, 2])):
        images = np.random.default_rng(len(labels)).integers(0, 256, (32, 32, 3, len(labels)))
        content: dict[str, Any] = {"X": images.astype(np.uint8), "y": np.array(labels)[:, None]}
        scipy.io.savemat(folder / f"{split}_32x32.mat", content)
    return folder


def test_the_published_checksums_are_those_of_the_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    counts = {"cifar10": 7, "cifar100": 3, "svhn": 2, "imagenet16-120": 11}
    assert {kind: len(checksums(kind)) for kind in counts} == counts
    assert checksums("cifar10")["test_batch"] == "40351d587109b95175f43aff81a1287e"
    assert checksums("svhn")["train_32x32.mat"] == "e26dedcc434d2e4c54c9b2d4a06d8373"
    assert checksums("imagenet16-120")["val_data"] == "3410e3017fdaefba8d5073aaa65e4bd6"


def test_cifar10_reads_its_five_batches_in_order(tmp_path: Path) -> None:
    found = load_images(f"cifar10:{write_tree(tmp_path / 'a', cifar10_files())}")
    expected = np.concatenate([rows(4, 32, number) for number in range(1, 6)])
    assert torch.equal(found.train.images.flatten(1), torch.as_tensor(expected))
    assert found.train.images.shape == (20, 3, 32, 32)
    assert found.train.labels.tolist() == [x for n in range(1, 6) for x in (n, 0, 9, n)]
    assert found.test is not None
    assert found.test.labels.tolist() == [3, 4]
    assert (found.name, found.classes[9], len(found.classes)) == ("cifar10", "truck", 10)
    assert found.statistics == (
        (0.49139968, 0.48215827, 0.44653124),
        (0.24703233, 0.24348505, 0.26158768),
    )


def test_files_are_read_once_until_one_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tree(tmp_path / "a", cifar10_files())
    first = load_images(f"cifar10:{folder}")
    with monkeypatch.context() as patch:
        patch.setattr("runners.data.load._published", lambda *_: pytest.fail("read again"))
        assert load_images(f"cifar10:{folder}").fingerprint == first.fingerprint
    os.utime(folder / "test_batch", (1, 1))
    (folder / "test_batch").write_bytes(b"?")
    assert fails(f"cifar10:{folder}").code == "E604"


def test_batches_that_python_2_wrote_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = cifar10_files() | {"data_batch_1": python2_batch(rows(2, 32, 77), [3, 4])}
    publish(monkeypatch, files)
    found = load_images(f"cifar10:{write_tree(tmp_path / 'a', files)}").train
    assert torch.equal(found.images[:2].flatten(1), torch.as_tensor(rows(2, 32, 77)))
    assert found.labels[:2].tolist() == [3, 4]


@pytest.mark.parametrize("kind", ["cifar10", "cifar100"])
def test_cifar_may_be_a_folder_or_an_archive_of_images(tmp_path: Path, kind: str) -> None:
    write_tree(tmp_path / "a", tree())
    write_tar(tmp_path / "a.tar.gz", tree())
    for place in ("a", "a.tar.gz"):
        found = load_images(f"{kind}:{tmp_path / place}")
        assert found.classes == ("ant", "bee", "cat")
        assert found.name == kind
        assert found.statistics[0][0] in (0.49139968, 0.5071)


def test_cifar100_has_its_hundred_fine_labels_by_name(tmp_path: Path) -> None:
    files = {f"cifar-100-python/{name}": data for name, data in cifar100_files().items()}
    write_tree(tmp_path / "a", files)
    write_tar(tmp_path / "cifar-100-python.tar.gz", files)
    for place in ("a", "cifar-100-python.tar.gz"):
        found = load_images(f"cifar100:{tmp_path / place}")
        assert found.train.labels.tolist() == [0, 99, 5]
        assert found.classes[99] == "thing99"
        assert torch.equal(found.train.images.flatten(1), torch.as_tensor(rows(3, 32, 1)))
        assert found.statistics[1] == (0.2673, 0.2564, 0.2762)


def test_svhn_has_images_upright_and_the_digit_0_where_the_file_says_10(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = svhn_folder(tmp_path / "a")
    publish(monkeypatch, {file.name: file.read_bytes() for file in folder.iterdir()})
    found = load_images(f"svhn:{folder}")
    stored: Any = scipy.io.loadmat(folder / "train_32x32.mat")
    assert found.train.labels.tolist() == [1, 0, 9]
    assert found.train.images.shape == (3, 3, 32, 32)
    for row, column, channel, number in ((0, 5, 2, 0), (31, 0, 1, 2)):
        expected = int(stored["X"][row, column, channel, number])
        assert int(found.train.images[number, channel, row, column]) == expected
    assert found.statistics[0] == (0.4377, 0.4438, 0.4728)


def test_imagenet16_keeps_the_first_120_classes_from_0(tmp_path: Path) -> None:
    found = load_images(f"imagenet16-120:{write_tree(tmp_path / 'a', imagenet16_files())}")
    assert found.train.images.shape == (20, 3, 16, 16)
    assert found.train.labels.tolist() == [x for n in range(10) for x in (n, 119)]
    assert torch.equal(found.train.images[2].flatten(), torch.as_tensor(rows(3, 16, 2)[0]))
    assert found.test is not None
    assert found.test.labels.tolist() == [119]
    assert len(found.classes) == 120
    assert found.statistics[0] == pytest.approx((122.68 / 255, 116.66 / 255, 104.01 / 255))


@pytest.mark.parametrize(
    ("kind", "files", "file"),
    [
        ("cifar10", cifar10_files(), "data_batch_3"),
        ("cifar100", cifar100_files(), "meta"),
        ("imagenet16-120", imagenet16_files(), "val_data"),
        ("svhn", {"train_32x32.mat": b"", "test_32x32.mat": b""}, "train_32x32.mat"),
    ],
)
def test_a_file_that_is_not_the_published_one_is_e709_with_both_digests_and_never_read(
    tmp_path: Path, kind: str, files: dict[str, bytes], file: str
) -> None:
    made = tmp_path / "made"
    attack = pickle.dumps(_Runs(str(made)))
    expected = checksums(kind)[file]
    error = fails(f"{kind}:{write_tree(tmp_path / 'a', files | {file: attack})}")
    assert (error.code, error.where.file) == ("E604", f"{tmp_path}/a/{file}")
    assert expected in error.message
    assert "imagefolder:PATH" in error.hint
    assert not made.exists()
    if kind != "svhn":
        archive = write_tar(tmp_path / "a.tar.gz", files | {file: b""})
        error = fails(f"{kind}:{archive}")
        assert (error.code, error.where.file) == ("E604", f"{archive}/{file}")
        assert "its MD5 is d41d8cd98f00b204e9800998ecf8427e" in error.message


class _Runs:
    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (self._path,)
