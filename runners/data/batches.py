"""Batches of pictures that can be asked for in any order."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import lowering
from runners.data.augment import Augment
from runners.data.pictures import Pictures
from runners.place import Place

Order = Literal["file", "shuffled", "fresh"]
"""As they lie; each once an epoch, in a new order; or each batch drawn anew from all."""


@dataclass(frozen=True, slots=True)
class Dealing:
    """How pictures are dealt out: a stream's name and seed, batch, order, augmentation."""

    name: str
    seed: int
    batch: int
    order: Order = "shuffled"
    augment: Augment = Augment()


class Batches:
    """Pictures of a split, by (epoch, step) alone: nothing is remembered between calls.

    The last batch of an epoch may be short, as in the papers' loaders; `fresh` batches are as many
    and always full. Processes of one group get equal shares of each batch.
    """

    def __init__(
        self,
        pictures: Pictures,
        indices: Tensor,
        dealing: Dealing,
        normalise: tuple[tuple[float, ...], tuple[float, ...]],
        place: Place,
    ) -> None:
        self.dealing, self.place = dealing, place
        self._images = pictures.images[indices].to(place.device)
        self._labels = pictures.labels[indices].to(place.device)
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in normalise)
        self._scale = (1 / (255 * std)).to(place.device, place.dtype)[None, :, None, None]
        self._shift = (mean / std).to(place.device, place.dtype)[None, :, None, None]
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        """How many batches an epoch has."""
        return math.ceil(self.count / self.dealing.batch)

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self._labels)

    def at(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """Normalised pictures (B, C, H, W) and labels (B,); this process's share of the batch."""
        chosen = self._chosen(epoch, step)[self.place.rank :: self.place.ranks]
        chosen = chosen.to(self._images.device)
        generator = self._generator(f"augment {epoch} {step} {self.place.rank}")
        augment = self.dealing.augment
        images = augment.moved(self._images[chosen], generator)
        images = images.to(self.place.dtype) * self._scale - self._shift
        return augment.holed(images, generator), self._labels[chosen]

    def _chosen(self, epoch: int, step: int) -> Tensor:
        size, order = self.dealing.batch, self.dealing.order
        if order == "fresh":
            generator = self._generator(f"fresh {epoch} {step}")
            return torch.randperm(self.count, generator=generator)[:size]
        if order == "file":
            return torch.arange(step * size, min((step + 1) * size, self.count))
        if self._epoch != epoch:
            generator = self._generator(f"order {epoch}")
            self._permutation = torch.randperm(self.count, generator=generator)
            self._epoch = epoch
        return self._permutation[step * size : (step + 1) * size]

    def _generator(self, label: str) -> torch.Generator:
        return lowering.generator(self.dealing.seed, f"{self.dealing.name} {label}")
