"""Batches of pictures that can be asked for in any order."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lowering import generator
from runners.data.augment import Augment
from runners.data.pictures import Pictures

Order = Literal["shuffled", "fresh", "stored"]
"""An epoch is a shuffle; or every step draws from all pictures anew; or they come as stored."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which pictures a batch holds. `size` counts those of all `ranks` processes together.

    `name` keeps the draws of several streams apart. quark0's DARTS takes its validation batches
    `fresh`: it makes a new loader in every step. The last batch of an epoch may be smaller.
    """

    size: int
    seed: int = 0
    name: str = "train"
    order: Order = "shuffled"
    rank: int = 0
    ranks: int = 1


@dataclass(frozen=True, slots=True)
class View:
    """What becomes of bytes: (x / 255 - mean) / std by channel, augmented, on a device."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    augment: Augment | None = None
    device: str = "cpu"


class Batches:
    """Batches by (epoch, step): the same whenever they are asked for, so that a loop can resume.

    What is random depends on the seed, the stream's name, the epoch and the step alone, and is
    drawn on the CPU for the batch of all ranks, each of which takes its share.
    """

    def __init__(
        self, pictures: Pictures, indices: Tensor | None, sampling: Sampling, view: View
    ) -> None:
        count = len(pictures) if indices is None else len(indices)
        assert count, "a stream of no pictures"
        self.sampling = sampling
        self.view = view
        self._pictures = pictures.to(view.device)
        self._indices = torch.arange(count) if indices is None else indices.cpu()
        std = torch.tensor(view.std, device=view.device)[:, None, None]
        mean = torch.tensor(view.mean, device=view.device)[:, None, None]
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._epoch = -1
        self._permutation = self._indices

    def __len__(self) -> int:
        """The steps of an epoch."""
        return -(-len(self._indices) // self.sampling.size)

    def at(self, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        """This rank's pictures, float32 (B, C, H, W), and labels, int64 (B,).

        Raises IndexError past the epoch's end, except where every step draws anew.
        """
        sampling = self.sampling
        source = generator(sampling.seed, f"{sampling.name} {epoch} {step}")
        chosen = self._chosen(epoch, step, source)
        share = slice(sampling.rank, None, sampling.ranks)
        mine = chosen[share].to(self.view.device)
        images = self._pictures.images.index_select(0, mine)
        labels = self._pictures.labels.index_select(0, mine)
        augment = self.view.augment
        if augment is None:
            return self._normalised(images), labels
        height, width = images.shape[2:]
        draws = augment.draw((len(chosen), height, width), source)
        draws = draws.part(sampling.rank, sampling.ranks)
        return augment.blanked(self._normalised(augment.moved(images, draws)), draws), labels

    def _chosen(self, epoch: int, step: int, source: torch.Generator) -> Tensor:
        size = self.sampling.size
        if self.sampling.order == "fresh":
            return self._indices[torch.randperm(len(self._indices), generator=source)[:size]]
        if not 0 <= step < len(self):
            raise IndexError(f"step {step} of an epoch of {len(self)}")
        return self._ordered(epoch)[step * size : (step + 1) * size]

    def _ordered(self, epoch: int) -> Tensor:
        """The epoch's indices; the last epoch's shuffle is kept."""
        if self.sampling.order == "stored":
            return self._indices
        if epoch != self._epoch:
            source = generator(self.sampling.seed, f"{self.sampling.name} {epoch}")
            shuffle = torch.randperm(len(self._indices), generator=source)
            self._epoch, self._permutation = epoch, self._indices[shuffle]
        return self._permutation

    def _normalised(self, images: Tensor) -> Tensor:
        return torch.addcmul(self._shift, images.float(), self._scale).contiguous()
