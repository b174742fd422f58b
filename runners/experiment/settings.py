"""The settings of a search, by section, in the words of a recipe."""

from dataclasses import dataclass
from typing import Literal

from runners.experiment.recipe import Sgd, Sizes
from runners.fields import (
    AnyEpochs,
    BatchSize,
    Count,
    Epochs,
    Number,
    Pixels,
    Ranged,
    Share,
)

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
class SearchTrain(Ranged):
    """`epochs` are all, tuning too, which the stages share in proportion (None: the stages' own).

    `batch` are images (columns of text) a step. `drop_path` is the largest probability to drop an
    edge, reached in the last epoch.
    """

    epochs: Epochs | None = None
    batch: BatchSize = 64
    drop_path: Share = 0.0


@dataclass(frozen=True, slots=True)
class SearchOptimizer(Sgd):
    """`clip` is the largest norm of the gradients that `clip_covers`: `all` are the logits' too."""

    clip_covers: Literal["weights", "all"] = "weights"


@dataclass(frozen=True, slots=True)
class SearchSchedule(Ranged):
    """A cosine from the learning rate to `minimum` over all epochs, after a linear `warm_up`."""

    minimum: Number = 0.001
    warm_up: AnyEpochs = 0


@dataclass(frozen=True, slots=True)
class Logits(Ranged):
    """Adam on the logits, whose L2 is the regulariser's.

    `clip` is their gradients' largest norm (0: any). `order` says what learns first in a step.
    """

    lr: Number = 3e-4
    betas: tuple[Share, Share] = (0.5, 0.999)
    clip: Number = 0.0
    order: Literal["architecture-first", "weights-first"] = "architecture-first"


@dataclass(frozen=True, slots=True)
class SearchImages(Ranged):
    """`cutout` is the side of the square that is cut out of each image (0: none)."""

    cutout: Pixels = 0


@dataclass(frozen=True, slots=True)
class Settings(Ranged):
    """The numbers of a search."""

    network: Sizes = Sizes()
    train: SearchTrain = SearchTrain()
    optimizer: SearchOptimizer = SearchOptimizer()
    schedule: SearchSchedule = SearchSchedule()
    logits: Logits = Logits()
    pictures: SearchImages = SearchImages()
    stages: tuple[Stage, ...] = (Stage(50),)

    def __post_init__(self) -> None:
        Ranged.__post_init__(self)
        if len(self.stages) > STAGES or self.epochs > EPOCHS:
            counts = f"{len(self.stages)} stages with {self.epochs:,} epochs"
            raise ValueError(f"there are {counts}, and have to be at most {STAGES} with {EPOCHS:,}")

    @property
    def epochs(self) -> int:
        """Of all stages."""
        return sum(stage.epochs for stage in self.stages)
