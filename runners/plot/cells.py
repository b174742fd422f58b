"""The cells that a run chose: the last ones as a picture, those of every epoch as an animation."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from nasir import CellGenotype, Genotype
from nasir.draw.layout import Drawing, Point, layout
from nasir.draw.picture import Picture, picture
from runners.plot.paint import FILL, LINE, NONE, Change, paint_cell
from runners.plot.run import PlottedRun
from runners.plot.style import FAINT, TEXT, VERMILION, NothingToDrawError, cell_title, quote

SCALE = 1 / 72
"""Inches to a unit of a layout, so that its letters have their size in points."""

HEADING, GAP = 34.0, 22.0
"""Units above the first cell, and between a cell's title and the cell."""

DENSITY = 100
"""Dots an inch in the animation."""

BEATS = (110, 500)
LENGTH, LAST = 20_000, 2_500
"""Milliseconds: of a frame, at least and at most; of all frames about; of the last one more."""


@dataclass(frozen=True, slots=True)
class _Scene:
    """The cells of one genotype, laid out, with what is new in each."""

    cells: tuple[tuple[str, Drawing, Change], ...]
    heading: str
    note: str = ""


def cells(run: PlottedRun) -> Figure:
    """The final genotype's cells, or while there is none those of the last epoch."""
    genotype, heading = run.final, "Final genotype"
    if genotype is None:
        if not run.genotypes:
            raise NothingToDrawError("the run has no genotypes")
        last = max(run.genotypes)
        genotype, heading = run.genotypes[last], f"Genotype of epoch {last}"
        if run.logged:
            heading = f"Genotype {last} of {run.path.name}"
    scene = _Scene(tuple(_laid(genotype, None)), heading, run.description)
    size = _Size.of([scene])
    figure = Figure(figsize=(size.width * SCALE, size.height * SCALE))
    _paint(figure, scene, size)
    return figure


def animation(run: PlottedRun) -> bytes:
    """A GIF of every epoch's cells, a frame an epoch; edges that an epoch changed are coloured."""
    if len(run.genotypes) < 2:
        raise NothingToDrawError("an animation needs the genotypes of two epochs")
    scenes = list(_scenes(run))
    size = _Size.of(scenes)
    palette = _palette()
    plain = Image.Dither.NONE
    frames = [_frame(scene, size).quantize(palette=palette, dither=plain) for scene in scenes]
    least, most = BEATS
    beat = min(most, max(least, LENGTH // len(frames)))
    content = io.BytesIO()
    frames[0].save(
        content,
        "GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[*[beat] * (len(frames) - 1), LAST],
        loop=0,
        disposal=1,
    )
    return content.getvalue()


def changes(before: CellGenotype | None, after: CellGenotype) -> Change:
    """Which arrows of `picture(after)` the picture of `before` lacks; none where there is none.

    An arrow is new where its source, its op, or the op of the node that it leads to is.
    """
    if before is None:
        return frozenset()
    known = _meanings(picture(before))
    new: set[int] = set()
    for number, meaning in enumerate(_meanings(picture(after))):
        if meaning in known:
            known.remove(meaning)
        else:
            new.add(number)
    return frozenset(new)


def _meanings(shown: Picture) -> list[tuple[object, ...]]:
    """What each arrow says: from where, to where, by which op, and what its head is."""
    return [
        (arrow.tail, arrow.head, arrow.label, shown.boxes[arrow.head]) for arrow in shown.arrows
    ]


def _scenes(run: PlottedRun) -> Iterator[_Scene]:
    phases = {row.epoch: row.phase for row in run.metrics}
    before: Genotype | None = None
    for epoch, genotype in run.genotypes.items():
        laid = tuple(_laid(genotype, before))
        count = sum(len(change) for _, _, change in laid)
        phase = ", projection" if phases.get(epoch) == "projection" else ""
        note = "" if before is None else f"{count} new edge{'' if count == 1 else 's'}"
        heading = f"Genotype {epoch}" if run.logged else f"Epoch {epoch}{phase}"
        yield _Scene(laid, heading, note)
        before = genotype


def _laid(genotype: Genotype, before: Genotype | None) -> Iterator[tuple[str, Drawing, Change]]:
    olds: Mapping[str, CellGenotype] = (
        {} if before is None else {cell.kind: cell for cell in before.cells}
    )
    for cell in genotype.cells:
        change = changes(olds.get(cell.kind), cell)
        yield cell_title(cell.kind), _layout(cell), change


@lru_cache(maxsize=64)
def _layout(cell: CellGenotype) -> Drawing:
    """The cell laid out: an epoch often leaves a cell as it was."""
    return layout(picture(cell))


@dataclass(frozen=True, slots=True)
class _Size:
    """Room for each cell of any of several scenes, in units of the layouts."""

    width: float
    rooms: tuple[float, ...]

    @staticmethod
    def of(scenes: Sequence[_Scene]) -> "_Size":
        """The least room that holds every scene."""
        rooms = [[laid.height for _, laid, _ in scene.cells] for scene in scenes]
        widest = max(laid.width for scene in scenes for _, laid, _ in scene.cells)
        texts = max(len(f"{scene.heading}   {scene.note}") for scene in scenes)
        width = max(widest, texts * 7.4 + 24)
        return _Size(width, tuple(max(heights) for heights in zip(*rooms, strict=True)))

    @property
    def height(self) -> float:
        """Of all cells, their titles and the heading."""
        return HEADING + sum(self.gap + room for room in self.rooms)

    @property
    def gap(self) -> float:
        """Above each cell: room for its title, where there are several."""
        return GAP if len(self.rooms) > 1 else 0.0


def _frame(scene: _Scene, size: _Size) -> Image.Image:
    figure = Figure(figsize=(size.width * SCALE, size.height * SCALE), dpi=DENSITY)
    canvas = FigureCanvasAgg(figure)
    _paint(figure, scene, size)
    quote(figure)
    canvas.draw()
    wide, high = canvas.get_width_height()
    return Image.frombytes("RGBA", (wide, high), bytes(canvas.buffer_rgba())).convert("RGB")


def _palette() -> Image.Image:
    """Every ink that the cells are drawn with, in steps towards every ground that it stands on.

    One palette for all frames: colours that a frame picks for itself would flicker. The steps are
    wide, for Pillow takes near colours for each other.
    """
    inks = [to_rgb(ink) for ink in (TEXT, FAINT, VERMILION, LINE, NONE)]
    grounds = [to_rgb(ground) for ground in ("white", *FILL.values())]
    colours = dict.fromkeys(
        tuple(round(255 * (share * one + (1 - share) * other)) for one, other in pairs)
        for ink in inks
        for ground in grounds
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
        for pairs in [list(zip(ink, ground, strict=True))]
    )
    image = Image.new("P", (1, 1))
    image.putpalette([part for colour in colours for part in colour])
    return image


def _paint(figure: Figure, scene: _Scene, size: _Size) -> None:
    """The scene on a figure of that size: one axes whose units are those of the layouts."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, size.width)
    axes.set_ylim(size.height, 0)
    axes.set_axis_off()
    axes.text(12, 20, scene.heading, size=12.5, weight="bold", va="center")
    axes.text(size.width - 12, 20, scene.note, size=9, color=FAINT, va="center", ha="right")
    top = HEADING
    for (title, laid, change), room in zip(scene.cells, size.rooms, strict=True):
        if len(scene.cells) > 1:
            axes.text(12, top + size.gap / 2, title, size=10, color=FAINT, va="center")
        across = (size.width - laid.width) / 2
        paint_cell(axes, laid, change, Point(across, top + size.gap + (room - laid.height) / 2))
        top += size.gap + room
