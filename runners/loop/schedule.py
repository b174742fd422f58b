"""The epochs of a search in order: stages, then the epochs between decisions."""

import math
from dataclasses import dataclass

from runners.parts.moment import Phase
from runners.parts.select import Tuning
from runners.settings import Settings


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch: its number over all, its place in its phase, its stage, its learning rate.

    `warming` says that the architect waits; warm-ups count within a stage, as DrNAS has it.
    """

    number: int
    phase: Phase
    place: int
    of: int
    stage: int
    rate: float
    warming: bool


def schedule(settings: Settings, tuning: Tuning | None, *, doubled: bool) -> tuple[Epoch, ...]:
    """All epochs.

    The rate falls as a cosine over the search's epochs, over stages too: the published code of
    DrNAS restarts its optimiser with each stage and then runs at twice the rate (`doubled`).
    """
    found: list[Epoch] = []
    for number, stage in enumerate(settings.stages):
        for place in range(stage.epochs):
            at = len(found)
            rate = _rate(settings, at, settings.epochs)
            rate *= 2.0 if doubled and number else 1.0
            warming = place < stage.warm_up
            found.append(Epoch(at, "search", at, settings.epochs, number, rate, warming))
    last = max(len(settings.stages) - 1, 0)
    for place in range(tuning.epochs if tuning else 0):
        assert tuning is not None
        rate = _cosine(tuning.rate, tuning.minimum, place, tuning.epochs)
        found.append(Epoch(len(found), "projection", place, tuning.epochs, last, rate, False))
    return tuple(found)


def _rate(settings: Settings, epoch: int, epochs: int) -> float:
    if epoch < settings.rate_warm_up:
        return settings.rate * (epoch + 1) / settings.rate_warm_up
    return _cosine(settings.rate, settings.minimum, epoch, epochs)


def _cosine(start: float, end: float, epoch: int, epochs: int) -> float:
    """minimum + (start − minimum)/2 · (1 + cos(π e/E))."""
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2
