"""Pictures of a genotype's cells as files."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nasir.draw.dot import dot_text
from nasir.draw.svg import svg_text
from nasir.errors import NasirError, nearest, quoted
from nasir.files import write_atomically
from nasir.genotype import CellGenotype
from nasir.quoting import file_stem
from nasir.space.space import Genotype

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
                f"no picture format is called {quoted(format_name)}",
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
            f"{format_name.upper()} pictures need the Graphviz program '{PROGRAM}'",
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
