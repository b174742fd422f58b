"""Images with labels for training from scratch: all training images, and held-out ones."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir import NasirError
from runners.data import AUTODL, Augment, Batches, Dealing, ImageSet, Jitter, halves
from runners.data.images import ImageTensors
from runners.experiment.recipe import ImagesSection, Recipe
from runners.machine.device import Place
from runners.task.dealt import Dealt
from runners.task.image_task import ImageTask
from runners.task.task import Batch, Outcome, Split

RANKED = 5
"""Of each held-out image so many classes are noted."""


class Classify(ImageTask):
    """Cross-entropy on images, as an evaluation trains and measures.

    The first (1 - validation) of the training images in file order are learnt from, augmented;
    the rest is held out as `valid`, and the data's own test images as `test`, both as they are.
    """

    def __init__(self, data: ImageSet, recipe: Recipe, dealt: Dealt, place: Place) -> None:
        super().__init__(data)
        self.recipe = recipe
        if recipe.pictures.area and isinstance(data.train, ImageTensors):
            message = f"pictures.area={recipe.pictures.area:g} is for images that stay in files"
            hint = "--set pictures.area=0, or --data imagenet:PATH"
            raise NasirError("E753", message, hint=hint)
        learn, held = halves(len(data.train), 1 - recipe.train.validation)
        normalise = (data.mean, data.std)
        if recipe.pictures.normalise == "autodl":
            normalise = AUTODL.get(data.name, normalise)
        dealing = Dealing("train", dealt.seed, recipe.train.batch, tail=recipe.train.tail)
        kept = slice(dealt.limit)
        learnt = replace(dealing, augment=augmentation(recipe.pictures))
        self._train = Batches(data.train, learn[kept], learnt, normalise, place)
        plain = replace(dealing, name="plain", order="file", tail="kept")
        self._plain = Batches(data.train, learn[kept], plain, normalise, place)
        self._held: dict[Split, Batches] = {}
        parts: dict[Split, tuple[Any, Tensor]] = {}
        if len(held):
            parts["valid"] = (data.train, held[kept])
        if data.test is not None:
            parts["test"] = (data.test, torch.arange(len(data.test))[kept])
        for split, (source, indices) in parts.items():
            self._held[split] = Batches(source, indices, plain, normalise, place)
        if not len(self._train):
            message = f"an epoch has no batch: {self._train.count} images are learnt from"
            raise NasirError("E702", message, hint="smaller batches, or train.tail=kept")

    @property
    def largest(self) -> int:
        """Images in a batch."""
        return self.recipe.train.batch

    @property
    def splits(self) -> tuple[Split, ...]:
        """The held-out parts that there are."""
        return tuple(self._held)

    def steps(self, epoch: int) -> int:
        """The same in every epoch."""
        del epoch
        return len(self._train)

    def train(self, epoch: int, step: int) -> Batch:
        """A batch for the weights."""
        image, label = self._train.at(epoch, step)
        return Batch((image,), label, "train")

    def plain(self) -> Iterator[Batch]:
        """What weights learn from, in order, as it is."""
        for step in range(len(self._plain)):
            image, label = self._plain.at(0, step)
            yield Batch((image,), label, "train")

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """The held-out images, in order, as they are."""
        batches = self._held[split]
        for step in range(len(batches)):
            image, label = batches.at(0, step)
            yield Batch((image,), label, split)

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Cross-entropy of the logits; of training with the auxiliary head's, smoothed.

        `total` is plain cross-entropy of the network's own logits, whatever is minimised.
        """
        found: Any = run(*batch.inputs, *mixture)
        logits, *others = map(_wide, _several(found))
        count = len(batch.target)
        plain = F.cross_entropy(logits, batch.target)
        if batch.stream != "train":
            ranked = logits.detach().topk(min(RANKED, logits.shape[1]), 1).indices
            correct = (ranked[:, 0] == batch.target).sum()
            return Outcome(plain, plain.detach() * count, correct, count, ranked=ranked)
        train = self.recipe.train
        loss = plain
        if train.smoothing:
            loss = F.cross_entropy(logits, batch.target, label_smoothing=train.smoothing)
        for other in others:
            smoothed = F.cross_entropy(other, batch.target, label_smoothing=train.smoothing)
            loss = loss + train.auxiliary * smoothed
        correct = (logits.detach().argmax(1) == batch.target).sum()
        return Outcome(loss, plain.detach() * count, correct, count)


def augmentation(section: ImagesSection) -> Augment:
    """The augmentation that a recipe names."""
    return Augment(
        section.crop,
        section.flip,
        section.cutout,
        section.area,
        Jitter() if section.jitter else None,
        section.cutouts,
    )


def _several(outputs: Any) -> tuple[Tensor, ...]:
    """The logits, and in training those of the auxiliary head."""
    return cast("tuple[Tensor, ...]", outputs if isinstance(outputs, tuple) else (outputs,))


def _wide(logits: Tensor) -> Tensor:
    """In float32 at least: losses of bfloat16 are coarse."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
