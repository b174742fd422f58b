"""The figures of a run, written as files."""

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from nasir import NasirError, Where
from nasir.errors import nearest, quoted
from nasir.files import write_atomically
from nasir.table import Table
from runners.plot import cells, curves, decisions
from runners.plot.confusion import confusion
from runners.plot.run import PlottedRun, read_run
from runners.plot.style import STYLE, NothingToDrawError, quote
from runners.plot.truth import truth

DENSITY = 150
"""Dots an inch in PNG files."""


@dataclass(frozen=True, slots=True)
class Plot:
    """One figure: its name, and what makes it of a run (and of the benchmark at a path).

    Making it raises NothingToDrawError where the run has nothing for it.
    """

    name: str
    figure: Callable[[PlottedRun, Path | None], Figure]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A figure that was not made, and why."""

    figure: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plots:
    """The files that were written, in order, and the figures that were left out."""

    files: tuple[Path, ...]
    left_out: tuple[LeftOut, ...]


PLOTS = Table(
    Plot("curves", lambda run, _: curves.curves(run)),
    Plot("entropy", lambda run, _: decisions.entropy(run)),
    Plot("trajectory", lambda run, _: decisions.trajectory(run)),
    Plot("skips", lambda run, _: decisions.skips(run)),
    Plot("cells", lambda run, _: cells.cells(run)),
    Plot("eigenvalue", lambda run, _: curves.eigenvalue(run)),
    Plot("truth", truth),
    Plot("confusion", lambda run, _: confusion(run)),
)


def plot_run(
    path: Path,
    directory: Path | None = None,
    benchmark: Path | None = None,
    only: Sequence[str] = (),
) -> Plots:
    """Write the figures of the run at `path` as PNG and SVG; `cells` also as a GIF over epochs.

    They go into `directory`, by default `plots` in the run directory. A log of another program in
    place of a run has cells: those of its last genotype, and each change. Figures that the run has
    nothing for are left out. Raises E505 (a figure of `only` is unknown), E731 (no figure can be
    drawn), E721, E722, E112, and what opening the benchmark raises.
    """
    for name in only:
        if name not in PLOTS:
            message = f"no figure is called {quoted(name)}"
            raise NasirError("E505", message, hint=nearest(name, PLOTS))
    run = read_run(path)
    pictures: dict[str, bytes] = {}
    left_out: list[LeftOut] = []
    for row in PLOTS.values():
        if only and row.name not in only:
            continue
        if run.logged is not None and row.name != "cells":
            left_out.append(LeftOut(row.name, "a log has cells alone"))
            continue
        try:
            pictures |= _pictures(run, row, benchmark)
        except NothingToDrawError as error:
            left_out.append(LeftOut(row.name, str(error)))
    if not pictures:
        reasons = "; ".join(f"{each.figure}: {each.reason}" for each in left_out)
        raise NasirError("E731", "the run has nothing to draw", Where(str(path)), reasons)
    beside = path.with_name(f"{path.stem}-plots") if path.is_file() else path / "plots"
    into = beside if directory is None else directory
    files = tuple(write_atomically(into / name, content) for name, content in pictures.items())
    return Plots(files, tuple(left_out))


def _pictures(run: PlottedRun, row: Plot, benchmark: Path | None) -> dict[str, bytes]:
    """The files of one figure by name."""
    with mpl.rc_context(STYLE):
        figure = row.figure(run, benchmark)
        found = {f"{row.name}.{kind}": _encoded(figure, kind) for kind in ("png", "svg")}
        if row.name == "cells" and len(run.genotypes) > 1:
            found["cells.gif"] = cells.animation(run)
    return found


def _encoded(figure: Figure, kind: str) -> bytes:
    """The figure as a file that depends on its content alone."""
    content = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    quote(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font lacks are boxes
        figure.savefig(content, format=kind, dpi=DENSITY, metadata=metadata)
    return content.getvalue()
