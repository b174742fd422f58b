"""The numbers of a search: stages, optimisers, batch."""

from dataclasses import dataclass
from typing import Literal

Order = Literal["architecture-first", "weights-first"]
"""What learns first in a step."""

Covers = Literal["weights", "all"]
"""Whose gradients have their norm clipped in the weights' step: `all` are the logits' too."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Epochs with one supernet, of which the first `warm_up` are without architect steps.

    `options` are how many options each choice of ops keeps when the stage begins (None: all), and
    ops see 1/`parts` of the channels.
    """

    epochs: int
    warm_up: int = 0
    options: int | None = None
    parts: int = 1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a method trains with.

    Weights: SGD at `rate`, falling as a cosine to `minimum` over all epochs (`rate_warm_up` epochs
    rise linearly first), `momentum`, L2 `decay`, gradients clipped to the norm `clip` (0: not) of
    what `clip_covers`. Logits: Adam at `logit_rate` with `betas`, gradients clipped to `logit_clip`
    (0: not); their L2 is the regulariser's. `order` says which of the two learns first in a step.
    """

    batch: int = 64
    rate: float = 0.025
    minimum: float = 0.001
    rate_warm_up: int = 0
    momentum: float = 0.9
    nesterov: bool = False
    decay: float = 3e-4
    clip: float = 5.0
    clip_covers: Covers = "weights"
    logit_rate: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    logit_clip: float = 0.0
    order: Order = "architecture-first"
    stages: tuple[Stage, ...] = (Stage(50),)
    sizes: tuple[tuple[str, int], ...] = ()

    @property
    def epochs(self) -> int:
        """Of all stages."""
        return sum(stage.epochs for stage in self.stages)
