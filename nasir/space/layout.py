"""Where a skeleton puts the kinds of cell."""

from dataclasses import dataclass

from nasir.errors import NasirError, quoted


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
