"""Images in a folder, or an archive of one, with a folder for each class."""

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from nasir import NasirError, Where
from nasir.errors import quoted
from runners.data.cache import cached
from runners.data.files import Files, image_files, is_image, state_of
from runners.data.image_files import ImageFiles
from runners.data.images import ImageSet, ImageTensors, Raw, evened, mixed
from runners.data.name import FOLDERS, DataName

Report = Callable[[int, int], None]
"""Called with how many images are decoded, and how many there are."""

TEST = ("test", "val", "valid", "validation")
"""Names of the test split's folder; the first that exists is used."""

_LAYOUT = "train/CLASS/*.png and test/CLASS/*.png, or CLASS/*.png"
_EVERY = 500


@dataclass(frozen=True, slots=True)
class FolderLayout:
    """Where each image belongs: sorted names, with those of one class together.

    `level` is which part of a name is its class.
    """

    train: tuple[PurePosixPath, ...]
    test: tuple[PurePosixPath, ...]
    classes: tuple[str, ...]
    level: int

    def labels(self, names: tuple[PurePosixPath, ...]) -> torch.Tensor:
        """The label of each name, int64 (N,)."""
        numbers = {label: number for number, label in enumerate(self.classes)}
        return torch.tensor([numbers[name.parts[self.level]] for name in names], dtype=torch.int64)


def read_folder(path: Path, resolution: int | None, report: Report | None = None) -> Raw:
    """The images of `train/CLASS` and `test/CLASS`, or of `CLASS` alone.

    Images of all classes are mixed, so that halves hold all of them. What was decoded is kept in
    the user's cache. Raises E701 to E705 and E709.
    """

    def decode() -> Raw:
        return _decoded(path, resolution, report)

    files = sorted(file for file in path.rglob("*") if is_image(PurePosixPath(file)))
    if path.is_file():
        files = [path]
    return cached(path, f"{resolution}", state_of(path, files), decode)


def layout_of(path: Path, names: list[PurePosixPath]) -> FolderLayout:
    """Which class and split each name belongs to. Raises E702, E703.

    Folders around all others count for nothing; those below a class belong to it.
    """
    where = Where(str(path))
    names = sorted(names)
    if not names:
        raise NasirError("E702", "there are no images in it", where, _LAYOUT)
    top = _top(names)
    splits = {name.parts[top].lower() for name in names}
    train, test = names, list[PurePosixPath]()
    if "train" in splits:
        tested = next((split for split in TEST if split in splits), None)
        train = [name for name in names if name.parts[top].lower() == "train"]
        test = [name for name in names if name.parts[top].lower() == tested]
        top += 1
    elif splits <= set(TEST):
        message = f"there are images in {', '.join(sorted(splits))}, but none in train"
        raise NasirError("E702", message, where, _LAYOUT)
    for name in (*train, *test):
        if len(name.parts) < top + 2:
            message = f"the image {quoted(str(name))} is in no folder of a class"
            raise NasirError("E702", message, where, _LAYOUT)
    classes = tuple(sorted({name.parts[top] for name in train}))
    for name in test:
        if name.parts[top] not in classes:
            message = f"there are no training images of the class of {quoted(str(name))}"
            raise NasirError("E703", message, where, _LAYOUT)
    return FolderLayout(tuple(train), tuple(test), classes, top)


def _top(names: list[PurePosixPath]) -> int:
    """How many folders are around all images, their splits and their classes."""
    for level, (first, last) in enumerate(zip(names[0].parts, names[-1].parts, strict=False)):
        alone = first == last and all(len(name.parts) > level + 2 for name in names)
        if not alone or first.lower() in ("train", *TEST):
            return level
    return 0


def _decoded(path: Path, resolution: int | None, report: Report | None) -> Raw:
    files = image_files(path)
    layout = layout_of(path, list(files))
    decoder = _Decoder(path, files, resolution, report)
    decoder.total = len(layout.train) + len(layout.test)
    parts: list[ImageTensors] = []
    for names in (layout.train, layout.test):
        if names:
            labels = layout.labels(names)
            order = mixed(labels)
            images = decoder.images([names[int(i)] for i in order])
            parts.append(ImageTensors(images, labels[order]))
    test = parts[1] if layout.test else None
    return evened(Raw(path.name, layout.classes, parts[0], test))


def memory() -> int:
    """Bytes of memory that this machine has, or more than any has where it does not say."""
    if not hasattr(os, "sysconf"):
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class _Decoder:
    """Decodes files one after the other, and checks that all have one size."""

    def __init__(
        self, path: Path, files: Files, resolution: int | None, report: Report | None
    ) -> None:
        self.total = 0
        self._path, self._files = path, files
        self._resolution, self._report = resolution, report
        self._done = 0
        self._first: tuple[PurePosixPath, tuple[int, ...]] | None = None

    def images(self, names: list[PurePosixPath]) -> torch.Tensor:
        """uint8 (N, C, H, W): one channel where all are grey, else 3. Raises E704, E705."""
        from runners.data.decode import decode

        images: np.ndarray | None = None
        for number, name in enumerate(names):
            place = str(self._path / name)
            try:
                content = self._files[name]()
            except OSError as error:
                message = f"the image cannot be read: {error.strerror}"
                raise NasirError("E704", message, Where(place)) from error
            pixels = decode(content, place, self._resolution)
            self._check_size(name, pixels.shape)
            if images is None:
                images = self._space(len(names), pixels.shape)
            elif images.shape[1] < pixels.shape[2]:
                seen, images = images[:number], self._space(len(names), pixels.shape)
                images[:number] = seen
            images[number] = pixels.transpose(2, 0, 1)
            self._done += 1
            told = self._done % _EVERY == 0 or self._done == self.total
            if self._report is not None and told:
                self._report(self._done, self.total)
        assert images is not None, "a split without images"
        return torch.as_tensor(images)

    def _space(self, count: int, shape: tuple[int, ...]) -> np.ndarray:
        """An array for the images of a split, (N, C, H, W). Raises E106 where memory is too small.

        What is written to the cache is copied once.
        """
        height, width, channels = shape
        needed, there = 2 * self.total * height * width * channels, memory()
        if needed > there:
            message = f"{self.total} images of {width}x{height} pixels need "
            message += f"{needed >> 20} MiB of memory, and there are {there >> 20}"
            hint = f"imagefolder:{self._path}@32 makes them smaller; imagenet:{self._path} leaves "
            hint += "them in their files"
            raise NasirError("E106", message, Where(str(self._path)), hint)
        return np.empty((count, channels, height, width), np.uint8)

    def _check_size(self, name: PurePosixPath, shape: tuple[int, ...]) -> None:
        if self._first is None:
            self._first = (name, shape)
        other, (height, width, _) = self._first
        if shape[:2] != (height, width):
            message = f"the image is {shape[1]}x{shape[0]} pixels, but {quoted(str(other))} "
            message += f"{width}x{height}"
            hint = f"imagefolder:{self._path}@32 brings all of them to 32 pixels"
            raise NasirError("E705", message, Where(str(self._path / name)), hint)


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""As torchvision documents it for its networks."""

SIDE = 224


def read_imagenet(name: DataName) -> ImageSet:
    """`train/CLASS` and `val/CLASS` in any number and size; looks at names and sizes of files only.

    The fingerprint is over those. Raises E701, E702, E703; batches raise E704.
    """
    path = name.path
    assert path is not None, "a name that parse_data has let through"
    if not path.is_dir():
        message = "the folder is not there; nothing is downloaded"
        hint = f"imagenet:PATH with {FOLDERS['imagenet']}"
        raise NasirError("E701", message, Where(str(path)), hint)
    layout = layout_of(path, list(image_files(path)))
    classes: tuple[str, ...] = layout.classes
    if len(classes) < 2:
        message = f"all training images are of one class, '{''.join(classes)}'"
        raise NasirError("E703", message, Where(str(path)), "a classifier needs two or more")
    digest = hashlib.sha256("\0".join(layout.classes).encode(errors="surrogateescape"))
    parts: list[ImageFiles] = []
    for names in (layout.train, layout.test):
        order = mixed(layout.labels(names)) if names else layout.labels(names)
        chosen = tuple(names[int(i)] for i in order)
        for file in chosen:
            text = f"{file}\0{(path / file).stat().st_size}\0"
            digest.update(text.encode(errors="surrogateescape"))
        files = tuple(path / file for file in chosen)
        parts.append(ImageFiles(files, layout.labels(chosen), name.resolution or SIDE))
    test = parts[1] if layout.test else None
    return ImageSet("imagenet", layout.classes, parts[0], test, *IMAGENET, digest.hexdigest())
