"""The layout and the size of networks: where the kinds of cell stand, and the numbers."""

from dataclasses import dataclass

from nasir.errors import NOWHERE, NasirError, Where, quoted


@dataclass(frozen=True, slots=True)
class CellPlace:
    """A layer: `number` from the start (from the end if negative), or `number / of` of the way.

    A fraction means layer `number * layers // of`.
    """

    number: int
    of: int = 0

    def index(self, layers: int) -> int:
        """The layer from 0; out of range where there are too few layers."""
        if self.of:
            return self.number * layers // self.of
        return self.number + layers if self.number < 0 else self.number

    def __str__(self) -> str:
        return f"{self.number}/{self.of}" if self.of else str(self.number)


@dataclass(frozen=True, slots=True)
class Layout:
    """The kind of each layer: the `pattern` over and over, but for the `places` of other kinds.

    Cells of a kind in `halves` halve height and width; a kind in `doubles` doubles the channels.
    """

    pattern: tuple[str, ...]
    places: tuple[tuple[str, tuple[CellPlace, ...]], ...]
    halves: tuple[str, ...]
    doubles: tuple[str, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that it puts somewhere."""
        return tuple(dict.fromkeys((*self.pattern, *(kind for kind, _ in self.places))))

    def __str__(self) -> str:
        places = [f"{kind} at {', '.join(map(str, each))}" for kind, each in self.places]
        parts = [f"{', '.join(self.pattern)} repeated", *places]
        for verb, kinds in (
            ("halves the image", self.halves),
            ("doubles channels", self.doubles),
        ):
            parts += [f"{', '.join(kinds)} {verb}"] if kinds else []
        return "; ".join(parts)

    def of(self, layers: int) -> tuple[str, ...]:
        """The kind of each of `layers` cells.

        Raises an error where two kinds claim one layer, or a place is not there.
        """
        claimed: dict[int, str] = {}
        for kind, places in self.places:
            for place in places:
                index = place.index(layers)
                if not 0 <= index < layers:
                    message = f"the layout puts '{kind}' at layer {place}, and there are {layers}"
                    raise NasirError("E302", message, hint="give more layers, or a fraction")
                if claimed.setdefault(index, kind) != kind:
                    raise NasirError(
                        "E302",
                        f"of {layers} layers, layer {index} is claimed by the kinds "
                        f"{quoted(claimed[index])} and {quoted(kind)}",
                        hint="give more layers",
                    )
        pattern = self.pattern
        return tuple(claimed.get(i, pattern[i % len(pattern)]) for i in range(layers))


PUBLISHED = Layout(
    ("normal",), (("reduce", (CellPlace(1, 3), CellPlace(2, 3))),), ("reduce",), ("reduce",)
)
"""The DARTS family's: reductions at layers // 3 and 2 * layers // 3 (quirk A3)."""


@dataclass(frozen=True, slots=True)
class Size:
    """Size of a network: `layers` is the number of cells, or of cells a stage (the benchmarks').

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
    """Size of three stages: `layers1` to `layers3` are the cells of one, 0: `layers`."""

    layers1: int = 0
    layers2: int = 0
    layers3: int = 0

    @property
    def depths(self) -> tuple[int, ...]:
        """The cells of the stages in order."""
        return tuple(getattr(self, name) or self.layers for name in DEPTHS)


@dataclass(frozen=True, slots=True)
class StageSize:
    """Size of NATS-Bench's networks: the channels of each of its five stages."""

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


@dataclass(frozen=True, slots=True)
class OwnSize(Size):
    """Size of a space's own skeleton; `columns` are an image's where they are not `resolution`."""

    columns: int = 0


OWN = "own"
"""The name of the skeleton that a space defines itself."""

LIMITS = {
    "channels": 1 << 16,
    "layers": 1 << 10,
    **dict.fromkeys(DEPTHS, 1 << 10),
    "classes": 1 << 20,
    "resolution": 1 << 14,
    "vocabulary": 1 << 20,
    "hidden": 1 << 16,
    "in_channels": 1 << 10,
    "columns": 1 << 14,
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
