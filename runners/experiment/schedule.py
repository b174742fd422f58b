"""The epochs of a search or a training in order: their random numbers and learning rates."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

import lowering
from runners.experiment.recipe import Recipe, Settings
from runners.machine.device import set_generators

Phase = Literal["search", "projection", "train"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of an epoch, of `epochs` in its phase; `number` counts epochs over all phases.

    Random numbers depend on the seed, the place, the purpose (one step has several) and a label
    alone, so that nothing random has to be kept: whoever asks again draws the same.
    """

    seed: int
    epoch: int
    epochs: int
    number: int
    step: int = 0
    phase: Phase = "search"
    purpose: str = ""

    @property
    def share(self) -> float:
        """The epoch as a share of all, from 0; never 1."""
        return self.epoch / self.epochs

    @property
    def progress(self) -> float:
        """From 0 in the first epoch to 1 in the last."""
        return self.epoch / max(self.epochs - 1, 1)

    def generator(self, label: str) -> torch.Generator:
        """A source of random numbers on the CPU."""
        return lowering.generator(self.seed, f"{label} {self.number} {self.step} {self.purpose}")

    def seed_of(self, label: str) -> int:
        """A number for whatever takes a seed, from 0 to 2**31 - 1."""
        return int(torch.randint(2**31 - 1, (), generator=self.generator(label)))

    def reseed(self, label: str) -> None:
        """Sets torch's own generators, on every device."""
        set_generators(self.seed_of(label))


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch: its place, its stage, the learning rate of its first step.

    `within` gives the rate after a share of its steps, where that changes. `warming` says that the
    architect waits; warm-ups count within a stage, as in DrNAS.
    """

    at: Moment
    lr: float
    stage: int = 0
    warming: bool = False
    within: Callable[[float], float] | None = None

    def lr_at(self, share: float) -> float:
        """The learning rate after that share of the steps, from 0."""
        return self.lr if self.within is None else self.within(share)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Epochs between a search's decisions: how many, and the learning rate of the weights."""

    epochs: int
    lr: float
    minimum: float


def search_epochs(
    settings: Settings, tuning: Tuning | None, *, restarts: bool, seed: int = 0
) -> tuple[Epoch, ...]:
    """All epochs of a search.

    The rate falls as a cosine over the search's epochs, over stages too. The published code of
    DrNAS restarts its optimiser at the full rate with each stage and continues the cosine's ratios
    (`restarts`): after half of the epochs what is above the minimum is twice as much.
    """
    found: list[Epoch] = []
    for number, stage in enumerate(settings.stages):
        start = len(found) if restarts else 0
        for place in range(stage.epochs):
            at = Moment(seed, len(found), settings.epochs, len(found))
            lr = _search_lr(settings, at.number, start)
            found.append(Epoch(at, lr, number, place < stage.warm_up))
    last = max(len(settings.stages) - 1, 0)
    for place in range(tuning.epochs if tuning else 0):
        assert tuning is not None
        at = Moment(seed, place, tuning.epochs, len(found), phase="projection")
        lr = _cosine(tuning.lr, tuning.minimum, place, tuning.epochs)
        found.append(Epoch(at, lr, last))
    return tuple(found)


def _search_lr(settings: Settings, epoch: int, start: int) -> float:
    """The rate of an epoch, where the cosine has its full height at `start`."""
    lr, warm_up = settings.optimizer.lr, settings.schedule.warm_up
    if epoch < warm_up:
        return lr * (epoch + 1) / warm_up
    minimum = settings.schedule.minimum
    full = minimum + (lr - minimum) / _cosine(1.0, 0.0, start, settings.epochs)
    return _cosine(full, minimum, epoch, settings.epochs)


def training_epochs(recipe: Recipe, seed: int) -> tuple[Epoch, ...]:
    """All epochs of a training. See `recipe.Schedule`."""

    def epoch(number: int) -> Epoch:
        at = Moment(seed, number, recipe.train.epochs, number, phase="train")
        lr = partial(_training_lr, recipe, number)
        return Epoch(at, lr(0.0), within=lr if recipe.schedule.by == "batch" else None)

    return tuple(map(epoch, range(recipe.train.epochs)))


def _training_lr(recipe: Recipe, epoch: int, share: float) -> float:
    """The learning rate after that share of an epoch's steps; all count from 0."""
    schedule, epochs, base = recipe.schedule, recipe.train.epochs, recipe.optimizer.lr
    if epoch < schedule.warm_up:
        return base * (epoch + 1) / schedule.warm_up
    place = epoch + share
    if schedule.name == "cosine":
        return _cosine(base, schedule.minimum, place, epochs)
    if schedule.name == "exponential":
        return base * schedule.gamma**place
    if schedule.name == "linear":
        return base * _linear(place, epochs, min(schedule.tail, epochs - 1))
    return base


def _cosine(start: float, end: float, epoch: float, epochs: int) -> float:
    """minimum + (start − minimum)/2 · (1 + cos(π e/E))."""
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def _linear(place: float, epochs: int, tail: int) -> float:
    """As the code of PC-DARTS falls: to 0, and from a little more than 0 once again in the tail."""
    long = epochs - tail
    if place < long or not tail:
        return (long - place) / long
    return (epochs - place) / (long * tail)
