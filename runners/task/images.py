"""Images with labels: a training set in two parts, and cross-entropy."""

from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from nasir import NasirError
from runners.data import (
    Augment,
    Batches,
    Dealing,
    ImageSet,
    Order,
    halves,
    load_images,
)
from runners.machine.device import Place, distinct
from runners.task.image_task import ImageTask
from runners.task.options import TaskOptions
from runners.task.task import Batch, Outcome, Split


class Images(ImageTask):
    """The images task of a search: weights learn from one part, the architecture from the other.

    As published, held-out images are augmented too (their loader shares the transform), and the
    architect's batches are drawn afresh at every step.
    """

    def __init__(self, data: ImageSet, options: TaskOptions, place: Place) -> None:
        super().__init__(data)
        self.options = options
        count = len(data.train)
        learn, held = halves(count, options.split, options.seed if options.shuffled else None)
        augment = augmentation(data, options.cutout)
        deals: tuple[tuple[str, Tensor, Order], ...] = (
            ("train", learn, "shuffled"),
            ("valid", held, "fresh"),
            ("held out", held, "file"),
        )
        self._train, self._valid, self._held = (
            Batches(
                data.train,
                indices[: options.limit],
                Dealing(name, options.seed, options.batch, order, augment),
                (data.mean, data.std),
                place,
            )
            for name, indices, order in deals
        )
        _check_classes(data, learn[: options.limit])
        for name, batches in (("weights", self._train), ("the architecture", self._valid)):
            if not batches.count:
                message = f"no images are left for {name}: {count} split at {options.split:g}"
                raise NasirError("E702", message, hint="another --split")

    @property
    def largest(self) -> int:
        """Images in a batch."""
        return self.options.batch

    def steps(self, epoch: int) -> int:
        """The same in every epoch."""
        del epoch
        return len(self._train)

    def train(self, epoch: int, step: int) -> Batch:
        """A batch for the weights."""
        image, label = self._train.at(epoch, step)
        return Batch((image,), label, "train")

    def valid(self, epoch: int, step: int) -> Batch:
        """A batch for the architect."""
        image, label = self._valid.at(epoch, step)
        return Batch((image,), label, "valid")

    @property
    def splits(self) -> tuple[Split, ...]:
        """What the architecture learns from."""
        return ("valid",)

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """The held-out part, in order."""
        assert split == "valid", "a search leaves test images alone"
        for step in range(len(self._held)):
            image, label = self._held.at(0, step)
            yield Batch((image,), label, "valid")

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Cross-entropy of the logits."""
        logits = run(*batch.inputs, *mixture)
        loss = F.cross_entropy(
            logits.float() if logits.dtype.itemsize < 4 else logits, batch.target
        )
        correct = (logits.detach().argmax(1) == batch.target).sum()
        count = len(batch.target)
        return Outcome(loss, loss.detach() * count, correct, count)


def search_images(options: TaskOptions, place: Place) -> Images:
    """The images task on the data that the options name. Raises E701 to E709."""
    return Images(load_images(options.data, options.progress), options, place)


def augmentation(data: ImageSet, cutout: int) -> Augment:
    """A crop by an eighth of the side and, unless mirrored ones mean something else, a flip.

    At 32 pixels that is the papers' crop of 4, at 16 ImageNet16-120's of 2. Digits are not
    mirrored (SVHN's are, in the papers' code). ImageNet takes a random part of each image, at
    least 8 % of it.
    """
    if data.name == "imagenet":
        return Augment(flip=True, area=0.08, cutout=cutout)
    return Augment(data.resolution // 8, data.name != "digits", cutout)


def _check_classes(data: ImageSet, indices: Tensor) -> None:
    """Raises E743 where a split in file order leaves a class out of what weights learn from."""
    labels = data.train.labels
    missing = set(distinct(labels)) - set(distinct(labels[indices]))
    if missing:
        name = data.classes[min(missing)]
        message = f"the part that weights learn from has no image of class '{name}'"
        raise NasirError("E743", message, hint="--shuffled splits by the seed, not in file order")
