"""Sets of labelled images: decoded, in files or in memory as bytes."""

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

import lowering
from nasir import NasirError, Where
from runners.machine.device import numbered

Pixels = NDArray[np.uint8]
"""(H, W, 3), or (H, W, 1) of a grey image."""

ImageFile = Path | io.BytesIO
"""A file on the disk, or its bytes out of an archive."""

_GREY = ("1", "L", "LA", "La")
"""Pillow's modes of grey images; transparency is left out."""

PIXELS = 2**26
"""The most that an image may have; ImageNet's largest has 9331x6530."""

_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Pillow's names of what is tried, whatever a file's name is: for others it starts programs."""

# `PIXELS` is the bound; Pillow's own would print a warning beside the error.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(file: ImageFile, place: str, resolution: int | None = None) -> Pixels:
    """The pixels of an image file, grey or in colour. Raises an error, which names `place`.

    With a resolution, those of its largest middle square, resized.
    """
    image = open_image(file, place)
    if resolution is not None and image.size != (resolution, resolution):
        size = (resolution, resolution)
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def open_image(file: ImageFile, place: str) -> Image.Image:
    """The decoded image of a file. Raises an error, which names `place`."""
    try:
        with Image.open(file, formats=_FORMATS) as stored:
            if stored.width * stored.height > PIXELS:
                raise ValueError(f"it has {stored.width}x{stored.height} pixels, beyond {PIXELS:,}")
            if stored.mode[0] in "IF":  # Pillow cuts off what is above 255
                raise ValueError(f"it has more than 8 bits a channel (mode {stored.mode})")
            return stored.convert("L" if stored.mode in _GREY else "RGB")
    # Pillow's errors on damaged bytes have no class in common: SyntaxError is among them.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"it is none of {', '.join(_FORMATS)}"
        message = f"the image cannot be read: {reason}"
        hint = "replace the file, or take it out"
        raise NasirError("E702", message, Where(place), hint) from error


TRIES = 10
"""Windows that are tried for an image; where none fits it is its middle."""

_MIDDLE = 224 / 256
"""The share of the shorter side that is used without a window: 224 pixels of 256."""

_RATIOS = (math.log(3 / 4), math.log(4 / 3))


@dataclass(frozen=True)
class ImageFiles:
    """One split: files below `root`, labels, int64 (N,), and the side that they are resized to."""

    root: Path
    names: tuple[PurePosixPath, ...]
    labels: Tensor
    side: int

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return 3, self.side, self.side

    @property
    def images(self) -> NoReturn:
        """Always an error: no tensor holds these images."""
        raise AssertionError("these images are decoded batch by batch")

    def content(self) -> Iterator[bytes]:
        """The names and sizes of the files, for a fingerprint."""
        for name in self.names:
            text = f"{name}\0{(self.root / name).stat().st_size}\0"
            yield text.encode(errors="surrogateescape")

    def placed(self, indices: Tensor, device: str | torch.device) -> tuple["ImageFiles", Tensor]:
        """The same files, with labels on the device: a batch moves once it is decoded."""
        return replace(self, labels=self.labels.to(device)), indices

    def taken(self, chosen: Tensor, windows: Tensor | None) -> Tensor:
        """Bytes (B, 3, side, side) on the labels' device. Raises an error, which names the image.

        `windows` (B, TRIES, 4) are numbers from 0 to 1 for each image; without any it is the
        middle of each that is seen.
        """
        numbers = [int(number) for number in chosen]
        drawn = [None] * len(numbers) if windows is None else list(windows.numpy())
        with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
            pixels = list(pool.map(self._pixels, numbers, drawn))
        images = torch.as_tensor(np.stack(pixels)).movedim(3, 1)
        return images.to(self.labels.device)

    def _pixels(self, number: int, drawn: np.ndarray | None) -> np.ndarray:
        path = self.root / self.names[number]
        image = open_image(path, str(path)).convert("RGB")
        box = middle(image.size) if drawn is None else window(image.size, drawn)
        size = (self.side, self.side)
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))


Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels."""


def window(size: tuple[int, int], drawn: np.ndarray) -> Box:
    """A random part of an image of (width, height): its share of the area, ratio and place.

    `drawn` (TRIES, 4) has the area of each try, already as a share, and numbers from 0 to 1.
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


def middle(size: tuple[int, int]) -> Box:
    """The middle of an image of (width, height), as tests see it."""
    return _centred(size, min(size) * _MIDDLE)


def _centred(size: tuple[int, int], side: float) -> Box:
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side


Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation by channel, of values from 0 to 1."""

SMALLEST = 8
"""Pixels of a side: less leaves nothing after the reductions of any skeleton."""


@dataclass(frozen=True)
class ImageTensors:
    """One split: images, uint8 (N, C, H, W), and labels, int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def content(self) -> Iterator[memoryview]:
        """All bytes and labels, for a fingerprint."""
        for values in (self.images, self.labels):
            yield values.contiguous().numpy().data

    def placed(self, indices: Tensor, device: str | torch.device) -> tuple["ImageTensors", Tensor]:
        """Images on a device, and the indices by which the chosen ones are taken from them.

        On the CPU these are themselves, one copy for all streams; elsewhere the chosen ones alone.
        """
        if torch.device(device).type == "cpu":
            return self, indices
        chosen = ImageTensors(self.images[indices].to(device), self.labels[indices].to(device))
        return chosen, torch.arange(len(indices))

    def taken(self, chosen: Tensor, windows: Tensor | None) -> Tensor:
        """Bytes of the chosen images, (B, C, H, W)."""
        assert windows is None, "images in memory are of one size, and seen whole"
        return self.images.index_select(0, chosen.to(self.images.device))


SPLITS = ("training", "test")


@dataclass(frozen=True)
class ImageSet:
    """A data set: its classes by label, and its splits: for training, and perhaps for tests.

    `statistics` are the published ones, else those of the training images once `checked` was
    called. `fingerprint` is the SHA-256 over classes, bytes and labels, in hexadecimal digits, and
    is computed where it is not given. Only ImageNet's images stay in files.
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
        """The images for training."""
        return self.splits[0]

    @property
    def test(self) -> ImageTensors | ImageFiles | None:
        """The images for tests, if there are any."""
        return self.splits[1] if len(self.splits) > 1 else None

    @property
    def resolution(self) -> int:
        """Pixels of a side."""
        return self.train.shape[2]

    @property
    def channels(self) -> int:
        """3 of coloured images, 1 of grey ones."""
        return self.train.shape[0]

    def resized(self, side: int) -> "ImageSet":
        """The same images with `side` pixels on each side, by bilinear interpolation."""
        new: list[ImageTensors] = []
        for part in self.splits:
            images = part.images
            if part.shape[1:] != (side, side):
                images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
            new.append(ImageTensors(images, part.labels))
        return replace(self, splits=new, fingerprint="")

    def checked(self, where: Where) -> "ImageSet":
        """The set with statistics. Raises an error where none can learn."""
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
    """Mean and standard deviation by channel of (N, C, H, W) bytes, as values from 0 to 1.

    A channel of one value alone has the standard deviation 1.
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


def halves(count: int, share: float = 0.5, seed: int | None = None) -> tuple[Tensor, Tensor]:
    """Indices, int64, of two parts that have none in common; the first has floor(share · count).

    In file order, as DARTS splits (arXiv:1806.09055, section 3.1), unless a seed shuffles them.
    """
    assert 0 <= share <= 1, f"a part of {share}"
    if seed is None:
        order = torch.arange(count)
    else:
        order = torch.randperm(count, generator=lowering.generator(seed, "split"))
    cut = int(count * share)
    return order[:cut], order[cut:]


def mixed(labels: Tensor) -> Tensor:
    """An order in which any run of images has every class about as often as the whole.

    (N,) int64. Files of a folder come class by class, and halves of that would share no class.
    Within a class the order stays.
    """
    labels = numbered(labels)  # one may be as large as a number can be
    counts = torch.bincount(labels)
    by_class = torch.argsort(labels, stable=True)
    starts = torch.cumsum(counts, 0) - counts
    rank = torch.arange(len(labels)) - starts[labels[by_class]]
    place = (rank.double() + 0.5) / counts[labels[by_class]]
    return by_class[torch.argsort(place, stable=True)]
