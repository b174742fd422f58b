"""Sets of labelled images, in memory as bytes."""

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

import lowering
from nasir import NasirError, Where
from runners.data.image_files import ImageFiles
from runners.machine.device import numbered

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
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.images.shape[2], self.images.shape[3]

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


@dataclass(frozen=True)
class ImageSet:
    """A data set: its splits, its classes by label, and by what its images are normalised.

    `mean` and `std` are by channel, of values from 0 to 1. `fingerprint` is the SHA-256 over
    classes, bytes and labels, in hexadecimal digits. There may be no `test`.
    Only ImageNet's images stay in files.
    """

    name: str
    classes: tuple[str, ...]
    train: ImageTensors | ImageFiles
    test: ImageTensors | ImageFiles | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str

    @property
    def resolution(self) -> int:
        """Pixels of a side."""
        return self.train.size[1]

    @property
    def channels(self) -> int:
        """3 of coloured images, 1 of grey ones."""
        return len(self.mean)


@dataclass(frozen=True)
class Raw:
    """What files hold, unchecked; `statistics` are mean and std where they are published."""

    name: str
    classes: tuple[str, ...]
    train: ImageTensors
    test: ImageTensors | None = None
    statistics: Statistics | None = None

    @property
    def parts(self) -> dict[str, ImageTensors]:
        """The splits that are there, by name."""
        parts = {"training": self.train, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def image_set(raw: Raw, where: Where) -> ImageSet:
    """The set that a network can learn from. Raises E702, E703, E705, E706, E707.

    Where no statistics are published they are those of the training images.
    """
    _check(raw, where)
    mean, std = raw.statistics or statistics(raw.train.images)
    return ImageSet(raw.name, raw.classes, raw.train, raw.test, mean, std, _fingerprint(raw))


def resized(raw: Raw, side: int) -> Raw:
    """The same images with `side` pixels on each side, by bilinear interpolation."""

    def part(old: ImageTensors) -> ImageTensors:
        if old.images.shape[-2:] == (side, side):
            return old
        images = F.interpolate(old.images, (side, side), mode="bilinear", antialias=True)
        return ImageTensors(images, old.labels)

    return replace(raw, train=part(raw.train), test=None if raw.test is None else part(raw.test))


def evened(raw: Raw) -> Raw:
    """The same images; grey ones get three equal channels where those of another split have 3."""
    most = max(part.images.shape[1] for part in raw.parts.values())

    def part(old: ImageTensors) -> ImageTensors:
        if old.images.shape[1] == most:
            return old
        return ImageTensors(old.images.repeat(1, most, 1, 1), old.labels)

    return replace(raw, train=part(raw.train), test=None if raw.test is None else part(raw.test))


def statistics(images: Tensor) -> Statistics:
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


def _check(raw: Raw, where: Where) -> None:
    for split, part in raw.parts.items():
        if not len(part):
            raise NasirError("E702", f"there are no {split} images", where)
        low, high = int(part.labels.min()), int(part.labels.max())
        if low < 0 or high >= len(raw.classes):
            message = f"{split} labels go from {low} to {high}, but there are "
            message += f"{len(raw.classes)} classes"
            raise NasirError("E706", message, where, hint="labels count from 0")
    if bool((raw.train.labels == raw.train.labels[0]).all()):
        name = raw.classes[int(raw.train.labels[0])]
        message = f"all training images are of one class, '{name}'"
        raise NasirError("E703", message, where, hint="a classifier needs two or more")
    sizes = {split: tuple(part.images.shape[-2:]) for split, part in raw.parts.items()}
    height, width = sizes["training"]
    if height != width or height < SMALLEST:
        message = f"the images are {width}x{height} pixels"
        raise NasirError("E707", message, where, f"square images of {SMALLEST} or more")
    if sizes.get("test", (height, width)) != (height, width):
        h, w = sizes["test"]
        message = f"training images are {width}x{height} pixels, test images {w}x{h}"
        raise NasirError("E705", message, where)
    channels = {part.images.shape[1] for part in raw.parts.values()}
    if len(channels) > 1:
        few, many = sorted(channels)
        message = f"images of one part have {few} channels, those of the other {many}"
        raise NasirError("E705", message, where)


def _fingerprint(raw: Raw) -> str:
    digest = hashlib.sha256("\0".join(raw.classes).encode(errors="surrogateescape"))
    for part in raw.parts.values():
        digest.update(part.images.contiguous().numpy().data)
        digest.update(part.labels.contiguous().numpy().data)
    return digest.hexdigest()


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
