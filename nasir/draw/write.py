"""Writes drawings of cells to files: SVG by the layout of this package, or by Graphviz."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nasir.draw.layout import FONT_SIZE, MARGIN, Drawing, Point, Rectangle, layout, outline
from nasir.draw.picture import Arrow, Box, Role, dot_text, picture
from nasir.errors import NasirError, file_stem, nearest, quoted, xml
from nasir.files import write_atomically
from nasir.genotype import CellGenotype
from nasir.space.space import Genotype

COLOURS: dict[Role, str] = {"input": "#b4eeb4", "node": "#add8e6", "output": "#eee8aa"}
"""`FILL` as numbers; SVG does not know every colour that Graphviz knows."""

BASELINE = 0.35 * FONT_SIZE
"""Distance of a text's baseline below its centre; not every viewer knows `dominant-baseline`."""

STYLE = (
    f"text{{font:{FONT_SIZE:g}px Menlo,Consolas,'DejaVu Sans Mono',monospace;"
    "text-anchor:middle;fill:#111}"
    ".halo{fill:#fff}"
    ".title{text-anchor:start;font-weight:bold}"
    ".box{stroke:#444}"
    ".edge{fill:none;stroke:#444;stroke-width:1.2}"
    ".none{stroke:#aaa;stroke-dasharray:4 3}"
)

ARROWHEAD = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
    'markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">'
    '<path d="M0,0.5 8,4 0,7.5z" fill="#444"/></marker></defs>'
)


def svg_text(cell: CellGenotype, title: str = "") -> str:
    """The cell as SVG, from left to right."""
    return layout_svg(layout(picture(cell, title)))


def layout_svg(laid: Drawing) -> str:
    """The laid-out drawing as SVG."""
    shown = laid.picture
    width, height = _number(laid.width), _number(laid.height)
    name = xml(shown.title or "cell")
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{name}</title>",
        f"<style>{STYLE}</style>",
        ARROWHEAD,
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    if shown.title:
        top = _number(MARGIN + FONT_SIZE / 2 + BASELINE)
        lines.append(f'<text class="title" x="{_number(MARGIN)}" y="{top}">{name}</text>')
    for arrow, path in zip(shown.arrows, laid.paths, strict=True):
        lines.append(_edge(arrow, path))
    for box, place in zip(shown.boxes, laid.boxes, strict=True):
        lines.append(_box(box, place))
    for arrow, place in zip(shown.arrows, laid.labels, strict=True):
        if place is not None:
            lines.append(_halo(place) + _label(arrow.label, place, "label"))
    return "\n".join([*lines, "</svg>", ""])


def _edge(arrow: Arrow, path: tuple[Point, ...]) -> str:
    kind = "edge none" if arrow.label == "none" else "edge"
    parts = (letter + " ".join(map(_pair, points)) for letter, points in outline(path))
    return f'<path class="{kind}" d="{" ".join(parts)}" marker-end="url(#head)"/>'


def _box(box: Box, place: Rectangle) -> str:
    return (
        f'<rect class="box" x="{_number(place.left)}" y="{_number(place.top)}" '
        f'width="{_number(place.width)}" height="{_number(place.height)}" rx="5" '
        f'fill="{COLOURS[box.role]}"/>{_label(box.label, place, "state")}'
    )


def _halo(place: Rectangle) -> str:
    """White behind a label, so that its own arrow does not run through it."""
    return (
        f'<rect class="halo" x="{_number(place.left)}" y="{_number(place.top)}" '
        f'width="{_number(place.width)}" height="{_number(place.height)}"/>'
    )


def _label(label: str, place: Rectangle, kind: str) -> str:
    at = f'x="{_number(place.x)}" y="{_number(place.y + BASELINE)}"'
    return f'<text class="{kind}" {at}>{xml(label)}</text>'


def _pair(point: Point) -> str:
    return f"{_number(point.x)},{_number(point.y)}"


def _number(value: float) -> str:
    """To a tenth of a pixel, without trailing zeros."""
    return f"{value:.1f}".removesuffix(".0")


FORMATS = ("svg", "png", "pdf", "dot")

PROGRAM = "dot"
DENSITY = {"png": 144}
"""Dots an inch, where a format has dots."""


def draw(
    genotype: Genotype, directory: Path, formats: Sequence[str] = ("svg",)
) -> tuple[Path, ...]:
    """Write every cell as `<name>-<kind>.<format>` into the directory; the files, in order.

    Graphviz lays them out where its program is there. Without it SVG has a layout of our own, DOT
    needs none, and PNG and PDF raise an error. Nothing is written unless every picture could be
    made. Raises an error (unknown format).
    """
    for format_name in formats:
        if format_name not in FORMATS:
            raise NasirError(
                "E505",
                f"no drawing format is called {quoted(format_name)}",
                hint=nearest(format_name, FORMATS),
            )
    pictures: dict[Path, bytes] = {}
    for cell in genotype.cells:
        title = f"{genotype.name}, {cell.kind}" if genotype.name else cell.kind
        stem = f"{file_stem(genotype.name) or 'genotype'}-{file_stem(cell.kind)}"
        for format_name in formats:
            path = directory / f"{stem}.{format_name}"
            pictures[path] = _render(cell, title, format_name)
    return tuple(write_atomically(path, content) for path, content in pictures.items())


def _render(cell: CellGenotype, title: str, format_name: str) -> bytes:
    if format_name == "dot":
        return dot_text(cell, title).encode()
    if format_name == "svg" and shutil.which(PROGRAM) is None:
        return svg_text(cell, title).encode()
    return _graphviz(dot_text(cell, title, DENSITY.get(format_name)), format_name)


def _graphviz(text: str, format_name: str) -> bytes:
    """The DOT text laid out by the Graphviz program. Raises an error if there is none, or it
    fails.
    """
    import graphviz

    try:
        return graphviz.pipe(PROGRAM, format_name, text.encode(), quiet=True)
    except graphviz.ExecutableNotFound:
        raise NasirError(
            "E501",
            f"{format_name.upper()} drawings need the Graphviz program '{PROGRAM}'",
            hint="install Graphviz (the package 'graphviz' of most systems), or draw SVG or DOT",
        ) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise NasirError(
            "E501",
            f"the Graphviz program '{PROGRAM}' failed: {quoted(_reason(error), 200)}",
            hint="check it with 'dot -V', or draw DOT",
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError) and error.stderr:
        return error.stderr.decode(errors="replace").strip()
    return str(error)
