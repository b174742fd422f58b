"""Pictures of a run's cells: the last ones, and an animation over epochs."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path as Outline
from PIL import Image

from nasir import CellGenotype, Genotype, Picture
from nasir.errors import shortened
from nasir.pictures.diagram import FONT_SIZE, Diagram, Drawing, Rectangle, cell_diagram, layout
from nasir.pictures.picture import INKS, PAPERS, WORDS, ground, outline
from runners.plot.run import NothingToDrawError, PlottedRun, cell_title

DENSITY = 100
"""Dots per inch in the animation."""

_CODES = {"M": [Outline.MOVETO], "L": [Outline.LINETO], "C": [Outline.CURVE4] * 3}

BEATS = (110, 500)
LENGTH, LAST = 20_000, 2_500
"""Milliseconds: per frame (minimum, maximum), in total, and for the last frame."""


def cells(run: PlottedRun) -> Picture:
    """Draws the final genotype's cells, or those of the last epoch if there is none."""
    genotype, heading = run.final, "Final genotype"
    if genotype is None:
        if not run.genotypes:
            raise NothingToDrawError("the run has no genotypes")
        last = max(run.genotypes)
        genotype, heading = run.genotypes[last], f"Genotype of epoch {last}"
        if run.logged:
            heading = shortened(f"Genotype {last} of {run.path.name}")
    return _picture(genotype, None, heading, run.description)


def animation(run: PlottedRun) -> bytes:
    """Returns a GIF with a frame for each epoch's cells; changed edges are coloured."""
    palette = _palette()
    frames: list[Image.Image] = []
    for picture in _frames(run):
        with Image.open(io.BytesIO(rendered(picture, "png", DENSITY))) as image:
            frames.append(image.convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE))
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


def rendered(picture: Picture, format_name: str, density: int = 150) -> bytes:
    """Returns the content of an SVG, PNG or PDF file; a pixel of SVG is a point."""
    if format_name == "svg":
        return picture.svg.encode()
    width, height = picture.size
    figure = Figure(figsize=(width / 72, height / 72), facecolor=PAPERS[0])
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    picture.paint(_Canvas(axes))
    content, metadata = io.BytesIO(), {"CreationDate": None} if format_name == "pdf" else {}
    figure.savefig(content, format=format_name, dpi=density, metadata=metadata)
    return content.getvalue()


class _Canvas:
    """Paints on axes of matplotlib."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def line(self, look: str, path: Sequence[tuple[float, float]], hover: str) -> None:
        del hover
        parts, (x, y), (left, _), ink = outline(path), path[-1], path[-2], INKS[look][0]
        codes = [code for letter, _ in parts for code in _CODES[letter]]
        shape = Outline([point for _, part in parts for point in part], codes)
        dashes = (0, (4, 3)) if look == "none" else "-"
        width = 2.2 if look == "new" else 1.3
        self.axes.add_patch(PathPatch(shape, lw=width, ls=dashes, edgecolor=ink, facecolor="none"))
        self.axes.fill([x, left, left], [y, y - 3.5, y + 3.5], color=ink, lw=0)

    def block(self, look: str, place: Rectangle, radius: float, hover: str) -> None:
        del hover
        style: dict[str, Any] = {"boxstyle": f"round,pad=0,rounding_size={radius}", "linewidth": 1}
        style |= {"edgecolor": INKS[look][0], "facecolor": ground(look)}
        corner = place.x, place.y
        self.axes.add_patch(FancyBboxPatch(corner, place.width, place.height, **style))

    def text(self, look: str, at: tuple[float, float], text: str, sub: str = "") -> None:
        side, size, weight = WORDS.get(look, ("center", FONT_SIZE, "normal"))
        style: dict[str, Any] = {"color": INKS.get(look, INKS["paper"])[0], "weight": weight}
        style |= {"ha": {"start": "left", "end": "right"}.get(side, side), "size": size}
        if sub:  # never a text from a file
            sub = sub.replace("−", "{−}")
            text = f"$\\mathrm{{{text}}}_{{\\mathrm{{{sub}}}}}$"
        style |= {"va": "center_baseline", "family": "DejaVu Sans Mono"}
        self.axes.text(*at, text, parse_math=bool(sub), **style)


def changes(before: CellGenotype | None, after: CellGenotype) -> frozenset[int]:
    """Returns the arrows of `after` that are not in the diagram of `before`, by index.

    An arrow is new if its source, its op, or its target's op is.
    """
    if before is None:
        return frozenset()
    known = _meanings(cell_diagram(before))
    new: set[int] = set()
    for number, meaning in enumerate(_meanings(cell_diagram(after))):
        if meaning in known:
            known.remove(meaning)
        else:
            new.add(number)
    return frozenset(new)


def _meanings(shown: Diagram) -> list[tuple[object, ...]]:
    """Returns source, target and op of each arrow, and the box at its head."""
    return [
        (arrow.tail, arrow.head, arrow.lines, shown.boxes[arrow.head]) for arrow in shown.arrows
    ]


def _frames(run: PlottedRun) -> Iterator[Picture]:
    """Yields the genotypes' pictures, all of one size."""
    pictures: list[Picture] = []
    phases = {row.epoch: row.phase for row in run.metrics}
    before: Genotype | None = None
    for epoch, genotype in run.genotypes.items():
        phase = ", projection" if phases.get(epoch) == "projection" else ""
        heading = f"Genotype {epoch}" if run.logged else f"Epoch {epoch}{phase}"
        pictures.append(_picture(genotype, before, heading))
        before = genotype
    width = max(picture.size[0] for picture in pictures)
    columns = zip(*(picture.drawings for picture in pictures), strict=True)
    heights = [max(drawing.height for _, drawing in column) for column in columns]
    for picture in pictures:
        pairs = zip(picture.drawings, heights, strict=True)
        sized = ((title, replace(laid, width=width, height=high)) for (title, laid), high in pairs)
        yield replace(picture, drawings=tuple(sized))


def _picture(genotype: Genotype, before: Genotype | None, heading: str, note: str = "") -> Picture:
    """Returns the picture of the cells; arrows that are not in `before` look new."""
    olds = {} if before is None else {cell.kind: cell for cell in before.cells}
    drawings: list[tuple[str, Drawing]] = []
    count = 0
    for cell in genotype.cells:
        laid, new = _layout(cell), changes(olds.get(cell.kind), cell)
        arrows = [
            replace(arrow, look="new") if number in new else arrow
            for number, arrow in enumerate(laid.diagram.arrows)
        ]
        shown = replace(laid.diagram, arrows=tuple(arrows))
        drawings.append((cell_title(cell.kind), replace(laid, diagram=shown)))
        count += len(new)
    if before is not None:
        note = f"{count} new edge{'' if count == 1 else 's'}"
    return Picture(tuple(drawings), heading, note)


@lru_cache(maxsize=64)
def _layout(cell: CellGenotype) -> Drawing:
    """Lays out a cell; cached, since cells often stay equal over epochs."""
    return layout(cell_diagram(cell))


def _palette() -> Image.Image:
    """Returns a palette of every ink, blended in steps with its backgrounds.

    One palette for all frames, since individual ones flicker. The steps are wide, because Pillow
    confuses similar colours.
    """
    papers = np.array([to_rgb(PAPERS[0])] * len(INKS) + [to_rgb(ground(look)) for look in INKS])
    inks = np.array([to_rgb(INKS[look][0]) for look in [*INKS, *INKS]])
    shares = np.linspace(0.0, 1.0, 4)[:, None, None]
    colours = np.round(255 * (shares * inks + (1 - shares) * papers)).astype(np.uint8)
    image = Image.new("P", (1, 1))
    unique = np.unique(colours.reshape(-1, 3), axis=0)
    image.putpalette(unique.tobytes())
    return image
