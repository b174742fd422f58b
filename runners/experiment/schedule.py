"""The epochs of a search or a training in order, each with its learning rate."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from runners.experiment.decided import Decided
from runners.experiment.parts.moment import Moment
from runners.experiment.parts.select import BestOf, Projection, Selection, Tuning
from runners.experiment.recipe import Recipe
from runners.experiment.settings import Settings


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch: its place, its stage, the learning rate of its first step.

    `within` gives the rate after a share of its steps, where that changes. `warming` says that the
    architect waits; warm-ups count within a stage, as in DrNAS.
    """

    at: Moment
    rate: float
    stage: int = 0
    warming: bool = False
    within: Callable[[float], float] | None = None

    def rate_at(self, share: float) -> float:
        """The learning rate after that share of the steps, from 0."""
        return self.rate if self.within is None else self.within(share)


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """The epochs of a search's stages, those of tuning between `rounds` of projection, and the
    number of candidates that it measures at its end."""

    stages: tuple[int, ...]
    tuning: int = 0
    rounds: int = 0
    candidates: int = 0

    @property
    def epochs(self) -> int:
        """In all."""
        return sum(self.stages) + self.tuning

    @property
    def words(self) -> str:
        """The plan in a line."""
        parts: list[str] = []
        if len(self.stages) > 1:
            parts.append(f"stages of {', '.join(map(str, self.stages))}")
        if self.rounds:
            parts.append(f"{sum(self.stages)} of search")
            parts.append(f"{self.tuning} of tuning between {self.rounds} projections")
        total = f"{self.epochs} epochs" + (f" ({'; '.join(parts)})" if parts else "")
        last = f", then the best of {self.candidates:,} candidates" if self.candidates else ""
        return f"{total}{last}"

    def facts(self) -> dict[str, Any]:
        """As plain data."""
        return {"epochs": self.epochs, **asdict(self)}


def planned(settings: Settings, select: Selection, decided: Decided) -> EpochPlan:
    """The plan of a search with these settings."""
    stages = tuple(stage.epochs for stage in settings.stages)
    if isinstance(select, Projection):
        rounds = select.rounds(decided)
        return EpochPlan(stages, select.length(rounds), rounds)
    return EpochPlan(stages, candidates=select.count if isinstance(select, BestOf) else 0)


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
            rate = _search_rate(settings, at.number, start)
            found.append(Epoch(at, rate, number, place < stage.warm_up))
    last = max(len(settings.stages) - 1, 0)
    for place in range(tuning.epochs if tuning else 0):
        assert tuning is not None
        at = Moment(seed, place, tuning.epochs, len(found), phase="projection")
        rate = _cosine(tuning.rate, tuning.minimum, place, tuning.epochs)
        found.append(Epoch(at, rate, last))
    return tuple(found)


def _search_rate(settings: Settings, epoch: int, start: int) -> float:
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
        rate = partial(_training_rate, recipe, number)
        return Epoch(at, rate(0.0), within=rate if recipe.schedule.by == "batch" else None)

    return tuple(map(epoch, range(recipe.train.epochs)))


def _training_rate(recipe: Recipe, epoch: int, share: float) -> float:
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
