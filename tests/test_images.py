"""Data sets by name: digits, folders, archives, arrays, and what is kept of them."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from runners.data.folders import cache_folder
from runners.data.images import ImageSet, split_indices, statistics_of
from runners.data.load import load_images
from runners.data.name import DataName, parse_data
from tests.command_line import ROOT
from tests.image_files import (
    CLASSES,
    image_file,
    npz_arrays,
    tree,
    write_npz,
    write_tar,
    write_tree,
    write_zip,
)

CIFAR10_JPEG = ROOT.parent / "shared" / "data" / "cifar10-jpeg.tar.gz"


pytestmark = pytest.mark.usefixtures("own_cache")


def values(images: ImageSet) -> list[int]:
    """The red of each training image's first pixel, by which `tree` numbers them."""
    return [int(value) for value in images.train.images[:, 0, 0, 0]]


def test_digits_are_colour_images_of_8_pixels_with_a_test_part() -> None:
    digits = load_images("digits")
    assert digits.test is not None
    assert digits.train.images.shape == (1500, 3, 8, 8)
    assert digits.test.images.shape == (297, 3, 8, 8)
    assert digits.train.images.dtype == torch.uint8
    assert int(digits.train.images.max()) == 255
    assert digits.classes == tuple("0123456789")
    assert (digits.resolution, digits.channels) == (8, 3)


def test_statistics_are_mean_and_deviation_of_values_from_0_to_1_by_channel() -> None:
    images = torch.randint(256, (20, 3, 8, 8), dtype=torch.uint8)
    images[:, 2] = 51
    mean, std = statistics_of(images)
    shares = (images.double() / 255).transpose(0, 1).flatten(1)
    assert mean == pytest.approx(shares.mean(1).tolist())
    assert std[:2] == pytest.approx(shares[:2].std(1, correction=0).tolist())
    assert mean[2] == pytest.approx(0.2)
    assert std[2] > 1e-3, "a channel of one value must not be divided by nothing"


def test_a_folder_a_tar_and_a_zip_hold_the_same_images(tmp_path: Path) -> None:
    files = tree()
    around = {f"./top/{name}": files[name] for name in reversed(files)}
    places = (
        write_tree(tmp_path / "a", files),
        write_tar(tmp_path / "a.tar", files, "w"),
        write_tar(tmp_path / "a.tar.gz", around),
        write_zip(tmp_path / "a.zip", files),
    )
    sets = [load_images(f"imagefolder:{place}") for place in places]
    assert {each.fingerprint for each in sets} == {sets[0].fingerprint}
    assert sets[0].classes == CLASSES
    assert sets[0].train.images.shape == (12, 3, 8, 8)
    assert sets[0].test is not None
    assert sets[0].test.labels.tolist() == [0, 1, 2]
    assert sets[0].test.images[2, :, 0, 0].tolist() == [250, 0, 5]


def test_a_folder_of_classes_alone_has_no_test_part(tmp_path: Path) -> None:
    files = {name.removeprefix("train/"): content for name, content in tree().items()}
    files = {name: content for name, content in files.items() if not name.startswith("test/")}
    files |= {"notes.txt": b"no image", "ant/.hidden.png": b"none", "ant/Thumbs.db": b""}
    found = load_images(f"imagefolder:{write_tree(tmp_path / 'a', files)}")
    assert found.test is None
    assert len(found.train) == 12


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    files = {
        f"data/{split}/{label}/{part}/1.png": image_file(value)
        for split, value in (("train", 1), ("test", 200))
        for label in ("a", "b")
        for part in ("x", "y")
    }
    found = load_images(f"imagefolder:{write_tree(tmp_path / 'a', files)}")
    assert found.classes == ("a", "b")
    assert set(values(found)) == {1}
    assert found.test is not None
    assert len(found.test) == 4
    files = {name.split("/", 2)[2]: content for name, content in files.items() if "train" in name}
    found = load_images(f"imagefolder:{write_tree(tmp_path / 'b', files)}")
    assert (found.classes, len(found.train), found.test) == (("a", "b"), 4, None)


@pytest.mark.parametrize("label", ["a\udcff", "ä"])
def test_a_class_is_named_by_any_folder_also_when_it_was_kept(tmp_path: Path, label: str) -> None:
    folder = write_tree(tmp_path / "a", {f"{label}/1.png": image_file(1), "b/1.png": image_file(2)})
    first, kept = (load_images(f"imagefolder:{folder}") for _ in range(2))
    assert set(first.classes) == {label, "b"}
    assert (kept.classes, kept.fingerprint) == (first.classes, first.fingerprint)


def test_images_of_any_size_are_brought_to_one(tmp_path: Path) -> None:
    files = {"a/1.png": image_file(10, (20, 30)), "b/2.png": image_file(200, (50, 9))}
    found = load_images(f"imagefolder:{write_tree(tmp_path / 'a', files)}@16")
    assert found.train.images.shape == (2, 3, 16, 16)
    assert found.train.images[:, 0].flatten(1).unique(dim=1).flatten().tolist() == [10, 200]


def test_decoded_images_are_kept_until_a_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tree(tmp_path / "a", tree())
    before = load_images(f"imagefolder:{folder}")
    with monkeypatch.context() as patch:
        patch.setattr("runners.data.folders.image_files", lambda path: pytest.fail(str(path)))
        assert load_images(f"imagefolder:{folder}").fingerprint == before.fingerprint
    (folder / "train/ant/ant00.png").write_bytes(image_file(99))
    after = load_images(f"imagefolder:{folder}")
    assert 99 in values(after)
    assert after.fingerprint != before.fingerprint
    assert len(list(cache_folder().iterdir())) == 1, "the old ones are replaced"


@pytest.mark.parametrize("content", [b"", b"\xff" * 100], ids=["half", "noise"])
def test_a_damaged_cache_is_written_again(tmp_path: Path, content: bytes) -> None:
    folder = write_tree(tmp_path / "a", tree())
    before = load_images(f"imagefolder:{folder}")
    (file,) = cache_folder().iterdir()
    whole = file.read_bytes()
    file.write_bytes(content or whole[: len(whole) // 2])
    assert load_images(f"imagefolder:{folder}").fingerprint == before.fingerprint
    assert file.stat().st_size == len(whole)


def test_what_was_read_longest_ago_makes_room_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: list[Path] = []
    monkeypatch.setattr("runners.data.folders.LARGEST", 9000)  # two sets of 15 images
    for number, name in enumerate("abc"):
        load_images(f"imagefolder:{write_tree(tmp_path / name, tree())}")
        (new,) = {*cache_folder().glob("images-*")} - {*files}
        files.append(new)
        os.utime(new, (number, number))
        if name == "b":
            load_images(f"imagefolder:{tmp_path / 'a'}")
            (cache_folder() / ".images-x").write_bytes(b"left by a writer")
            os.utime(cache_folder() / ".images-x", (0, 0))
    assert {*cache_folder().iterdir()} == {files[0], files[2]}


def test_images_load_where_no_cache_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_images(f"imagefolder:{write_tree(tmp_path / 'a', tree())}").train) == 12


def test_arrays_keep_their_order_and_their_labels(tmp_path: Path) -> None:
    arrays = npz_arrays()
    write_npz(tmp_path / "a.npz", arrays)
    found = load_images(str(tmp_path / "a.npz"))
    expected = torch.as_tensor(arrays["x_train"]).movedim(3, 1)
    assert torch.equal(found.train.images, expected)
    assert found.train.labels.tolist() == arrays["y_train"].tolist()
    assert found.test is not None
    assert (found.name, found.classes) == ("a", ("0", "1", "2"))


def test_arrays_may_be_grey_or_have_channels_first_and_other_names(tmp_path: Path) -> None:
    arrays = npz_arrays()
    colour, labels = arrays["x_train"], arrays["y_train"].reshape(-1, 1)
    np.savez(tmp_path / "a.npz", images=colour.transpose(0, 3, 1, 2), labels=labels)
    np.savez(tmp_path / "b.npz", train_images=colour[..., 0], train_labels=labels.astype(np.uint8))
    first = load_images(str(tmp_path / "a.npz")).train
    grey = load_images(str(tmp_path / "b.npz")).train
    assert torch.equal(first.images, torch.as_tensor(colour).movedim(3, 1))
    assert torch.equal(grey.images, first.images[:, :1])
    assert torch.equal(grey.labels, first.labels)


def test_arrays_sorted_by_class_are_mixed_and_classes_may_have_names(tmp_path: Path) -> None:
    arrays = npz_arrays()
    arrays["y_train"] = np.sort(arrays["y_train"])
    write_npz(tmp_path / "a.npz", arrays | {"classes": np.array(["x", "y", "z"])})
    found = load_images(str(tmp_path / "a.npz"))
    assert found.classes == ("x", "y", "z")
    assert torch.bincount(found.train.labels[:6]).tolist() == [2, 2, 2]
    for image, label in zip(found.train.images, found.train.labels, strict=True):
        same = (torch.as_tensor(arrays["x_train"]).movedim(3, 1) == image).flatten(1).all(1)
        assert arrays["y_train"][int(same.nonzero())] == label


def test_the_fingerprint_changes_with_a_byte_a_label_and_a_class(tmp_path: Path) -> None:
    def fingerprint(**changed: np.ndarray) -> str:
        write_npz(tmp_path / "a.npz", npz_arrays() | changed)
        return load_images(str(tmp_path / "a.npz")).fingerprint

    arrays = npz_arrays()
    brighter, other = arrays["x_train"].copy(), arrays["y_train"].copy()
    brighter[3, 2, 1, 0] ^= 1
    other[0] = 1
    prints = {
        fingerprint(),
        fingerprint(x_train=brighter),
        fingerprint(y_train=other),
        fingerprint(classes=np.array(["a", "b", "c"])),
    }
    assert len(prints) == 4
    assert fingerprint() in prints


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits", DataName("digits")),
        ("cifar10:data", DataName("cifar10", Path("data"))),
        ("imagefolder:a:b@c@32", DataName("imagefolder", Path("a:b@c"), 32)),
        ("imagefolder:a@b", DataName("imagefolder", Path("a@b"))),
        ("some/Where.NPZ", DataName("npz", Path("some/Where.NPZ"))),
        ("imagenet16-120:x", DataName("imagenet16-120", Path("x"))),
    ],
)
def test_a_data_name_is_read_and_printed_back(text: str, name: DataName) -> None:
    assert parse_data(text) == name
    assert name.text == text
    assert parse_data(name.resolved().text) == name.resolved()


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10_JPEG.exists(), reason="the CIFAR-10 images are not there")
def test_cifar10_as_images_has_its_classes_statistics_and_equal_halves() -> None:
    found = load_images(f"cifar10:{CIFAR10_JPEG}")
    assert found.train.images.shape == (50_000, 3, 32, 32)
    assert found.test is not None
    assert len(found.test) == 10_000
    assert found.classes[:3] == ("airplane", "automobile", "bird")
    assert torch.bincount(found.train.labels[split_indices(50_000)[0]]).tolist() == [2500] * 10
    assert found.statistics[0] == pytest.approx(statistics_of(found.train.images)[0], abs=1e-3)


def grey(value: int, mode: str = "L") -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (8, 8), value).save(stream, "PNG")
    return stream.getvalue()


def test_images_have_one_channel_where_all_of_them_are_grey(tmp_path: Path) -> None:
    files = {f"train/{label}/{i}.png": grey(10 * i) for label in "ab" for i in range(2)}
    files |= {"train/a/white.png": grey(1, "1"), "test/a/0.png": grey(7)}
    alike = load_images(f"imagefolder:{write_tree(tmp_path / 'grey', files)}")
    assert (alike.channels, alike.train.images.shape[1:]) == (1, (1, 8, 8))
    assert sorted(alike.train.images[:, 0, 0, 0].tolist()) == [0, 0, 10, 10, 255]
    assert alike.test is not None
    assert alike.test.images.shape == (1, 1, 8, 8)


@pytest.mark.parametrize("coloured", ["train/b/1.png", "test/a/0.png"])
def test_grey_images_among_coloured_ones_have_three_equal_channels(
    tmp_path: Path, coloured: str
) -> None:
    files = {f"train/{label}/{i}.png": grey(10 * i) for label in "ab" for i in range(2)}
    files["test/a/0.png"] = grey(7)
    found = load_images(f"imagefolder:{write_tree(tmp_path, files | {coloured: image_file(200)})}")
    assert found.channels == 3
    assert found.test is not None
    images = torch.cat([found.train.images, found.test.images])
    equal = (images == images[:, :1]).flatten(1).all(1)
    assert sorted(images[equal][:, 0, 0, 0].tolist()) == sorted(
        {"train/b/1.png": [0, 0, 7, 10], "test/a/0.png": [0, 0, 10, 10]}[coloured]
    )
    assert images[~equal][0, :, 0, 0].tolist() == [200, 0, 55]


def test_arrays_may_have_one_to_four_channels_on_either_side(tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 1])
    for channels in (1, 2, 3, 4):
        images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, channels), np.uint8)
        np.savez(tmp_path / "last.npz", x_train=images, y_train=labels)
        np.savez(tmp_path / "first.npz", x_train=np.moveaxis(images, 3, 1), y_train=labels)
        last = load_images(str(tmp_path / "last.npz"))
        assert last.channels == channels
        first = load_images(str(tmp_path / "first.npz"))
        assert torch.equal(last.train.images, first.train.images)
