"""Figures of a run's cells: the last ones, and an animation over epochs."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline
from PIL import Image

from nasir import CellGenotype, Genotype
from nasir.draw.layout import FONT_SIZE, Drawing, layout, outline
from nasir.draw.picture import Picture, Role, picture
from nasir.errors import shortened
from runners.plot.curves import FAINT, TEXT, VERMILION
from runners.plot.run import NothingToDrawError, PlottedRun, cell_title

FILL: dict[Role, str] = {"input": "#CDE9D6", "node": "#CFE3F2", "output": "#F3E3B3"}

LINE, NONE = "#555555", "#B5B5B5"
"""Colours of arrows: ops, and `none`."""

SCALE = 1 / 72
"""Inches per layout unit, so that text has its size in points."""

HEADING, GAP = 34.0, 22.0
"""Units above the first cell, and between a cell's title and the cell."""

DENSITY = 100
"""Dots per inch in the animation."""

BEATS = (110, 500)
LENGTH, LAST = 20_000, 2_500
"""Milliseconds: per frame (minimum, maximum), in total, and for the last frame."""

Change = frozenset[int]
"""The indices of a cell's arrows that the previous cell does not have."""

_CODES = {"M": [Outline.MOVETO], "L": [Outline.LINETO], "C": [Outline.CURVE4] * 3}


@dataclass(frozen=True, slots=True)
class _Scene:
    """The cells of one genotype with layouts and new arrows."""

    cells: tuple[tuple[str, Drawing, Change], ...]
    heading: str
    note: str = ""


def cells(run: PlottedRun) -> Figure:
    """Draws the final genotype's cells, or those of the last epoch if there is none."""
    genotype, heading = run.final, "Final genotype"
    if genotype is None:
        if not run.genotypes:
            raise NothingToDrawError("the run has no genotypes")
        last = max(run.genotypes)
        genotype, heading = run.genotypes[last], f"Genotype of epoch {last}"
        if run.logged:
            heading = shortened(f"Genotype {last} of {run.path.name}")
    return next(_figures([_Scene(_laid(genotype, None), heading, run.description)]))


def animation(run: PlottedRun) -> bytes:
    """Returns a GIF with a frame for each epoch's cells; changed edges are coloured."""
    palette = _palette()
    frames: list[Image.Image] = []
    for figure in _figures(list(_scenes(run))):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        frames.append(image.quantize(palette=palette, dither=Image.Dither.NONE))
    beat = min(BEATS[1], max(BEATS[0], LENGTH // len(frames)))
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
    """Returns the arrows of `picture(after)` that are not in the picture of `before`.

    An arrow is new if its source, its op, or its target's op is.
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
    """Returns source, target and op of each arrow, and the box at its head."""
    return [
        (arrow.tail, arrow.head, arrow.label, shown.boxes[arrow.head]) for arrow in shown.arrows
    ]


def _scenes(run: PlottedRun) -> Iterator[_Scene]:
    phases = {row.epoch: row.phase for row in run.metrics}
    before: Genotype | None = None
    for epoch, genotype in run.genotypes.items():
        laid = _laid(genotype, before)
        count = sum(len(change) for _, _, change in laid)
        phase = ", projection" if phases.get(epoch) == "projection" else ""
        note = "" if before is None else f"{count} new edge{'' if count == 1 else 's'}"
        heading = f"Genotype {epoch}" if run.logged else f"Epoch {epoch}{phase}"
        yield _Scene(laid, heading, note)
        before = genotype


def _laid(genotype: Genotype, before: Genotype | None) -> tuple[tuple[str, Drawing, Change], ...]:
    olds = {} if before is None else {cell.kind: cell for cell in before.cells}
    return tuple(
        (cell_title(cell.kind), _layout(cell), changes(olds.get(cell.kind), cell))
        for cell in genotype.cells
    )


@lru_cache(maxsize=64)
def _layout(cell: CellGenotype) -> Drawing:
    """Lays out a cell; cached, since cells often stay equal over epochs."""
    return layout(picture(cell))


def _palette() -> Image.Image:
    """Returns a palette of every ink, blended in steps with every background.

    One palette for all frames, since individual ones flicker. The steps are wide, because Pillow
    confuses similar colours.
    """
    inks = np.array([to_rgb(ink) for ink in (TEXT, FAINT, VERMILION, LINE, NONE)])[:, None, None]
    grounds = np.array([to_rgb(ground) for ground in ("white", *FILL.values())])[:, None]
    shares = np.linspace(0.0, 1.0, 5)[:, None]
    colours = np.round(255 * (shares * inks + (1 - shares) * grounds)).astype(np.uint8)
    image = Image.new("P", (1, 1))
    image.putpalette(np.unique(colours.reshape(-1, 3), axis=0).tobytes())
    return image


def _figures(scenes: Sequence[_Scene]) -> Iterator[Figure]:
    """Yields a figure for each scene, all of one size, with axes in layout units."""
    heights = zip(*([laid.height for _, laid, _ in each.cells] for each in scenes), strict=True)
    rooms = [max(each) for each in heights]
    gap = GAP if len(rooms) > 1 else 0.0
    texts = max(len(f"{each.heading}   {each.note}") for each in scenes)
    width = max(texts * 7.4 + 24, *(laid.width for each in scenes for _, laid, _ in each.cells))
    height = HEADING + sum(gap + room for room in rooms)
    for scene in scenes:
        figure = Figure(figsize=(width * SCALE, height * SCALE), dpi=DENSITY)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        axes.text(12, 20, scene.heading, size=12.5, weight="bold", va="center")
        axes.text(width - 12, 20, scene.note, size=9, color=FAINT, va="center", ha="right")
        top = HEADING
        for (title, laid, change), room in zip(scene.cells, rooms, strict=True):
            if gap:
                axes.text(12, top + gap / 2, title, size=10, color=FAINT, va="center")
            _paint(
                axes, laid, change, (width - laid.width) / 2, top + gap + (room - laid.height) / 2
            )
            top += gap + room
        yield figure


def _paint(axes: Axes, laid: Drawing, change: Change, left: float, top: float) -> None:
    """Draws a cell with its corner at (left, top), in layout units; new arrows are coloured."""
    look = {"family": "DejaVu Sans Mono", "size": FONT_SIZE - 0.5, "va": "center_baseline"}
    mono: dict[str, Any] = look | {"ha": "center"}
    arrows = zip(laid.picture.arrows, laid.paths, laid.labels, strict=True)
    for number, (arrow, path, place) in enumerate(arrows):
        new, none, parts = number in change, arrow.label == "none", outline(path)
        points = [(left + point.x, top + point.y) for _, part in parts for point in part]
        line = FancyArrowPatch(
            path=Outline(points, [code for letter, _ in parts for code in _CODES[letter]]),
            arrowstyle="-|>,head_length=3.5,head_width=1.8",
            mutation_scale=1.9,
            color=VERMILION if new else NONE if none else LINE,
            linewidth=1.2,
            linestyle=(0, (4, 3)) if none else "-",
        )
        axes.add_patch(line)
        if place is not None:
            ink, ground = VERMILION if new else FAINT if none else TEXT, {"color": "white"}
            at = left + place.x, top + place.y
            axes.text(*at, arrow.label, color=ink, bbox=ground | {"pad": 4.0}, **mono)
    for box, place in zip(laid.picture.boxes, laid.boxes, strict=True):
        corner, at = (left + place.left, top + place.top), (left + place.x, top + place.y)
        style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=5", "linewidth": 1.0}
        style |= {"facecolor": FILL[box.role], "edgecolor": LINE}
        axes.add_patch(FancyBboxPatch(corner, place.width, place.height, **style))
        if box.role != "node" and "_{" in box.label:  # c_{k-1}: never a text from a file
            maths: dict[str, Any] = {"ha": "center", "va": "center", "parse_math": True}
            axes.text(*at, f"${box.label}$", size=FONT_SIZE, **maths)
        else:
            axes.text(*at, box.label, **mono)
