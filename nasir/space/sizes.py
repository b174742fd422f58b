"""The sizes of networks: their numbers by name, and what each may be."""

from dataclasses import dataclass


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
    "channels": ("E302", 1 << 16),
    "layers": ("E302", 1 << 10),
    **dict.fromkeys(DEPTHS, ("E302", 1 << 10)),
    "classes": ("E302", 1 << 20),
    "resolution": ("E302", 1 << 14),
    "vocabulary": ("E302", 1 << 20),
    "hidden": ("E302", 1 << 16),
    "in_channels": ("E302", 1 << 10),
    **dict.fromkeys(WIDTHS, ("E302", 1 << 16)),
}
"""Of each number of a size: what is wrong beyond it, and the most it may be."""

SIZE_NAMES = tuple(LIMITS)
"""The numbers of all sizes, in the order in which spaces and genotypes have them."""
