"""Sets of labelled pictures, in memory as bytes."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from runners.data.augment import Augment
    from runners.data.batches import View


@dataclass(frozen=True)
class Pictures:
    """One split: images, uint8 (N, C, H, W), and labels, int64 (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> "Pictures":
        """The same pictures on a device; themselves where they are there."""
        return Pictures(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class PictureSet:
    """A data set: its splits, its classes by label, and by what its pictures are normalised.

    `mean` and `std` are by channel, of values from 0 to 1.
    """

    name: str
    classes: tuple[str, ...]
    train: Pictures
    test: Pictures | None
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def resolution(self) -> int:
        """The pictures' height, in pixels."""
        return self.train.images.shape[2]

    @property
    def channels(self) -> int:
        """3 for colours."""
        return self.train.images.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over bytes, labels and classes, in hexadecimal digits."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for part in (self.train, self.test):
            if part is None:
                continue
            digest.update(str(tuple(part.images.shape)).encode())
            digest.update(part.images.contiguous().numpy().data)
            digest.update(part.labels.contiguous().numpy().data)
        return digest.hexdigest()

    def view(self, augment: "Augment | None" = None, device: str = "cpu") -> "View":
        """How batches of this set are normalised."""
        from runners.data.batches import View

        return View(self.mean, self.std, augment, device)


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation by channel of (N, C, H, W) bytes, as values from 0 to 1.

    A channel of one value has standard deviation 1.
    """
    mean: list[float] = []
    std: list[float] = []
    values = torch.arange(256, dtype=torch.float64) / 255
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256).double()
        share = counts / counts.sum()
        middle = float(share @ values)
        spread = float(share @ (values - middle) ** 2) ** 0.5
        mean.append(middle)
        std.append(spread or 1.0)
    return tuple(mean), tuple(std)
