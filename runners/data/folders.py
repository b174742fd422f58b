"""Pictures in a folder, or an archive of one, with a folder for each class."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.data.cache import Decoded, cached
from runners.data.files import pictures_in, state_of
from runners.data.pictures import Pictures, PictureSet, statistics
from runners.data.split import mixed

TRAIN = ("train",)
TEST = ("test", "val", "valid", "validation")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each picture belongs: sorted names by class, of training and of tests."""

    train: tuple[tuple[PurePosixPath, str], ...]
    test: tuple[tuple[PurePosixPath, str], ...]
    classes: tuple[str, ...]


def load_folder(path: Path, resolution: int | None = None) -> PictureSet:
    """The pictures of `train/CLASS/*` and `test/CLASS/*`, or of `CLASS/*` alone.

    `val` stands for `test` where there is none. Pictures of the classes are mixed, so that halves
    hold all of them. Raises E701 to E705 and E707.
    """

    def decode() -> Decoded:
        return _decoded(path, resolution)

    tensors, classes = cached(path, f"folder {resolution}", state_of(path), decode)
    train = Pictures(tensors["train_images"], tensors["train_labels"])
    test = None
    if "test_images" in tensors:
        test = Pictures(tensors["test_images"], tensors["test_labels"])
    return PictureSet(path.name, classes, train, test, *statistics(train.images))


def layout_of(path: Path, names: list[PurePosixPath]) -> Layout:
    """Which class and split each name belongs to. Raises E702, E703."""
    if not names:
        raise NasirError("E702", "there are no pictures in it", Where(str(path)), _LAYOUT)
    flat = [name for name in names if len(name.parts) < 2]
    if flat:
        message = f"the picture {quoted(str(flat[0]))} is in no folder of a class"
        raise NasirError("E702", message, Where(str(path)), _LAYOUT)
    splits = {name.parts[-3] for name in names if len(name.parts) > 2}
    if splits.isdisjoint(TRAIN):
        return _checked(path, [(name, name.parent.name) for name in sorted(names)], [])
    tested = next((split for split in TEST if split in splits), "")
    chosen: dict[str, list[tuple[PurePosixPath, str]]] = {"train": [], tested: []}
    for name in sorted(names):
        if len(name.parts) > 2 and name.parts[-3] in chosen:
            chosen[name.parts[-3]].append((name, name.parent.name))
    return _checked(path, chosen["train"], chosen[tested] if tested else [])


_LAYOUT = "a folder for each class: train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"


def _checked(
    path: Path, train: list[tuple[PurePosixPath, str]], test: list[tuple[PurePosixPath, str]]
) -> Layout:
    classes = tuple(sorted({label for _, label in train}))
    if len(classes) < 2:
        message = f"all training pictures are of one class, {quoted(classes[0])}"
        raise NasirError("E703", message, Where(str(path)), _LAYOUT)
    for name, label in test:
        if label not in classes:
            message = f"the class {quoted(label)} of {quoted(str(name))} has no training pictures"
            raise NasirError("E703", message, Where(str(path)), _LAYOUT)
    return Layout(tuple(train), tuple(test), classes)


def _decoded(path: Path, resolution: int | None) -> Decoded:
    from runners.data.decode import decode

    pixels: dict[PurePosixPath, Tensor] = {}
    for name, content in pictures_in(path):
        pixels[name] = decode(content, str(path / name), resolution)
    layout = layout_of(path, list(pixels))
    _check_sizes(path, layout, pixels)
    numbers = {label: number for number, label in enumerate(layout.classes)}
    tensors: dict[str, Tensor] = {}
    for part, entries in (("train", layout.train), ("test", layout.test)):
        if entries:
            labels = torch.tensor([numbers[label] for _, label in entries])
            order = mixed(labels)
            images = torch.stack([pixels[entries[i][0]] for i in order.tolist()])
            tensors |= {f"{part}_images": images, f"{part}_labels": labels[order]}
    return tensors, layout.classes


def _check_sizes(path: Path, layout: Layout, pixels: dict[PurePosixPath, Tensor]) -> None:
    first = layout.train[0][0]
    height, width = pixels[first].shape[1:]
    for name, _ in (*layout.train, *layout.test):
        h, w = pixels[name].shape[1:]
        if (h, w) != (height, width):
            message = f"{quoted(str(first))} is {width}x{height}, {quoted(str(name))} {w}x{h}"
            hint = f"imagefolder:{path}@{min(height, width)} resizes all pictures"
            raise NasirError("E705", message, Where(str(path)), hint)
