"""What of which data is used."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dealt:
    """The data's name, the seed of all draws, and at most how many images (tokens) of a part."""

    data: str
    seed: int = 0
    limit: int | None = None
