"""Classification of images: batches of searches and trainings, and cross-entropy."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir import NasirError
from runners.data.images import ImageSet, ImageTensors, split_indices
from runners.data.load import AUTODL
from runners.experiment.experiment import Experiment
from runners.experiment.recipe import ImagesSection, Recipe, Settings, Train
from runners.machine.device import Place, distinct
from runners.task.batches import Batches
from runners.task.task import WHOLE, Batch, Outcome, Split, Task


class Images(Task):
    """Classification with cross-entropy.

    `streams` are batches of training images: `train` for the weights, `valid` for the architecture
    of a search, `plain` in file order without augmentation. `held` are the held-out splits.
    `numbers` has label smoothing and the auxiliary head's weight.
    """

    name = "images"
    metric = "accuracy"

    def __init__(
        self,
        data: ImageSet,
        streams: Mapping[str, Batches],
        held: Mapping[Split, Batches],
        numbers: Train | None = None,
    ) -> None:
        self.streams, self.held, self.numbers = streams, held, numbers or Train()
        self.fingerprint, self.classes, self.splits = data.fingerprint, data.classes, tuple(held)
        for stream in map(streams.get, ("train", "valid")):
            if stream is not None:  # an epoch's last batch is the smallest: it fails now
                stream.place.ranks.part(stream.size(len(stream) - 1))
        self.sizes = {
            "classes": len(data.classes),
            "resolution": data.resolution,
            "in_channels": data.channels,
        }

    def steps(self, epoch: int) -> int:
        """Returns the number of steps, equal in every epoch."""
        del epoch
        return len(self.streams["train"])

    def train(self, epoch: int, step: int) -> Batch:
        """Returns a batch for the weights."""
        return self._batch("train", epoch, step)

    def valid(self, epoch: int, step: int) -> Batch:
        """Returns a batch for the architecture."""
        return self._batch("valid", epoch, step)

    def _batch(self, name: Literal["train", "valid"], epoch: int, step: int) -> Batch:
        """Returns this process's part of a batch."""
        stream = self.streams[name]
        part = stream.place.ranks.part(stream.size(step))
        image, label = stream.at(epoch, step, part)
        return Batch((image,), label, name, part=part)

    def plain(self) -> Iterator[Batch]:
        """Yields the weights' training images in order, without augmentation."""
        for image, label in self.streams["plain"]:
            yield Batch((image,), label, "train")

    def held_out(self, split: Split = "valid", steps: slice = WHOLE) -> Iterator[Batch]:
        """Yields the held-out images in order."""
        for image, label in self.held[split].some(steps):
            yield Batch((image,), label, split)

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Returns the cross-entropy; the training stream's with smoothing and auxiliary head.

        `total` is the plain cross-entropy of the main logits.
        """
        found = cast("Tensor | tuple[Tensor, ...]", run(*batch.inputs, *mixture))
        logits, *others = map(_wide, (found,) if isinstance(found, Tensor) else found)
        target, count, smoothing = batch.target, len(batch.target), self.numbers.smoothing
        loss = plain = F.cross_entropy(logits, target)
        if batch.stream == "train":
            if smoothing:
                loss = F.cross_entropy(logits, target, label_smoothing=smoothing)
            for other in others:
                smoothed = F.cross_entropy(other, target, label_smoothing=smoothing)
                loss = loss + self.numbers.auxiliary * smoothed
        logits = logits.detach()
        correct = (logits.argmax(1) == target).sum()
        return Outcome(loss, plain.detach() * count, correct, count, logits=logits)


def search_images(
    data: ImageSet, experiment: Experiment, settings: Settings, place: Place
) -> Images:
    """Returns the task of a search: one split for the weights, the other for the architecture.

    As published, held-out images are augmented too (their loader shares the transform), and the
    architecture's batches are sampled anew in every step. Raises an error for an empty split, or if
    the weights' split lacks a class.
    """
    search, limit = experiment.searching, experiment.run.limit
    seed = experiment.seed if search.shuffled else None
    learn, held = (part[:limit] for part in split_indices(len(data.train), search.split, seed))
    _check_classes(data, learn)
    for name, part in (("weights", learn), ("the architecture", held)):
        if not len(part):
            count = len(data.train)
            message = f"no images are left for {name}: {count} split at {search.split:g}"
            raise NasirError("E702", message, hint="another --split")
    batches = partial(
        Batches,
        data.train,
        normalise=data.statistics,
        place=place,
        seed=experiment.seed,
        batch=settings.train.batch,
        augment=augmentation(data, settings.images.cutout),
    )
    streams = {
        "train": batches(learn, name="train"),
        "valid": batches(held, name="valid", order="fresh"),
    }
    return Images(data, streams, {"valid": batches(held, name="held out", order="file")})


def training_images(
    data: ImageSet, recipe: Recipe, place: Place, seed: int, limit: int | None
) -> Images:
    """Returns the task of a training.

    The first (1 - validation) of the training images in file order are trained on, with
    augmentation; the rest is held out as `valid`, and the data's own test images as `test`. Raises
    an error if an epoch has no batch, or for `images.area` with images in memory.
    """
    section = recipe.images
    if section.area and isinstance(data.train, ImageTensors):
        message = f"images.area={section.area:g} is for images that stay in files"
        raise NasirError("E505", message, hint="--set images.area=0, or --data imagenet:PATH")
    learn, held = split_indices(len(data.train), 1 - recipe.train.validation)
    normalise = data.statistics
    if section.normalise == "autodl":
        normalise = AUTODL.get(data.name, normalise)
    batches = partial(
        Batches, normalise=normalise, place=place, seed=seed, batch=recipe.train.batch
    )
    plain = partial(batches, name="plain", order="file")
    learn, held = learn[:limit], held[:limit]
    sampled = batches(data.train, learn, name="train", augment=section, tail=recipe.train.tail)
    parts: dict[Split, Batches] = {}
    if len(held):
        parts["valid"] = plain(data.train, held)
    if data.test is not None:
        parts["test"] = plain(data.test, torch.arange(len(data.test))[:limit])
    if not len(sampled):
        message = f"an epoch has no batch: there are {sampled.count} training images"
        raise NasirError("E702", message, hint="smaller batches, or train.tail=kept")
    streams = {"train": sampled, "plain": plain(data.train, learn)}
    return Images(data, streams, parts, recipe.train)


def augmentation(data: ImageSet, cutout: int) -> ImagesSection:
    """Returns a crop by an eighth of the side and, except for digits, a flip.

    At 32 pixels this is the papers' crop of 4, at 16 ImageNet16-120's of 2. SVHN is flipped too, as
    in the papers' code. ImageNet has random resized crops of at least 8 % of the area.
    """
    if data.name == "imagenet":
        return ImagesSection(flip=True, area=0.08, cutout=cutout)
    flip = data.name != "digits"
    return ImagesSection(crop=data.resolution // 8, flip=flip, cutout=cutout)


def _check_classes(data: ImageSet, indices: Tensor) -> None:
    """Raises an error if the weights' split lacks a class, as a split in file order may."""
    labels = data.train.labels
    missing = set(distinct(labels)) - set(distinct(labels[indices]))
    if missing:
        name = data.classes[min(missing)]
        message = f"the weights' split has no image of class '{name}'"
        raise NasirError("E505", message, hint="--shuffled splits by the seed, not in file order")


def _wide(logits: Tensor) -> Tensor:
    """Converts logits to float32 or wider, since losses in bfloat16 are coarse."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
