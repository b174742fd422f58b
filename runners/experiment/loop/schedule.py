"""The epochs of a search in order: stages, then the epochs between decisions."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from runners.experiment.decided import Decided
from runners.experiment.parts.moment import Phase
from runners.experiment.parts.select import BestOf, Projection, Selection, Tuning
from runners.experiment.settings import Settings


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


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search will do: epochs of its stages, of tuning between `rounds` of projection, and
    how many candidates it measures at its end."""

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


def planned(settings: Settings, select: Selection, decided: Decided) -> Plan:
    """The plan of a search with these settings."""
    stages = tuple(stage.epochs for stage in settings.stages)
    if isinstance(select, Projection):
        rounds = select.rounds(decided)
        return Plan(stages, select.length(rounds), rounds)
    return Plan(stages, candidates=select.count if isinstance(select, BestOf) else 0)


def schedule(settings: Settings, tuning: Tuning | None, *, restarts: bool) -> tuple[Epoch, ...]:
    """All epochs.

    The rate falls as a cosine over the search's epochs, over stages too. The published code of
    DrNAS restarts its optimiser at the full rate with each stage and goes on with the cosine's
    ratios (`restarts`): after half of the epochs what is above the minimum is twice as much.
    """
    found: list[Epoch] = []
    for number, stage in enumerate(settings.stages):
        start = len(found) if restarts else 0
        for place in range(stage.epochs):
            at = len(found)
            rate = _rate(settings, at, start)
            warming = place < stage.warm_up
            found.append(Epoch(at, "search", at, settings.epochs, number, rate, warming))
    last = max(len(settings.stages) - 1, 0)
    for place in range(tuning.epochs if tuning else 0):
        assert tuning is not None
        rate = _cosine(tuning.rate, tuning.minimum, place, tuning.epochs)
        found.append(Epoch(len(found), "projection", place, tuning.epochs, last, rate, False))
    return tuple(found)


def _rate(settings: Settings, epoch: int, start: int) -> float:
    """The rate of an epoch, where the cosine has its full height at `start`."""
    lr, minimum, warm_up = (
        settings.optimizer.lr,
        settings.schedule.minimum,
        settings.schedule.warm_up,
    )
    if epoch < warm_up:
        return lr * (epoch + 1) / warm_up
    height = _cosine(1.0, 0.0, start, settings.epochs)
    full = minimum + (lr - minimum) / height
    return _cosine(full, minimum, epoch, settings.epochs)


def _cosine(start: float, end: float, epoch: int, epochs: int) -> float:
    """minimum + (start − minimum)/2 · (1 + cos(π e/E))."""
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2
