"""How data is dealt out to a task."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How data is dealt out: its name, the batch, the seed, and the split of the training data.

    `limit` takes at most so many images (or tokens) of each part. `cutout` is a side in pixels.
    """

    data: str
    batch: int
    seed: int = 0
    split: float = 0.5
    shuffled: bool = False
    limit: int | None = None
    cutout: int = 0
    progress: Callable[[int, int], None] | None = None
