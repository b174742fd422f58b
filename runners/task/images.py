"""Pictures with labels: a training set in two parts, and cross-entropy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir import Graph
from runners.data import Augment, Batches, PictureSet, halves
from runners.place import Place
from runners.task.task import Batch, Outcome


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """How pictures are dealt out: in batches, by a split, to at most `limit` for each part."""

    batch: int = 64
    seed: int = 0
    split: float = 0.5
    shuffled: bool = False
    limit: int | None = None
    cutout: int = 0


class Images:
    """The images task of a search: weights learn from one part, the architecture from the other.

    As published, held-out pictures are augmented too (their loader shares the transform), and the
    architect's batches are drawn afresh at every step.
    """

    name = "images"
    metric = "accuracy"

    def __init__(self, pictures: PictureSet, options: ImageOptions, place: Place) -> None:
        self.pictures, self.options = pictures, options
        count = len(pictures.train.labels)
        learn, held = halves(count, options.split, options.seed if options.shuffled else None)
        learn, held = _first(learn, options.limit), _first(held, options.limit)
        self._train = self._batches("train", learn, place)
        self._valid = self._batches("valid", held, place)
        self._held = self._batches("held out", held, place)

    def _batches(self, name: str, indices: Tensor, place: Place) -> Batches:
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """The data's."""
        return self.pictures.fingerprint

    @property
    def sizes(self) -> Mapping[str, int]:
        """Classes, and pixels of a side."""
        return {"classes": len(self.pictures.classes), "resolution": self.pictures.resolution}

    @property
    def largest(self) -> int:
        """Pictures in a batch."""
        return self.options.batch

    def steps(self, epoch: int) -> int:
        """The same in every epoch."""
        del epoch
        return len(self._train)

    def prepare(self, graph: Graph) -> Graph:
        """Unchanged."""
        return graph

    def train(self, epoch: int, step: int) -> Batch:
        """A batch for the weights."""
        image, label = self._train.at(epoch, step)
        return Batch((image,), label, "train")

    def valid(self, epoch: int, step: int) -> Batch:
        """A batch for the architect."""
        image, label = self._valid.at(epoch, step % len(self._valid))
        return Batch((image,), label, "valid")

    def held_out(self) -> Iterator[Batch]:
        """The held-out part, in order."""
        for step in range(len(self._held)):
            image, label = self._held.at(0, step)
            yield Batch((image,), label, "valid")

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Cross-entropy of the logits; an auxiliary head's count 0.4 as in the papers."""
        logits = run(*batch.inputs, *mixture)
        loss = F.cross_entropy(logits.float() if logits.dtype.itemsize < 4 else logits, batch.target)
        correct = (logits.detach().argmax(1) == batch.target).sum()
        count = len(batch.target)
        return Outcome(loss, loss.detach() * count, correct, count)

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """Nothing: pictures do not go on."""
        del batch, outcome

    def state(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Nothing."""
        del state


def _first(indices: Tensor, limit: int | None) -> Tensor:
    return indices if limit is None else indices[:limit]


__all__ = ["Augment", "ImageOptions", "Images", "torch"]
