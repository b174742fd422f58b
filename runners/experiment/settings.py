"""The numbers of a search: stages, optimisers, batch."""

from dataclasses import dataclass
from typing import Literal

from runners.fields import (
    AnyEpochs,
    BatchSize,
    Count,
    Epochs,
    Number,
    Ranged,
    Share,
)

Order = Literal["architecture-first", "weights-first"]
"""What learns first in a step."""

Covers = Literal["weights", "all"]
"""Whose gradients have their norm clipped in the weights' step: `all` are the logits' too."""

STAGES, EPOCHS = 100, 100_000
"""Of a search, at most."""


@dataclass(frozen=True, slots=True)
class Stage(Ranged):
    """Epochs with one supernet, of which the first `warm_up` are without architect steps.

    `options` are how many options each choice of ops keeps when the stage begins (None: all), and
    ops see 1/`parts` of the channels.
    """

    epochs: Epochs
    warm_up: AnyEpochs = 0
    options: Count | None = None
    parts: Count = 1


@dataclass(frozen=True, slots=True)
class Settings(Ranged):
    """What a method trains with.

    Weights: SGD at `rate`, falling as a cosine to `minimum` over all epochs (`rate_warm_up` epochs
    rise linearly first), `momentum`, L2 `decay`, gradients clipped to the norm `clip` (0: not) of
    what `clip_covers`. Logits: Adam at `logit_rate` with `betas`, gradients clipped to `logit_clip`
    (0: not); their L2 is the regulariser's. `order` says which of the two learns first in a step.
    """

    batch: BatchSize = 64
    rate: Number = 0.025
    minimum: Number = 0.001
    rate_warm_up: AnyEpochs = 0
    momentum: Number = 0.9
    nesterov: bool = False
    decay: Number = 3e-4
    clip: Number = 5.0
    clip_covers: Covers = "weights"
    logit_rate: Number = 3e-4
    betas: tuple[Share, Share] = (0.5, 0.999)
    logit_clip: Number = 0.0
    order: Order = "architecture-first"
    stages: tuple[Stage, ...] = (Stage(50),)
    sizes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        Ranged.__post_init__(self)
        if len(self.stages) > STAGES or self.epochs > EPOCHS:
            counts = f"{len(self.stages)} stages with {self.epochs:,} epochs"
            raise ValueError(f"there are {counts}, and have to be at most {STAGES} with {EPOCHS:,}")

    @property
    def epochs(self) -> int:
        """Of all stages."""
        return sum(stage.epochs for stage in self.stages)
