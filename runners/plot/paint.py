"""A cell that is laid out, drawn with matplotlib."""

from collections.abc import Sequence
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path as Outline

from nasir.draw.layout import FONT_SIZE, LABEL_HEIGHT, Drawing, Point
from nasir.draw.picture import Role
from runners.plot.style import FAINT, TEXT, VERMILION

FILL: dict[Role, str] = {"input": "#CDE9D6", "node": "#CFE3F2", "output": "#F3E3B3"}

LINE, NONE = "#555555", "#B5B5B5"
"""The colours of arrows: of those that compute, and of those whose op is `none`."""

Change = frozenset[int]
"""The numbers of the arrows of a picture that the picture before did not have."""


def paint_cell(axes: Axes, laid: Drawing, change: Change, at: Point) -> None:
    """The cell with its corner at `at`, in the units of its layout; what is new is coloured."""
    shown = laid.picture
    for number, (arrow, path) in enumerate(zip(shown.arrows, laid.paths, strict=True)):
        colour = VERMILION if number in change else NONE if arrow.label == "none" else LINE
        dash = (0, (4, 3)) if arrow.label == "none" else "-"
        moved = [Point(point.x + at.x, point.y + at.y) for point in path]
        outline = _outline(moved)
        axes.add_patch(
            PathPatch(outline, fill=False, edgecolor=colour, linewidth=1.2, linestyle=dash)
        )
        axes.add_patch(_head(moved, colour))
    for box, place in zip(shown.boxes, laid.boxes, strict=True):
        axes.add_patch(
            FancyBboxPatch(
                (place.left + at.x, place.top + at.y),
                place.width,
                place.height,
                boxstyle="round,pad=0,rounding_size=5",
                facecolor=FILL[box.role],
                edgecolor=LINE,
                linewidth=1.0,
            )
        )
        centre = Point(place.x + at.x, place.y + at.y)
        if box.role != "node" and "_{" in box.label:  # c_{k-1}: the picture's own
            _set(axes, box.label, centre)
        else:
            _write(axes, box.label, centre, TEXT)
    for number, (arrow, place) in enumerate(zip(shown.arrows, laid.labels, strict=True)):
        if place is None:
            continue
        corner = (place.left + at.x, place.top + at.y)
        axes.add_patch(
            Rectangle(corner, place.width, LABEL_HEIGHT, facecolor="white", edgecolor="none")
        )
        colour = VERMILION if number in change else FAINT if arrow.label == "none" else TEXT
        _write(axes, arrow.label, Point(place.x + at.x, place.y + at.y), colour)


def _outline(path: Sequence[Point]) -> Outline:
    """Straight through each layer, curves without a kink between them, as in nasir's SVG."""
    slopes = [_slope(*path[start : start + 2]) for start in range(0, len(path), 2)]
    points, codes = [(path[0].x, path[0].y)], [Outline.MOVETO]
    for index, (start, end) in enumerate(pairwise(path)):
        if index % 2 == 0:
            points.append((end.x, end.y))
            codes.append(Outline.LINETO)
            continue
        reach = (end.x - start.x) / 2
        leaving, arriving = slopes[index // 2], slopes[index // 2 + 1]
        points.append((start.x + reach, start.y + reach * leaving))
        points.append((end.x - reach, end.y - reach * arriving))
        points.append((end.x, end.y))
        codes += [Outline.CURVE4] * 3
    return Outline(points, codes)


def _slope(start: Point, end: Point) -> float:
    return (end.y - start.y) / (end.x - start.x) if end.x > start.x else 0.0


def _head(path: Sequence[Point], colour: str) -> FancyArrowPatch:
    """The arrow's head: it comes in level, from the left."""
    tip = path[-1]
    return FancyArrowPatch(
        (tip.x - 7, tip.y),
        (tip.x, tip.y),
        arrowstyle="-|>,head_length=3.5,head_width=1.8",
        shrinkA=0,
        shrinkB=0,
        mutation_scale=1.9,
        color=colour,
        linewidth=0.8,
    )


def _write(axes: Axes, text: str, at: Point, colour: str) -> None:
    axes.text(
        at.x,
        at.y,
        text,
        size=FONT_SIZE - 0.5,
        family="DejaVu Sans Mono",
        color=colour,
        ha="center",
        va="center_baseline",
    )


def _set(axes: Axes, formula: str, at: Point) -> None:
    """A formula, which is never a text from a file."""
    axes.text(at.x, at.y, f"${formula}$", size=FONT_SIZE, ha="center", va="center", parse_math=True)
