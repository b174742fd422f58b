"""Data that cannot be read: each error with its code, its place and what is wrong."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasir import NasirError
from runners.data.name import parse_data
from tests.image_files import (
    cifar10_files,
    fails,
    image_file,
    npz_arrays,
    tree,
    write_npz,
    write_tar,
    write_tree,
    write_zip,
)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cifer10:data", "did you mean 'cifar10'?"),
        ("Digits", "did you mean 'digits'?"),
        ("mnist", "digits"),
        ("", "known: FILE.npz, cifar10"),
        ("cifar10", "nothing is downloaded"),
        ("cifar10:", "cifar-10-batches-py"),
        ("imagefolder:@32", "needs a path"),
        ("digits:somewhere", "takes no path, but has 'somewhere'"),
        ("imagefolder:a@0", "cannot be resized to '0' pixels"),
        ("imagefolder:a@99999999999", "1 to 4096"),
    ],
)
def test_a_name_that_names_nothing_is_e701(text: str, shown: str) -> None:
    with pytest.raises(NasirError) as caught:
        parse_data(text)
    assert caught.value.code == "E701"
    assert shown in str(caught.value)


def test_a_folder_without_its_kind_is_told_its_name(tmp_path: Path) -> None:
    error = fails(str(tmp_path))
    assert (error.code, error.hint) == ("E701", f"a folder of images is imagefolder:{tmp_path}")


@pytest.mark.parametrize(
    "text",
    [
        "imagefolder:{}/none",
        "imagefolder:{}/none.tar.gz",
        "imagefolder:{}/notes.txt",
        "imagenet16-120:{}",
        "svhn:{}",
        "cifar10:{}",
        "cifar100:{}/none.tar.gz",
        "{}/none.npz",
    ],
)
def test_data_that_is_not_there_is_e701_at_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "notes.txt").write_text("no archive")
    error = fails(text.format(tmp_path))
    assert error.code == "E701"
    assert error.where.file.startswith(str(tmp_path))


@pytest.mark.parametrize("archive", [False, True])
def test_a_missing_batch_is_named(tmp_path: Path, archive: bool) -> None:
    files = cifar10_files()
    del files["data_batch_3"]
    path = write_tree(tmp_path / "a", files)
    if archive:
        path = write_tar(tmp_path / "a.tar.gz", files)
    error = fails(f"cifar10:{path}")
    assert error.code == "E701"
    assert "'data_batch_3' is not there; nothing is downloaded" in error.message


@pytest.mark.parametrize("files", [{}, {"train/ant/x.txt": b""}, {"x.png": image_file(1)}])
def test_a_folder_without_images_of_classes_is_e702(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    (tmp_path / "a").mkdir()
    error = fails(f"imagefolder:{write_tree(tmp_path / 'a', files)}")
    assert error.code == "E702"
    assert "train/CLASS" in error.hint


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        (("train/a/1.png", "train/b/1.png", "val/1.png"), "'val/1.png' is in no folder of a class"),
        (("train/a/1.png", "train/b/1.png", "train/1.png"), "'train/1.png' is in no folder"),
        (("test/a/1.png", "test/b/1.png", "val/a/1.png"), "in test, val, but none in train"),
    ],
)
def test_images_outside_of_the_layout_are_e702(
    tmp_path: Path, files: tuple[str, ...], shown: str
) -> None:
    write_tree(tmp_path / "a", dict.fromkeys(files, image_file(1)))
    for kind in ("imagefolder", "imagenet"):
        error = fails(f"{kind}:{tmp_path}/a")
        assert error.code == "E702"
        assert shown in error.message


def test_an_archive_without_images_is_e702(tmp_path: Path) -> None:
    assert fails(f"imagefolder:{write_zip(tmp_path / 'a.zip', {})}").code == "E702"


def test_arrays_without_images_are_e702(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays(0))
    assert fails(f"{tmp_path}/a.npz").code == "E702"


def test_one_class_is_e703_and_named(tmp_path: Path) -> None:
    files = {"train/ant/1.png": image_file(1), "train/ant/2.png": image_file(2)}
    error = fails(f"imagefolder:{write_tree(tmp_path / 'a', files)}")
    assert error.code == "E702"
    assert "'ant'" in error.message


def test_test_images_of_another_class_are_e703(tmp_path: Path) -> None:
    files = tree() | {"test/wasp/1.png": image_file(1)}
    error = fails(f"imagefolder:{write_tree(tmp_path / 'a', files)}")
    assert error.code == "E702"
    assert "test/wasp/1.png" in error.message


BROKEN = {
    "empty": b"",
    "text": b"no image",
    "half": image_file(3, (64, 64))[:60],
    "wrong checksum": image_file(3)[:20] + b"\xff" + image_file(3)[21:],
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_image_is_e704_and_named(tmp_path: Path, content: bytes) -> None:
    folder = write_tree(tmp_path / "a", tree() | {"train/bee/bee01.png": content})
    error = fails(f"imagefolder:{folder}")
    assert error.code == "E702"
    assert error.where.file == f"{folder}/train/bee/bee01.png"
    assert error.message.startswith("the image cannot be read: ")
    assert "BytesIO" not in error.message


def test_a_broken_image_in_an_archive_is_named_by_its_path_there(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", tree() | {"train/cat/cat00.png": b"?"}, "w")
    error = fails(f"imagefolder:{path}")
    assert (error.code, error.where.file) == ("E702", f"{path}/train/cat/cat00.png")


def test_an_image_of_another_size_is_e705_and_named_with_both_sizes(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "a", tree() | {"train/cat/big.png": image_file(1, (12, 9))})
    error = fails(f"imagefolder:{folder}")
    assert error.code == "E702"
    assert "train/cat/big.png" in str(error)
    assert "12x9" in error.message
    assert "8x8" in error.message
    assert f"imagefolder:{folder}@32" in error.hint


def test_test_images_of_another_size_are_e705(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays() | {"x_test": np.zeros((3, 9, 9, 3), np.uint8)})
    assert fails(f"{tmp_path}/a.npz").code == "E702"


@pytest.mark.parametrize("labels", [[-1, 0, 1, 2], [1, 2, 3, 1], [0, 1, 2, 900]])
def test_labels_that_do_not_count_from_0_are_e706(tmp_path: Path, labels: list[int]) -> None:
    np.savez(tmp_path / "a.npz", images=npz_arrays(4)["x_train"], labels=np.array(labels))
    error = fails(f"{tmp_path}/a.npz")
    assert error.code == "E702"
    assert f"from {min(labels)} to {max(labels)}" in error.message


@pytest.mark.parametrize("shape", [(4, 8, 9, 3), (4, 4, 4, 3), (4, 0, 0, 3)])
def test_images_that_are_not_square_or_too_small_are_e707(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    np.savez(tmp_path / "a.npz", x_train=np.zeros(shape, np.uint8), y_train=[0, 1, 2, 3])
    error = fails(f"{tmp_path}/a.npz")
    assert error.code == "E702"
    assert f"{shape[2]}x{shape[1]}" in error.message


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no images": ({"x": np.zeros(3)}, "there are: x"),
    "nothing": ({}, "there are: none"),
    "no labels": ({"x_train": np.zeros((4, 8, 8), np.uint8)}, "no y_train"),
    "floats": ({"x_train": np.zeros((4, 8, 8, 3)), "y_train": [0, 1, 2, 3]}, "float64"),
    "float labels": (npz_arrays(4) | {"y_train": np.zeros(4)}, "not integers"),
    "one-hot labels": (npz_arrays(4) | {"y_train": np.eye(4, dtype=int)}, "(4, 4)"),
    "a number for labels": (npz_arrays(4) | {"y_train": 3}, "()"),
    "fewer labels": (npz_arrays(4) | {"y_train": [0, 1]}, "4 images, y_train 2 labels"),
    "flat": (npz_arrays(4) | {"x_train": np.zeros((4, 192), np.uint8)}, "(4, 192)"),
    "five channels": (npz_arrays(4) | {"x_train": np.zeros((4, 8, 8, 5), np.uint8)}, "4 channels"),
    "objects": (npz_arrays(4) | {"y_train": np.array([0, None, 1, 2])}, "cannot be read"),
}


@pytest.mark.parametrize(("arrays", "shown"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_that_are_no_images_are_e708(
    tmp_path: Path, arrays: dict[str, Any], shown: str
) -> None:
    write_npz(tmp_path / "a.npz", arrays)
    error = fails(f"{tmp_path}/a.npz")
    assert error.code == "E702"
    assert shown in error.message


@pytest.mark.parametrize("change", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"text"])
def test_an_npz_file_that_is_none_is_e708(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays())
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(change(content))
    assert fails(f"{tmp_path}/a.npz").code == "E702"


def test_a_single_array_under_the_name_of_an_npz_file_is_e708(tmp_path: Path) -> None:
    with (tmp_path / "a.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert fails(f"{tmp_path}/a.npz").code == "E702"


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
@pytest.mark.parametrize("damage", ["cut off", "noise"])
def test_an_archive_that_is_cut_off_or_damaged_is_e709(
    tmp_path: Path, name: str, damage: str
) -> None:
    mode = {"a.tar": "w"}.get(name, f"w:{name.rpartition('.')[2]}")
    files = {f"train/c{i % 2}/{i}.png": os.urandom(5000) for i in range(8)}
    path = tmp_path / name
    if name == "a.zip":
        write_zip(path, files)
    else:
        write_tar(path, files, mode)
    content = path.read_bytes()
    half = len(content) // 2
    broken = b"?" * half if damage == "noise" else content[: half - 100]
    path.write_bytes(broken)
    error = fails(f"imagefolder:{path}")
    assert (error.code, error.where.file) == ("E604", str(path))


def test_a_gzip_file_with_wrong_bytes_within_is_e709(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tgz", {"train/a/1.png": os.urandom(50_000)})
    content = bytearray(path.read_bytes())
    content[20_000:20_200] = b"\xff" * 200
    path.write_bytes(content)
    assert fails(f"imagefolder:{path}").code == "E604"
