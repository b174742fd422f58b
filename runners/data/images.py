"""Sets of labelled images, in files or decoded in memory."""

import hashlib
import io
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import get_worker_info

import lowering
from nasir import NasirError, Where
from runners.machine.device import distinct_index

Pixels = NDArray[np.uint8]
"""(H, W, 3), or (H, W, 1) for greyscale."""

ImageFile = Path | io.BytesIO
"""A file on disk, or its bytes from an archive."""

_GREY = ("1", "L", "LA", "La")
"""Pillow's greyscale modes; transparency is ignored."""

PIXELS = 2**26
"""Maximum number of pixels; ImageNet's largest image has 9331x6530."""

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of the formats to try, whatever the file name; others may start programs."""

# `PIXELS` is the limit; Pillow's own would print a warning as well.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(file: ImageFile, place: str, resolution: int | None = None) -> Pixels:
    """Decodes an image file, greyscale or colour. Raises an error that names `place`.

    With a resolution, crops the largest centred square and resizes it.
    """
    image = open_image(file, place)
    if resolution is not None and image.size != (resolution, resolution):
        size = (resolution, resolution)
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def open_image(file: ImageFile, place: str) -> Image.Image:
    """Opens and decodes an image file. Raises an error that names `place`."""
    try:
        with Image.open(file, formats=_FORMATS) as stored:
            if stored.width * stored.height > PIXELS:
                raise ValueError(f"it has {stored.width}x{stored.height} pixels, beyond {PIXELS:,}")
            if stored.mode[0] in "IF":  # Pillow clips values above 255
                raise ValueError(f"it has more than 8 bits a channel (mode {stored.mode})")
            return stored.convert("L" if stored.mode in _GREY else "RGB")
    # Pillow's exceptions for damaged bytes have no common class: SyntaxError is among them.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"its format is none of {', '.join(_FORMATS)}"
        message = f"the image cannot be read: {reason}"
        hint = "replace or remove the file"
        raise NasirError("E702", message, Where(place), hint) from error


TRIES = 10
"""Attempts at a random crop per image; if none fits, a centre crop is used."""

_MIDDLE = 224 / 256
"""The share of the shorter side in a centre crop: 224 pixels of 256."""

_RATIOS = (math.log(3 / 4), math.log(4 / 3))


@dataclass(frozen=True)
class ImageFiles:
    """A split in files below `root`: names, labels, int64 (N,), and the side after resizing."""

    root: Path
    names: tuple[PurePosixPath, ...]
    labels: Tensor
    side: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image."""
        return 3, self.side, self.side

    @property
    def images(self) -> NoReturn:
        """Not available: these images are decoded batch by batch."""
        raise AssertionError("these images are decoded batch by batch")

    def content(self) -> Iterator[bytes]:
        """Yields names and sizes of the files, for a fingerprint."""
        for name in self.names:
            text = f"{name}\0{(self.root / name).stat().st_size}\0"
            yield text.encode(errors="surrogateescape")

    def placed(self, indices: Tensor, device: str | torch.device) -> tuple["ImageFiles", Tensor]:
        """Moves the labels to the device; batches follow once they are decoded."""
        return replace(self, labels=self.labels.to(device)), indices

    def taken(self, chosen: Tensor, windows: Tensor | None) -> Tensor:
        """Decodes a batch (B, 3, side, side). Raises an error that names the image.

        `windows` (B, TRIES, 4) are uniform random numbers for `random_crop`; None: centre crops.
        """
        numbers = [int(number) for number in chosen]
        drawn = [None] * len(numbers) if windows is None else list(windows.numpy())
        threads = 1 if get_worker_info() else min(16, os.cpu_count() or 1)
        with ThreadPoolExecutor(threads) as pool:
            pixels = list(pool.map(self._pixels, numbers, drawn))
        return torch.as_tensor(np.stack(pixels)).movedim(3, 1)

    def _pixels(self, number: int, drawn: np.ndarray | None) -> np.ndarray:
        path = self.root / self.names[number]
        image = open_image(path, str(path)).convert("RGB")
        box = centre_crop(image.size) if drawn is None else random_crop(image.size, drawn)
        size = (self.side, self.side)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def random_crop(size: tuple[int, int], drawn: np.ndarray) -> Box:
    """Returns a random crop of an image of (width, height): area, aspect ratio and position.

    `drawn` (TRIES, 4) has the share of the area and three numbers from 0 to 1 per attempt.
    """
    width, height = size
    for share, shape, right, down in drawn.tolist():
        area = share * width * height
        ratio = math.exp(_RATIOS[0] + shape * (_RATIOS[1] - _RATIOS[0]))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(right * (width - w + 1)), int(down * (height - h + 1))
            return left, top, left + w, top + h
    return _centred(size, min(width, height))


def centre_crop(size: tuple[int, int]) -> Box:
    """Returns the centre crop of an image of (width, height), as in tests."""
    return _centred(size, min(size) * _MIDDLE)


def _centred(size: tuple[int, int], side: float) -> Box:
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side


Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation by channel, for values from 0 to 1."""

SMALLEST = 8
"""Minimum side in pixels: less leaves nothing after a skeleton's reductions."""


@dataclass(frozen=True)
class ImageTensors:
    """A split in memory: images, uint8 (N, C, H, W), and labels, int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def content(self) -> Iterator[memoryview]:
        """Yields all bytes and labels, for a fingerprint."""
        for values in (self.images, self.labels):
            yield values.contiguous().numpy().data

    def placed(self, indices: Tensor, device: str | torch.device) -> tuple["ImageTensors", Tensor]:
        """Moves images to a device; returns them with the indices of the chosen ones.

        On the CPU all streams share one copy; elsewhere only the chosen images are copied.
        """
        if torch.device(device).type == "cpu":
            return self, indices
        chosen = ImageTensors(self.images[indices].to(device), self.labels[indices].to(device))
        return chosen, torch.arange(len(indices))

    def taken(self, chosen: Tensor, windows: Tensor | None) -> Tensor:
        """Selects a batch of bytes, (B, C, H, W)."""
        assert windows is None, "images in memory are of one size, and seen whole"
        return self.images.index_select(0, chosen.to(self.images.device))


SPLITS = ("training", "test")


@dataclass(frozen=True)
class ImageSet:
    """A data set: its classes by label, and its splits for training and, optionally, tests.

    `statistics` are the published ones, else those of the training images, set by `checked`.
    `fingerprint` is the SHA-256 of classes, bytes and labels as hexadecimal digits, computed if not
    given. Only ImageNet's images stay in files.
    """

    name: str
    classes: tuple[str, ...]
    splits: Sequence[ImageTensors | ImageFiles]
    statistics: Statistics = ((), ())
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.fingerprint:
            digest = hashlib.sha256("\0".join(self.classes).encode(errors="surrogateescape"))
            for part in self.splits:
                for content in part.content():
                    digest.update(content)
            object.__setattr__(self, "fingerprint", digest.hexdigest())

    @property
    def train(self) -> ImageTensors | ImageFiles:
        """The training split."""
        return self.splits[0]

    @property
    def test(self) -> ImageTensors | ImageFiles | None:
        """The test split, if any."""
        return self.splits[1] if len(self.splits) > 1 else None

    @property
    def resolution(self) -> int:
        """The side of images in pixels."""
        return self.train.shape[2]

    @property
    def channels(self) -> int:
        """3 for colour, 1 for greyscale."""
        return self.train.shape[0]

    def resized(self, side: int) -> "ImageSet":
        """Resizes the images to `side` pixels by bilinear interpolation."""
        new: list[ImageTensors] = []
        for part in self.splits:
            images = part.images
            if part.shape[1:] != (side, side):
                images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
            new.append(ImageTensors(images, part.labels))
        return replace(self, splits=new, fingerprint="")

    def checked(self, where: Where) -> "ImageSet":
        """Returns the set with statistics. Raises an error for unusable data."""
        for split, part in zip(SPLITS, self.splits, strict=False):
            _check_labels(self.classes, split, part.labels, where)
        if bool((self.train.labels == self.train.labels[0]).all()):
            name = self.classes[int(self.train.labels[0])]
            message = f"all training images are of one class, '{name}'"
            raise NasirError("E702", message, where, hint="a classifier needs two or more")
        channels, height, width = self.train.shape
        if height != width or height < SMALLEST:
            message = f"the images are {width}x{height} pixels"
            raise NasirError("E702", message, where, f"square images of {SMALLEST} or more")
        for part in self.splits:
            if part.shape != self.train.shape:
                message = f"training images are {width}x{height} pixels with {channels} channels, "
                c, h, w = part.shape
                message += f"test images {w}x{h} with {c}"
                raise NasirError("E702", message, where)
        if self.statistics[0]:
            return self
        return replace(self, statistics=statistics_of(self.train.images))


def _check_labels(classes: tuple[str, ...], split: str, labels: Tensor, where: Where) -> None:
    if not len(labels):
        raise NasirError("E702", f"there are no {split} images", where)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= len(classes):
        message = f"{split} labels go from {low} to {high}, but there are {len(classes)} classes"
        raise NasirError("E702", message, where, hint="labels count from 0")


def statistics_of(images: Tensor) -> Statistics:
    """Returns mean and standard deviation by channel of (N, C, H, W) bytes, scaled to 0 to 1.

    A constant channel has the standard deviation 1.
    """
    mean: list[float] = []
    std: list[float] = []
    values = torch.arange(256, dtype=torch.float64) / 255
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).double()
        share = counts / counts.sum()
        middle = float(share @ values)
        mean.append(middle)
        std.append(float(share @ (values - middle) ** 2) ** 0.5 or 1.0)
    return tuple(mean), tuple(std)


def split_indices(count: int, share: float = 0.5, seed: int | None = None) -> tuple[Tensor, Tensor]:
    """Splits indices, int64, into two disjoint parts; the first has floor(share · count).

    In file order, as in DARTS (arXiv:1806.09055, section 3.1), unless a seed shuffles them.
    """
    assert 0 <= share <= 1, f"a part of {share}"
    if seed is None:
        order = torch.arange(count)
    else:
        order = torch.randperm(count, generator=lowering.generator(seed, "split"))
    cut = int(count * share)
    return order[:cut], order[cut:]


def interleave(labels: Tensor) -> Tensor:
    """Interleaves classes: any run of images has about the class frequencies of the whole.

    (N,) int64. Files of a folder are sorted by class, so their halves would share no class. The
    order within a class stays.
    """
    labels = distinct_index(labels)  # labels may be as large as int64 allows
    counts = torch.bincount(labels)
    by_class = torch.argsort(labels, stable=True)
    starts = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(labels)) - starts[labels[by_class]]
    place = (rank.double() + 0.5) / counts[labels[by_class]]
    return by_class[torch.argsort(place, stable=True)]
