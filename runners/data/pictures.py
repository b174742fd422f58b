"""Pictures with labels, in memory as bytes."""

import hashlib
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nasir import NasirError, Where
from runners.arrays import distinct


@dataclass(frozen=True)
class Pictures:
    """One split: `images` uint8 (N, C, H, W), `labels` int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class PictureSet:
    """A data set: its classes, its splits, and what pictures are normalised by.

    `mean` and `std` are those of each channel, of values from 0 to 1. `test` may be missing.
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    test: Pictures | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str = field(default="")

    @property
    def resolution(self) -> int:
        """Pixels of a side."""
        return int(self.train.images.shape[-1])

    @property
    def channels(self) -> int:
        """Channels of a picture."""
        return int(self.train.images.shape[1])


@dataclass(frozen=True)
class Raw:
    """What a source reads, before it is checked; `mean` and `std` where they are published."""

    name: str
    classes: tuple[str, ...]
    train: Pictures
    test: Pictures | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def picture_set(raw: Raw, where: Where) -> PictureSet:
    """The set with its fingerprint, and with statistics of its training pictures if none are known.

    Raises E702 for no pictures, E703 for one class, E706 for labels out of range, E707 for pictures
    that are not square or too small.
    """
    _check(raw, where)
    mean, std = raw.mean, raw.std
    if not mean:
        mean, std = statistics(raw.train.images)
    parts = [raw.train, *([raw.test] if raw.test is not None else [])]
    return PictureSet(
        raw.name, raw.classes, raw.train, raw.test, mean, std, _fingerprint(raw.classes, parts)
    )


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels, of values from 0 to 1."""
    count = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for channel in range(images.shape[1]):
        count[channel] = torch.bincount(images[:, channel].reshape(-1).long(), minlength=256)
    shares = count / count.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ values
    variance = shares @ values.square() - mean.square()
    std = variance.clamp(min=0).sqrt().clamp(min=1e-3)
    return tuple(float(x) for x in mean), tuple(float(x) for x in std)


def _check(raw: Raw, where: Where) -> None:
    for split, part in (("training", raw.train), ("test", raw.test)):
        if part is None:
            continue
        if not len(part):
            raise NasirError("E702", f"there are no {split} pictures", where)
        if int(part.labels.min()) < 0 or int(part.labels.max()) >= len(raw.classes):
            low, high = int(part.labels.min()), int(part.labels.max())
            message = f"{split} labels go from {low} to {high}, with {len(raw.classes)} classes"
            raise NasirError("E706", message, where)
    found = len(distinct(raw.train.labels))
    if found < 2:
        message = f"the training pictures are of {found} class"
        raise NasirError("E703", message, where, hint="a classifier needs two or more")
    height, width = raw.train.images.shape[-2:]
    if height != width or height < 8:
        message = f"the pictures have {height}x{width} pixels"
        raise NasirError("E707", message, where, hint="square pictures of 8 pixels or more")


def _fingerprint(classes: tuple[str, ...], parts: list[Pictures]) -> str:
    digest = hashlib.sha256("\0".join(classes).encode())
    for part in parts:
        digest.update(part.images.contiguous().numpy().data)
        digest.update(part.labels.contiguous().numpy().data)
    return digest.hexdigest()
