"""Pictures of cells, spaces and graphs as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from nasir.arguments import checked
from nasir.errors import NasirError, file_stem, quoted, shortened, xml
from nasir.files import write_atomically
from nasir.graph import Graph
from nasir.pictures.diagram import (
    FONT_SIZE,
    MARGIN,
    Drawing,
    Point,
    Rectangle,
    cell_diagram,
    graph_diagram,
    label_size,
    layout,
    legend,
    look,
)
from nasir.space.decisions import CellGenotype, SpaceCell

INKS = {
    "paper": ("#1d2430", "#e6e9ee"),
    "plain": ("#69717d", "#98a1ad"),
    "input": ("#2f6b45", "#8fd3a8"),
    "node": ("#3b5b7d", "#9fc1e4"),
    "output": ("#7a5c10", "#e3c46a"),
    "none": ("#6f6f6f", "#9a9a9a"),
    "skip": ("#a04a00", "#f2a65e"),
    "pool": ("#1b7a3d", "#6fd08c"),
    "conv": ("#1f4fa0", "#8db4f5"),
    "separable": ("#0b6580", "#6cc9e2"),
    "dilated": ("#6a3fa0", "#c3a3ee"),
    "activation": ("#9a2a63", "#f09ac4"),
    "other": ("#4a4f57", "#b9c0c9"),
    "new": ("#c8102e", "#ff8a98"),
}
"""The ink of each look on light and on dark paper."""

PAPERS = ("#ffffff", "#14181f")

BASELINE = 0.35 * FONT_SIZE
"""Distance of a text's baseline below its centre; not every viewer knows `dominant-baseline`."""

HEADING, CAPTION = 30.0, 18.0
"""The heights of a picture's heading, and of a drawing's caption."""

WORDS = {"heading": ("start", 13, 700), "caption": ("start", 10, 400), "note": ("end", 10, 400)}
"""Looks of texts on paper: where `at` is, the size in pixels, the weight."""


class Celled(Protocol):
    """A genotype or a space."""

    @property
    def name(self) -> str: ...

    @property
    def cells(self) -> Sequence[CellGenotype | SpaceCell]: ...


class Canvas(Protocol):
    """What pictures are painted on. `at` is a text's centre; of words on paper, `WORDS` has it."""

    def line(self, look: str, path: Sequence[Point], hover: str) -> None: ...
    def block(self, look: str, place: Rectangle, radius: float, hover: str) -> None: ...
    def text(self, look: str, at: Point, text: str, sub: str = "") -> None: ...


@dataclass(frozen=True)
class Picture:
    """Drawings with captions, one below the other. A notebook shows it."""

    drawings: tuple[tuple[str, Drawing], ...]
    heading: str = ""
    note: str = ""

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        texts = [("heading", f"{self.heading}   {self.note}")]
        texts += [("caption", caption) for caption, _ in self.drawings]
        widths = [
            label_size([text])[0] * WORDS[name][1] / FONT_SIZE + MARGIN for name, text in texts
        ]
        widths += [drawing.width for _, drawing in self.drawings]
        heights = [drawing.height + CAPTION * bool(caption) for caption, drawing in self.drawings]
        return max(widths), HEADING * bool(self.heading) + sum(heights)

    @cached_property
    def svg(self) -> str:
        """The picture as SVG."""
        canvas = _Svg()
        self.paint(canvas)
        width, height = map(_number, self.size)
        size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        lines = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="nasir" role="img" {size}>',
            f"<title>{xml(self.heading) or 'cell'}</title>",
            f"<style>{_style()}</style>",
            '<rect class="sheet" width="100%" height="100%"/>',
        ]
        return "\n".join([*lines, *canvas.elements, "</svg>", ""])

    @property
    def dot(self) -> str:
        """The picture in the language of Graphviz, for its layouts and tools."""
        import graphviz  # only this needs it

        found: Any = graphviz.Digraph(graph_attr={"rankdir": "LR"}, node_attr={"shape": "box"})
        for number, (caption, drawing) in enumerate(self.drawings):
            shown = drawing.diagram
            with found.subgraph(name=f"cluster{number}") as part:
                part.attr(label=f"<{xml(caption or self.heading)} >")
                for index, box in enumerate(shown.boxes):
                    sub = f"<sub>{xml(box.sub)}</sub>" if box.sub else ""
                    label = f"<{'<br/>'.join(map(xml, box.lines))}{sub}>"
                    part.node(f"{number}_{index}", label, color=INKS[box.look][0])
                for arrow in shown.arrows:
                    label = f"<{'<br/>'.join(map(xml, arrow.lines))} >"
                    ends = (f"{number}_{arrow.tail}", f"{number}_{arrow.head}")
                    part.edge(*ends, label, color=INKS[arrow.look][0])
        return found.source

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Writes the picture as an SVG file. Raises an error for another ending than `.svg`."""
        if Path(path).suffix != ".svg":
            hint = "for other formats: nasir draw GENOTYPE --format png"
            raise NasirError("E505", f"the name of an SVG is no {quoted(str(path))}", hint=hint)
        return write_atomically(Path(path), self.svg.encode())

    def paint(self, canvas: Canvas) -> None:
        """Paints arrows, their labels, then boxes, all at the left."""
        top = 0.0
        if self.heading:
            canvas.text("heading", (MARGIN, HEADING / 2), self.heading)
            canvas.text("note", (self.size[0] - MARGIN, HEADING / 2), self.note)
            top = HEADING
        for caption, drawing in self.drawings:
            if caption:
                canvas.text("caption", (MARGIN, top + CAPTION / 2), caption)
                top += CAPTION
            _paint(canvas, drawing, top)
            top += drawing.height


@checked
def draw(given: CellGenotype | SpaceCell | Graph | Celled) -> Picture:
    """The picture of a genotype's cells or of one, of a space, or of the parts of a graph.

    On an edge of a space stand all its options, or the number of more than a few. Raises an error
    for more arrows than can be told apart.
    """
    if isinstance(given, Graph):
        name, diagrams = given.about.get("name", ""), [("", graph_diagram(given))]
    elif isinstance(given, CellGenotype | SpaceCell):
        name, diagrams = "", [("", cell_diagram(given))]
    else:
        name, diagrams = given.name, [(legend(cell), cell_diagram(cell)) for cell in given.cells]
    drawings = ((caption, layout(diagram)) for caption, diagram in diagrams)
    return Picture(tuple(drawings), shortened(name))


def cell_pictures(given: Celled) -> dict[str, Picture]:
    """A picture of every cell, by the name of its file without an ending."""
    found: dict[str, Picture] = {}
    for cell in given.cells:
        heading = f"{given.name}, {cell.kind}" if given.name else cell.kind
        stem = f"{file_stem(given.name) or 'genotype'}-{file_stem(cell.kind)}"
        found[stem] = replace(draw(cell), heading=shortened(heading))
    return found


def _paint(canvas: Canvas, drawing: Drawing, top: float) -> None:
    """Paints arrows with their labels, then boxes."""
    shown = drawing.diagram
    names = [f"{box.lines[0]}{box.sub}" for box in shown.boxes]
    for arrow, path, label in zip(shown.arrows, drawing.paths, drawing.labels, strict=True):
        hover = f"{names[arrow.tail]} → {names[arrow.head]}\n{arrow.hover}".strip()
        canvas.line(arrow.look, [(x, top + y) for x, y in path], hover)
        if label is not None:
            forced = arrow.look if arrow.look == "new" else ""
            _pills(canvas, arrow.lines, label.moved(top), hover, forced)
    for box, place in zip(shown.boxes, drawing.boxes, strict=True):
        canvas.block(box.look, place.moved(top), 5.0, box.hover)
        if len(box.lines) == 1:
            canvas.text(box.look, place.moved(top).middle, box.lines[0], box.sub)
        else:
            _pills(canvas, box.lines, place.moved(top), box.hover)


def _pills(
    canvas: Canvas, lines: Sequence[str], place: Rectangle, hover: str, forced: str = ""
) -> None:
    """Paints ops below each other around the centre of a place, in the colours of families."""
    x, y = place.middle
    for index, line in enumerate(lines):
        width, height = label_size([line])
        above = y + (index - len(lines) / 2) * height + 1
        pill = Rectangle(x - width / 2, above, width, height - 2)
        own = forced or look([line])
        canvas.block(own, pill, pill.height / 2, hover)
        canvas.text(own, pill.middle, line)


class _Svg:
    """Writes elements of SVG."""

    def __init__(self) -> None:
        self.elements: list[str] = []

    def _element(self, name: str, attributes: str, hover: str, **numbers: float) -> None:
        placed = "".join(f' {key}="{_number(value)}"' for key, value in numbers.items())
        inside = f"><title>{xml(hover)}</title></{name}>" if hover else "/>"
        self.elements.append(f"<{name} {attributes}{placed}{inside}")

    def line(self, look: str, path: Sequence[Point], hover: str) -> None:
        parts = " ".join(
            letter + " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
            for letter, points in outline(path)
        )
        self._element("path", f'class="line {look}" d="{parts}"', hover)
        x, y, left = map(_number, (*path[-1], path[-2][0]))
        self._element("path", f'class="head {look}" d="M{left},{y} m0,-3.5 v7 L{x},{y}z"', hover)

    def block(self, look: str, place: Rectangle, radius: float, hover: str) -> None:
        sides = {"x": place.x, "y": place.y, "width": place.width, "height": place.height}
        self._element("rect", f'class="block {look}"', hover, **sides, rx=radius)

    def text(self, look: str, at: Point, text: str, sub: str = "") -> None:
        below = f'<tspan dy="3" font-size="80%">{xml(sub)}</tspan>' if sub else ""
        x, y = _number(at[0]), _number(at[1] + BASELINE)
        self.elements.append(f'<text class="{look}" x="{x}" y="{y}">{xml(text)}{below}</text>')


def _style() -> str:
    """Rules of an own class, since a page has the styles of all its pictures."""
    words = "".join(
        f".nasir .{name}{{font-size:{size}px;font-weight:{weight};text-anchor:{anchor}}}"
        for name, (anchor, size, weight) in WORDS.items()
    )
    return (
        f".nasir text{{font:{FONT_SIZE:g}px Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        f"text-anchor:middle}}{words}.nasir .line{{fill:none;stroke-width:1.3}}"
        f".nasir .none.line{{stroke-dasharray:4 3}}.nasir .new.line{{stroke-width:2.2}}"
        f"{_colours(0)}@media(prefers-color-scheme:dark){{{_colours(1)}}}"
    )


def _colours(dark: int) -> str:
    """The rules for light (0) or dark (1) paper."""
    rules = [f".nasir .sheet{{fill:{PAPERS[dark]}}}.nasir text{{fill:{INKS['paper'][dark]}}}"]
    for name, inks in INKS.items():
        fill = f"{{stroke:{inks[dark]};fill:{ground(name, dark)}}}"
        rules += [f".nasir .block.{name}{fill}.nasir .line.{name}{{stroke:{inks[dark]}}}"]
        rules += [f".nasir .head.{name},.nasir text.{name}{{fill:{inks[dark]}}}"]
    return "".join(rules)


def ground(look: str, dark: int = 0) -> str:
    """The colour of a box with that look: a little of its ink."""
    pairs = zip(*(bytes.fromhex(each[dark][1:]) for each in (INKS[look], PAPERS)), strict=True)
    return "#" + bytes(round(0.15 * ink + 0.85 * paper) for ink, paper in pairs).hex()


def outline(path: Sequence[Point]) -> list[tuple[str, tuple[Point, ...]]]:
    """The path in SVG's commands; it ends inside the arrow's head."""
    parts: list[tuple[str, tuple[Point, ...]]] = [("M", (path[0],))]
    for (x, y), (left, level), (right, _) in zip(path[::2], path[1::2], path[2::2], strict=False):
        middle = (x + left) / 2
        parts.append(("C", ((middle, y), (middle, level), (left, level))))
        parts.append(("L", ((right, level),)))
    (left, _), (right, y) = path[-2:]
    return [*parts[:-1], ("L", (((left + right) / 2, y),))]


def _number(value: float) -> str:
    """To a tenth of a pixel, without trailing zeros."""
    return f"{value:.1f}".removesuffix(".0")
