"""Files of pictures with changed bytes, and files that were made to do harm."""

import io
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

import numpy as np
import pytest
import scipy.io  # pyright: ignore[reportMissingTypeStubs]
from PIL import Image

from nasir import NasirError
from runners.data.matlab import matlab_arrays
from runners.data.pickled import read_batch
from tests.picture_files import (
    cifar10_files,
    fails,
    imagenet16_files,
    npz_arrays,
    tree,
    write_npz,
    write_tree,
)

pytestmark = pytest.mark.usefixtures("own_cache")


class Calls:
    """What a pickle makes by calling."""

    def __init__(self, call: Callable[..., object], arguments: object, state: object) -> None:
        self._made = (call, arguments, state)

    def __reduce__(self) -> Any:
        return self._made


NEW_ARRAY: Any = np.zeros(1, np.uint8).__reduce__()
KINDS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "objects": ("O8", (3, "|", None, None, None, -1, -1, 0)),
    "a field of objects": (
        "V8",
        (3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0),
    ),
    "a field far away": (
        "V8",
        (3, "|", None, ("a",), {"a": (np.dtype("u1"), 1 << 20)}, 8, 1, 0),
    ),
}


@pytest.mark.parametrize(("code", "state"), KINDS.values(), ids=KINDS)
def test_no_pickle_makes_its_bytes_the_addresses_of_objects(
    code: str, state: tuple[Any, ...]
) -> None:
    """Where NumPy makes the arrays, each of these ends the process or reads what is not its own."""
    kind = Calls(np.dtype, (code, False, True), state)
    described = (1, (1,), kind, False, b"A" * 8)
    array = Calls(NEW_ARRAY[0], (np.ndarray, (0,), b"b"), described)
    with pytest.raises(NasirError) as caught:
        read_batch(pickle.dumps({"data": array}, 2), Path("batch"))
    assert caught.value.code == "E709"
    assert f"of the type '{code}'" in caught.value.message


def test_a_pickle_changes_nothing_about_the_functions_it_names() -> None:
    sets = b"\x80\x02c_codecs\nencode\nN}X\x04\x00\x00\x00nameK\x01s\x86b."
    with pytest.raises(NasirError) as caught:
        read_batch(sets, Path("batch"))
    assert caught.value.code == "E709"
    assert "attributes of a Stub are set" in caught.value.message


@pytest.mark.parametrize("kind", ["u1", "i8", ">i4", "f4", "?"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_numbers_come_as_they_were_pickled(kind: str, protocol: int) -> None:
    array = np.arange(12).reshape(3, 4).astype(kind)
    batch = {"rows": array, b"columns": np.asfortranarray(array), "one": array[1, 2]}
    found = read_batch(pickle.dumps(batch, protocol), Path("batch"))
    assert np.array_equal(found["rows"], array)
    assert np.array_equal(found["columns"], array)
    assert found["rows"].dtype == array.dtype
    assert found["one"] == array[1, 2]


def changed(content: bytes, chance: Random) -> bytes:
    """The content with up to four bytes changed near its beginning, or cut off."""
    if chance.random() < 0.2:
        return content[: chance.randrange(len(content))]
    new = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        new[chance.randrange(min(len(new), 500))] = chance.randrange(256)
    return bytes(new)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_matlab_file_with_changed_bytes_is_read_or_refused(compressed: bool) -> None:
    stream = io.BytesIO()
    content = {"X": np.zeros((32, 32, 3, 3), np.uint8), "y": np.array([[1.0], [10.0], [4.0]])}
    scipy.io.savemat(stream, content, do_compression=compressed)
    refused = 0
    for seed in range(400):
        try:
            matlab_arrays(changed(stream.getvalue(), Random(seed)), Path("a.mat"))
        except (NasirError, ValueError, EOFError, struct.error, zlib.error):
            refused += 1
    assert refused > 50


def test_a_batch_with_changed_bytes_is_read_or_refused() -> None:
    content = pickle.dumps({b"data": np.zeros((1, 300), np.uint8), b"labels": [1, 2]}, 2)
    codes: set[str] = set()
    for seed in range(1000):
        try:
            read_batch(changed(content, Random(seed)), Path("batch"))
        except NasirError as error:
            codes.add(error.code)
    assert codes == {"E603", "E709"}


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_arrays_are_those_that_scipy_reads(compressed: bool) -> None:
    source = np.random.default_rng(0)
    content: dict[str, Any] = {
        "X": source.integers(0, 256, (4, 3, 2, 5), np.uint8),
        "y": np.array([[1], [10]], np.uint8),
        "double": np.array([[1.0, 10.0, 0.5]]),
        "text": "no numbers",
        "i64": np.array([[-(2**40), 7]]),
    }
    stream = io.BytesIO()
    scipy.io.savemat(stream, content, do_compression=compressed)
    found = matlab_arrays(stream.getvalue(), Path("a.mat"))
    assert set(found) == {"X", "y", "double", "i64"}
    for name, array in found.items():
        assert np.array_equal(array, content[name])


def test_svhn_with_other_numbers_than_bytes_is_e709(tmp_path: Path) -> None:
    content = {"X": np.full((32, 32, 3, 2), -4.0), "y": np.array([[1], [2]])}
    scipy.io.savemat(tmp_path / "train_32x32.mat", content)
    (tmp_path / "test_32x32.mat").write_bytes(b"")
    error = fails(f"svhn:{tmp_path}")
    assert error.code == "E709"
    assert "X is float64" in error.message


def test_a_label_of_svhn_that_is_no_digit_is_e706(tmp_path: Path) -> None:
    content = {"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([[1], [14]])}
    for split in ("train", "test"):
        scipy.io.savemat(tmp_path / f"{split}_32x32.mat", content)
    error = fails(f"svhn:{tmp_path}")
    assert (error.code, error.where.file) == ("E706", f"{tmp_path}/train_32x32.mat")
    assert "a label 14; they go from 1 to 10" in error.message


@pytest.mark.parametrize(
    ("data", "labels", "shown"),
    [
        (np.full((1, 3072), 300), [1], "data is int64 (1, 3072), not bytes (N, 3072)"),
        (np.zeros((3, 1024), np.uint8), [1], "(3, 1024)"),
        ([1, 2], [1], "data is list"),
        (np.zeros((1, 3072), np.uint8), [0.5], "labels are not whole numbers"),
    ],
)
def test_a_batch_of_other_numbers_is_e709(
    tmp_path: Path, data: object, labels: object, shown: str
) -> None:
    batch = pickle.dumps({b"data": data, b"labels": labels}, 2)
    folder = write_tree(tmp_path / "a", cifar10_files() | {"data_batch_1": batch})
    error = fails(f"cifar10:{folder}")
    assert error.code == "E709"
    assert shown in error.message


def test_a_label_of_imagenet16_beyond_the_thousand_is_e706(tmp_path: Path) -> None:
    batch = pickle.dumps({"data": np.zeros((1, 768), np.uint8), "labels": [1001]}, 3)
    folder = write_tree(tmp_path / "a", imagenet16_files() | {"train_data_batch_3": batch})
    assert fails(f"imagenet16-120:{folder}").code == "E706"


@pytest.mark.parametrize("labels", [[0, 1, 2, 10**15], [0, 1, 10**15, 2], [2**62, 0, 0, 1]])
def test_a_label_as_large_as_a_number_can_be_is_e706(tmp_path: Path, labels: list[int]) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays(4) | {"y_train": np.array(labels)})
    assert fails(f"{tmp_path}/a.npz").code == "E706"


def test_an_npz_file_with_a_password_is_e708(tmp_path: Path) -> None:
    write_npz(tmp_path / "a.npz", npz_arrays(4))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[6] |= 1
    content[directory + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    error = fails(f"{tmp_path}/a.npz")
    assert error.code == "E708"
    assert "password" in error.message


@pytest.mark.parametrize("text", ["imagefolder:a\0b", "\0.npz", "\0"])
def test_a_nul_in_a_name_is_e701(text: str) -> None:
    assert fails(text).code == "E701"


@pytest.mark.parametrize("text", ["imagefolder:{}", "imagenet:{}", "svhn:{}", "{}.npz"])
def test_a_path_that_the_system_refuses_is_e701(text: str) -> None:
    error = fails(text.format("a" * 5000))
    assert error.code == "E701"
    assert "too long" in error.message


def test_a_picture_that_may_not_be_read_is_e704_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tree(tmp_path / "a", tree())

    def refuse() -> bytes:
        raise PermissionError(13, "Permission denied")

    files = {PurePosixPath(name): refuse for name in tree()}
    monkeypatch.setattr("runners.data.folders.picture_files", lambda path: files)
    error = fails(f"imagefolder:{folder}")
    assert (error.code, error.where.file) == ("E704", f"{folder}/train/ant/ant00.png")
    assert "Permission denied" in error.message


def test_a_picture_of_more_than_8_bits_is_e704(tmp_path: Path) -> None:
    folder = write_tree(tmp_path / "a", tree())
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    Image.fromarray(deep).save(folder / "train/ant/ant01.png")
    error = fails(f"imagefolder:{folder}")
    assert error.code == "E704"
    assert "8 bits" in error.message


def test_pictures_that_do_not_fit_into_memory_are_e106_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runners.data.folders.memory", lambda: 5000)
    folder = write_tree(tmp_path / "a", tree())
    error = fails(f"imagefolder:{folder}")
    assert error.code == "E106"
    assert "15 pictures of 8x8 pixels" in error.message
    assert f"imagenet:{folder}" in error.hint
