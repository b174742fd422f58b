"""The sizes of networks: their numbers by name, and what each may be."""

from dataclasses import dataclass

from nasir.errors import NOWHERE, NasirError, Where


@dataclass(frozen=True, slots=True)
class Size:
    """Of a network: `layers` is the number of cells, or of cells a stage (the benchmarks').

    `in_channels` are those of an image: 3 of a coloured one, 1 of a grey one.
    """

    channels: int
    layers: int
    classes: int
    resolution: int
    auxiliary: bool = False
    in_channels: int = 3


WIDTHS = ("stage1", "stage2", "stage3", "stage4", "stage5")
"""The channels of each of NATS-Bench's five stages."""

DEPTHS = ("layers1", "layers2", "layers3")
"""The cells of each of three stages, where they differ."""


@dataclass(frozen=True, slots=True)
class StagedSize(Size):
    """Of a network of three stages: `layers1` to `layers3` are the cells of one, 0: `layers`."""

    layers1: int = 0
    layers2: int = 0
    layers3: int = 0

    @property
    def depths(self) -> tuple[int, ...]:
        """The cells of the stages in order."""
        return tuple(getattr(self, name) or self.layers for name in DEPTHS)


@dataclass(frozen=True, slots=True)
class StageSize:
    """Of NATS-Bench's networks: the channels of each of its five stages."""

    stage1: int
    stage2: int
    stage3: int
    stage4: int
    stage5: int
    classes: int
    resolution: int
    auxiliary: bool = False
    in_channels: int = 3

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of the stages in order."""
        return tuple(getattr(self, name) for name in WIDTHS)


LIMITS = {
    "channels": 1 << 16,
    "layers": 1 << 10,
    **dict.fromkeys(DEPTHS, 1 << 10),
    "classes": 1 << 20,
    "resolution": 1 << 14,
    "vocabulary": 1 << 20,
    "hidden": 1 << 16,
    "in_channels": 1 << 10,
    **dict.fromkeys(WIDTHS, 1 << 16),
}
"""The most that each number of a size may be."""


def check_number(
    name: str, value: int, least: int = 1, where: Where = NOWHERE, hint: str = ""
) -> None:
    """Raises an error for a number that the size of no network has."""
    if not least <= value <= LIMITS[name]:
        message = f"{name} must be 1 to {LIMITS[name]}, not {value}"
        raise NasirError("E302", message, where, hint)


SIZE_NAMES = tuple(LIMITS)
"""The numbers of all sizes, in the order in which spaces and genotypes have them."""
