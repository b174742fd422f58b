"""Writes the figures of a run as files."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from nasir import NasirError, Picture, Where
from nasir.errors import nearest, quoted
from nasir.files import write_atomically
from runners.plot.cells import animation, cells, rendered
from runners.plot.curves import (
    STYLE,
    confusion,
    curves,
    eigenvalue,
    entropy,
    queries,
    skips,
    trajectory,
)
from runners.plot.run import NothingToDrawError, PlottedRun, read_run
from runners.plot.truth import truth

DENSITY = 150
"""Dots per inch in PNG files."""


@dataclass(frozen=True, slots=True)
class Plots:
    """The files written, in order, and the reason for each skipped figure."""

    files: tuple[Path, ...]
    left_out: Mapping[str, str]


_FIGURES = (curves, entropy, trajectory, skips, cells, eigenvalue, truth, confusion, queries)
PLOTS: Mapping[str, Callable[[PlottedRun], Figure | Picture]] = {
    each.__name__: each for each in _FIGURES
}
"""Figures by name; each raises NothingToDrawError if the run lacks its content."""


def plot_run(
    path: Path,
    directory: Path | None = None,
    benchmark: Path | None = None,
    only: Sequence[str] = (),
) -> Plots:
    """Writes the figures of the run at `path` as PNG and SVG; `cells` also as a GIF over epochs.

    `directory` is by default `plots` in the run directory. For a log of another program, draws the
    cells of its last genotype, and each change. Figures without content are skipped. Raises an
    error for an unknown figure in `only`, if no figure can be drawn, and for the benchmark.
    """
    for name in only:
        if name not in PLOTS:
            message = f"no figure is called {quoted(name)}"
            raise NasirError("E505", message, hint=nearest(name, PLOTS))
    run = replace(read_run(path), benchmark=benchmark)
    contents: dict[str, bytes] = {}
    left_out: dict[str, str] = {}
    for name in PLOTS:
        if only and name not in only:
            continue
        try:
            contents |= _drawn(name, run)
        except NothingToDrawError as error:
            left_out[name] = str(error)
    if not contents:
        reasons = "; ".join(map(": ".join, left_out.items()))
        raise NasirError("E721", "the run has nothing to draw", Where(str(path)), reasons)
    beside = path.with_name(f"{path.stem}-plots") if path.is_file() else path / "plots"
    into = beside if directory is None else directory
    files = tuple(write_atomically(into / name, content) for name, content in contents.items())
    return Plots(files, left_out)


def write_figure(path: Path, draw: Callable[[], Figure]) -> Path:
    """Draws a figure in the common style, and writes it in the format of the path's ending.

    Raises an error for other endings than png, svg and pdf.
    """
    kind = path.suffix.removeprefix(".").lower()
    if kind not in _METADATA:
        message = f"a figure cannot be written as {quoted(path.name)}"
        raise NasirError("E505", message, hint="a name that ends in .png, .svg or .pdf")
    with mpl.rc_context(fname=STYLE):
        return write_atomically(path, saved(draw(), kind))


def saved(figure: Figure, kind: str) -> bytes:
    """Returns the figure as a file, which depends on its content alone."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=DENSITY, metadata=_METADATA[kind])
    return content.getvalue()


_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None},
    "pdf": {"CreationDate": None},
}


def _drawn(name: str, run: PlottedRun) -> dict[str, bytes]:
    """Renders one figure as files by name; they depend on its content alone."""
    found: dict[str, bytes] = {}
    with mpl.rc_context(fname=STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters missing in the font are boxes
        shown = PLOTS[name](run)
        for kind in ("png", "svg"):
            is_picture = isinstance(shown, Picture)
            content = rendered(shown, kind, DENSITY) if is_picture else saved(shown, kind)
            found[f"{name}.{kind}"] = content
        if name == "cells" and len(run.genotypes) > 1:
            found["cells.gif"] = animation(run)
    return found
