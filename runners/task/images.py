"""Classification of images: batches of a search and of a training, and cross-entropy."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from nasir import Graph, NasirError
from runners.data.images import ImageSet, ImageTensors, halves
from runners.data.load import AUTODL
from runners.experiment.experiment import Experiment
from runners.experiment.recipe import ImagesSection, Recipe, Settings, Train
from runners.machine.device import Place, distinct
from runners.task.batches import Batches
from runners.task.task import Batch, Outcome, Split, Task


class Images(Task):
    """Cross-entropy on images.

    `streams` are batches of training images: `train` for the weights, `valid` for the architecture
    of a search, `plain` as they are, in file order. `held` are the held-out splits. `numbers` has
    the smoothing of labels and the weight of the auxiliary head.
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
        self.sizes = {
            "classes": len(data.classes),
            "resolution": data.resolution,
            "in_channels": data.channels,
        }

    def steps(self, epoch: int) -> int:
        """The same in every epoch."""
        del epoch
        return len(self.streams["train"])

    def prepare(self, graph: Graph) -> Graph:
        """Unchanged. Raises an error for a network of images of another size, or of other
        classes.
        """
        about = graph.about
        for name, value in self.sizes.items():
            if name in about and int(about[name]) != value:
                message = f"the network has {name} {about[name]}, and the data {value}"
                hint = f"leave --{name.replace('_', '-')} out, or name data of that size"
                raise NasirError("E505", message, hint=hint)
        return graph

    def train(self, epoch: int, step: int) -> Batch:
        """A batch for the weights."""
        image, label = self.streams["train"].at(epoch, step)
        return Batch((image,), label, "train")

    def valid(self, epoch: int, step: int) -> Batch:
        """A batch for the architecture."""
        image, label = self.streams["valid"].at(epoch, step)
        return Batch((image,), label, "valid")

    def plain(self) -> Iterator[Batch]:
        """The images that weights learn from, in order, not augmented."""
        for image, label in self.streams["plain"]:
            yield Batch((image,), label, "train")

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """The held-out images, in order."""
        for image, label in self.held[split]:
            yield Batch((image,), label, split)

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Cross-entropy of the logits; for the training stream smoothed, with the auxiliary head's.

        `total` is plain cross-entropy of the network's own logits, whatever is minimised.
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
    """The task of a search: weights learn from one part, the architecture from the other.

    As published, held-out images are augmented too (their loader shares the transform), and the
    architecture's batches are drawn afresh at every step. Raises an error where a part is empty, or
    where weights would miss a class.
    """
    search, limit = experiment.searching, experiment.run.limit
    seed = experiment.seed if search.shuffled else None
    learn, held = (part[:limit] for part in halves(len(data.train), search.split, seed))
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
    """The task of a training.

    The first (1 - validation) of the training images in file order are learnt from, augmented; the
    rest is held out as `valid`, and the data's own test images as `test`, neither augmented. Raises
    an error where an epoch has no batch, or for a random part of images in memory.
    """
    section = recipe.images
    if section.area and isinstance(data.train, ImageTensors):
        message = f"images.area={section.area:g} is for images that stay in files"
        raise NasirError("E505", message, hint="--set images.area=0, or --data imagenet:PATH")
    learn, held = halves(len(data.train), 1 - recipe.train.validation)
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
        message = f"an epoch has no batch: {sampled.count} images are learnt from"
        raise NasirError("E702", message, hint="smaller batches, or train.tail=kept")
    streams = {"train": sampled, "plain": plain(data.train, learn)}
    return Images(data, streams, parts, recipe.train)


def augmentation(data: ImageSet, cutout: int) -> ImagesSection:
    """A crop by an eighth of the side and, unless mirrored ones mean something else, a flip.

    At 32 pixels that is the papers' crop of 4, at 16 ImageNet16-120's of 2. Digits are not
    mirrored (SVHN's are, in the papers' code). ImageNet takes a random part of each image, at
    least 8 % of it.
    """
    if data.name == "imagenet":
        return ImagesSection(flip=True, area=0.08, cutout=cutout)
    flip = data.name != "digits"
    return ImagesSection(crop=data.resolution // 8, flip=flip, cutout=cutout)


def _check_classes(data: ImageSet, indices: Tensor) -> None:
    """Raises an error where a split in file order leaves a class out of what weights learn from."""
    labels = data.train.labels
    missing = set(distinct(labels)) - set(distinct(labels[indices]))
    if missing:
        name = data.classes[min(missing)]
        message = f"the part that weights learn from has no image of class '{name}'"
        raise NasirError("E505", message, hint="--shuffled splits by the seed, not in file order")


def _wide(logits: Tensor) -> Tensor:
    """In float32 at least: losses of bfloat16 are coarse."""
    return logits.float() if logits.dtype.itemsize < 4 else logits
