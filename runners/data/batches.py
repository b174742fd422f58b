"""Batches of images that can be asked for in any order."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

import lowering
from runners.data.augment import Augment
from runners.data.image_files import ImageFiles
from runners.data.images import ImageTensors
from runners.machine.device import Place

Order = Literal["file", "shuffled", "fresh"]
"""As they lie; an epoch is a shuffle; or every step draws from all images anew."""


_NOTHING = Augment()


@dataclass(frozen=True, slots=True)
class Dealing:
    """How images are sampled into batches.

    `name` keeps the draws of several streams apart. quark0's DARTS takes its validation batches
    `fresh`: it makes a new loader in every step. `tail` says what becomes of an epoch's last
    images, where they are less than a batch.
    """

    name: str
    seed: int
    batch: int
    order: Order = "shuffled"
    augment: Augment = _NOTHING
    tail: Literal["kept", "dropped"] = "kept"


class Batches:
    """Batches by (epoch, step): the same whenever they are asked for, so that a loop can resume.

    What is random depends on the seed, the stream's name, the epoch and the step alone, and is
    drawn on the CPU. The last batch of an epoch may be smaller, as in the papers' loaders.
    """

    def __init__(
        self,
        images: ImageTensors | ImageFiles,
        indices: Tensor,
        dealing: Dealing,
        normalise: tuple[tuple[float, ...], tuple[float, ...]],
        place: Place,
    ) -> None:
        self.dealing, self.place = dealing, place
        self._images, self._indices = images.placed(indices, place.device)
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in normalise)
        self._scale = (1 / (255 * std)).to(place.device, place.dtype)[None, :, None, None]
        self._shift = (mean / std).to(place.device, place.dtype)[None, :, None, None]
        self._epoch = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __len__(self) -> int:
        """The steps of an epoch."""
        if self.dealing.tail == "dropped":
            return self.count // self.dealing.batch
        return math.ceil(self.count / self.dealing.batch)

    @property
    def count(self) -> int:
        """The number of images."""
        return len(self._indices)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of epoch 0."""
        return (self.at(0, step) for step in range(len(self)))

    def at(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """The images, (B, C, H, W) normalised, and labels, int64 (B,).

        Raises IndexError past the epoch's end, except where every step draws anew.
        """
        chosen = self._chosen(epoch, step)
        augment = self.dealing.augment
        source = self._generator(f"augment {epoch} {step} 0")
        draws = augment.draw((len(chosen), *self._images.size), source)
        images = augment.moved(self._images.taken(chosen, draws.windows), draws)
        images = augment.coloured(images.to(self.place.dtype), draws)
        images = images.mul_(self._scale).sub_(self._shift)
        labels = self._images.labels
        return augment.blanked(images, draws), labels.index_select(0, chosen.to(labels.device))

    def _chosen(self, epoch: int, step: int) -> Tensor:
        size = self.dealing.batch
        if self.dealing.order == "fresh":
            source = self._generator(f"fresh {epoch} {step}")
            return self._indices[torch.randperm(self.count, generator=source)[:size]]
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)}")
        part = slice(step * size, (step + 1) * size)
        if self.dealing.order == "file":
            return self._indices[part]
        if self._epoch != epoch:  # the last epoch's shuffle is kept
            source = self._generator(f"order {epoch}")
            shuffle = torch.randperm(self.count, generator=source)
            self._epoch, self._permutation = epoch, self._indices[shuffle]
        return self._permutation[part]

    def _generator(self, label: str) -> torch.Generator:
        return lowering.generator(self.dealing.seed, f"{self.dealing.name} {label}")
