"""Images that stay in files: windows, what is read of them, and batches."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lowering import BatchPart
from nasir import NasirError
from runners.data.images import TRIES, ImageFiles, ImageSet, centre_crop, random_crop
from runners.data.load import load_images
from runners.experiment.experiment import Experiment, Search
from runners.experiment.recipe import ImagesSection, SearchTrain, Settings
from runners.machine.device import find_place
from runners.task.batches import Batches
from runners.task.images import search_images
from tests.image_files import write_tree
from tests.refusals import fails_with

CPU = find_place("cpu")
SAME = ((0.0,) * 3, (1 / 255,) * 3)


def photo(folder: Path, name: str, size: tuple[int, int], seed: int) -> None:
    """An image of noise in a folder of its class."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def folder(path: Path) -> Path:
    """Twelve training images in two classes and three for tests, all of different sizes."""
    for i in range(12):
        photo(path, f"train/n{i % 2}/{i:02d}.png", (40 + i, 60 - i), i)
    for i in range(3):
        photo(path, f"val/n1/{i}.png", (64, 48), 50 + i)
    return path


def files(of: ImageSet) -> ImageFiles:
    """The training images."""
    assert isinstance(of.train, ImageFiles)
    return of.train


def test_imagenet_is_read_by_name_and_classes_are_mixed(tmp_path: Path) -> None:
    found = load_images(f"imagenet:{folder(tmp_path)}@32")
    assert (found.name, found.classes, found.resolution, found.channels) == (
        "imagenet",
        ("n0", "n1"),
        32,
        3,
    )
    assert len(found.train) == 12
    assert found.train.labels.tolist() == [0, 1] * 6
    assert found.test is not None
    assert found.test.labels.tolist() == [1, 1, 1]
    for file, label in zip(files(found).names, found.train.labels, strict=True):
        assert file.parent.name == f"n{label}"
    assert load_images(f"imagenet:{tmp_path}").resolution == 224


def test_the_fingerprint_of_files_changes_with_their_names_and_sizes(tmp_path: Path) -> None:
    before = load_images(f"imagenet:{folder(tmp_path)}").fingerprint
    assert load_images(f"imagenet:{tmp_path}@64").fingerprint == before
    with (tmp_path / "val/n1/0.png").open("ab") as stream:
        stream.write(b" ")
    longer = load_images(f"imagenet:{tmp_path}").fingerprint
    (tmp_path / "train/n0/00.png").rename(tmp_path / "train/n0/x.png")
    assert len({before, longer, load_images(f"imagenet:{tmp_path}").fingerprint}) == 3


def test_batches_of_files_are_like_those_in_memory(tmp_path: Path) -> None:
    found = load_images(f"imagenet:{folder(tmp_path)}@32")
    normalise, augment = found.statistics, ImagesSection(flip=True, area=0.08)
    chosen = torch.arange(12)
    made = Batches(
        found.train, chosen, normalise, CPU, name="train", seed=0, batch=5, augment=augment
    )
    whole = made.at(1, 1)
    assert whole[0].shape == (5, 3, 32, 32)
    assert whole[0].dtype == torch.float32
    epoch = torch.cat([made.at(1, step)[1] for step in range(len(made))])
    assert torch.bincount(epoch).tolist() == [6, 6]
    other = made.at(2, 1)
    assert not torch.equal(other[0], whole[0])


def test_workers_read_ahead_what_threads_read(tmp_path: Path) -> None:
    """From any step on, in every part of a batch, in another epoch; an error names the image."""
    found = load_images(f"imagenet:{folder(tmp_path)}@32")
    given: dict[str, Any] = {"name": "train", "seed": 0, "batch": 5}
    given["augment"] = ImagesSection(flip=True, area=0.08)
    ahead, plain = (
        Batches(found.train, torch.arange(12), SAME, find_place(workers=workers), **given)
        for workers in (2, 0)
    )
    for epoch, steps in ((0, (1, 2)), (0, (0, 1, 2)), (1, (2, 0))):
        for step in steps:
            state = torch.get_rng_state()
            images, labels = ahead.at(epoch, step)
            assert torch.equal(torch.get_rng_state(), state)
            expected = plain.at(epoch, step)
            assert torch.equal(images, expected[0])
            assert torch.equal(labels, expected[1])
    halves = [BatchPart(0, 3, 5), BatchPart(3, 2, 5)]
    parts = [plain.at(0, 1, part)[0] for part in halves]
    assert torch.equal(torch.cat(parts), plain.at(0, 1)[0])
    for name in files(found).names:
        (files(found).root / name).write_bytes(b"no image")
    with pytest.raises(NasirError, match="E702"):
        ahead.at(2, 0)


def test_an_image_without_a_window_is_its_middle_in_the_size_asked_for(tmp_path: Path) -> None:
    for label in ("a", "b"):
        path = tmp_path / "train" / label / "1.png"
        path.parent.mkdir(parents=True)
        image = Image.new("RGB", (96, 64), (200, 0, 0))
        image.paste((0, 90, 0), (20, 4, 76, 60))  # 56 of 64 pixels, in the middle
        image.save(path)
    found = load_images(f"imagenet:{tmp_path}@28")
    made = Batches(found.train, torch.arange(2), SAME, CPU, name="t", seed=0, batch=2, order="file")
    image, label = made.at(0, 0)
    assert label.tolist() == [0, 1]
    # The border is mixed with what lies around, as in resizing before cutting.
    inner = image[:, :, 1:-1, 1:-1].round().flatten(2)
    assert bool((inner == torch.tensor([0, 90, 0])[:, None]).all())
    assert bool((image[:, 0, 0] > 0).all())


@pytest.mark.parametrize("size", [(100, 100), (300, 40), (20, 200), (1, 1)])
def test_windows_lie_in_the_image_and_cover_the_share_that_is_drawn(
    size: tuple[int, int],
) -> None:
    drawn = np.random.default_rng(0).random((200, TRIES, 4))
    drawn[..., 0] = 0.08 + 0.92 * drawn[..., 0]
    boxes = np.array([random_crop(size, row) for row in drawn])
    assert boxes[:, :2].min() >= 0
    assert boxes[:, 2].max() <= size[0]
    assert boxes[:, 3].max() <= size[1]
    if size == (100, 100):
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        assert 0.07 < (width * height).min() / 10_000 < 0.12
        assert (width * height).max() / 10_000 > 0.85
        assert 0.72 < (width / height).min() < 0.8
        assert 1.25 < (width / height).max() < 1.39
        assert len(np.unique(boxes, axis=0)) == 200


def test_an_image_in_which_no_window_fits_is_seen_in_its_middle() -> None:
    row = np.full((TRIES, 4), 0.5)
    row[:, 0] = 1.0
    assert random_crop((300, 40), row) == (130, 0, 170, 40)
    assert centre_crop((512, 256)) == (144, 16, 368, 240)


@pytest.mark.parametrize("content", [b"no image", None])
def test_a_broken_or_missing_photo_is_e704_and_named(tmp_path: Path, content: bytes | None) -> None:
    found = load_images(f"imagenet:{folder(tmp_path)}@32")
    bad = tmp_path / "train" / "n0" / "02.png"
    bad.unlink()
    if content is not None:
        bad.write_bytes(content)
    made = Batches(
        found.train, torch.arange(12), SAME, CPU, name="t", seed=0, batch=12, order="file"
    )
    with pytest.raises(NasirError) as caught:
        made.at(0, 0)
    assert (caught.value.code, caught.value.where.file) == ("E702", str(bad))


def test_imagenet_needs_a_folder_with_two_classes(tmp_path: Path) -> None:
    write_tree(tmp_path, {"one/train/n0/1.png": b"", "none/train/notes.txt": b"", "file": b""})
    for name, code in (("one", "E702"), ("none", "E702"), ("file", "E701"), ("gone", "E701")):
        with fails_with(code):
            load_images(f"imagenet:{tmp_path / name}")


def test_the_architects_batches_are_drawn_anew_however_small_its_part_is() -> None:
    digits = load_images("digits")
    experiment = Experiment(of="nasbench201", search=Search(split=0.8))
    task = search_images(digits, experiment, Settings(train=SearchTrain(batch=500)), CPU)
    assert task.steps(0) == 3
    first, last = (task.valid(0, step).inputs[0] for step in (0, 2))
    assert not torch.equal(first[:100], last[:100])
