"""Files of images with changed bytes, and files that were made to do harm."""

import io
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from tests.image_files import (
    fails,
    npz_arrays,
    tree,
    write_npz,
    write_tree,
)

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.mark.parametrize("labels", [[0, 1, 2, 10**15], [0, 1, 10**15, 2], [2**62, 0, 0, 1]])
def test_a_label_as_large_as_a_number_can_be_is_e706(tmp_path: Path, labels: list[int]) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays(4) | {"y_train": np.array(labels)})
    assert fails(f"{tmp_path}/a.npz").code == "E702"


def test_an_npz_file_with_a_password_is_e708(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays(4))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    error = fails(f"{tmp_path}/a.npz")
    assert error.code == "E702"
    assert "password" in error.message


@pytest.mark.parametrize("text", ["imagefolder:a\0b", "\0.npz", "\0"])
def test_a_nul_in_a_name_is_e701(text: str) -> None:
    assert fails(text).code == "E701"


@pytest.mark.parametrize("text", ["imagefolder:{}", "imagenet:{}", "svhn:{}", "{}.npz"])
def test_a_path_that_the_system_refuses_is_e701(text: str) -> None:
    error = fails(text.format("a" * 5000))
    assert error.code == "E701"
    assert "too long" in error.message


def test_an_image_that_may_not_be_read_is_e704_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tree(tmp_path / "a", tree())

    class Refused(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise PermissionError(13, "Permission denied")

    files = {PurePosixPath(name): Refused() for name in tree()}
    monkeypatch.setattr("runners.data.folders.image_files", lambda path: files)
    error = fails(f"imagefolder:{folder}")
    assert (error.code, error.where.file) == ("E702", f"{folder}/train/ant/ant00.png")
    assert "Permission denied" in error.message


def test_an_image_of_more_than_8_bits_is_e704(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "a", tree())
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(deep).save(folder / "train/ant/ant01.png")
    error = fails(f"imagefolder:{folder}")
    assert error.code == "E702"
    assert "8 bits" in error.message


def test_images_that_do_not_fit_into_memory_are_e106_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.data.folders.memory_bytes", lambda: 5000)
    folder = write_tree(tmp_path / "a", tree())
    error = fails(f"imagefolder:{folder}")
    assert error.code == "E106"
    assert "15 images of 8x8 pixels" in error.message
    assert f"imagenet:{folder}" in error.hint
