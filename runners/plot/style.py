"""How figures look: colours that colour-blind readers tell apart, headers, axes over epochs."""

from collections.abc import Iterable, Sequence
from itertools import cycle, groupby, product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from nasir.quoting import shortened
from runners.plot.run import Metrics, PlottedRun

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK, GREY = "#56B4E9", "#D55E00", "#000000", "#999999"
"""Colours of M. Okabe and K. Ito's palette, without its yellow, which white swallows."""

TEXT, FAINT, SHADE = "#222222", "#666666", "#F1EEE6"

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "text.color": TEXT,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": TEXT,
    "axes.titlesize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 2.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "nasir",
    "text.parse_math": False,
}
"""matplotlib's settings while figures are made and written; their type is not in all versions."""

HEADER = 0.62
"""Inches above the axes for the title and the line below it."""

Pen = dict[str, Any]
"""The colour and the dashes of a line, as matplotlib takes them."""

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
_FREE = (BLUE, GREEN, ORANGE, PINK, SKY, BLACK, "#7B3F00", "#6A51A3")
_FIXED: dict[str, Pen] = {
    "none": {"linestyle": _DASHES[1], "color": GREY},
    "skip_connect": {"linestyle": "-", "color": VERMILION},
    "identity": {"linestyle": "-", "color": VERMILION},
}


class NothingToDrawError(Exception):
    """A run lacks something that a figure shows; the text names it."""


def sheet(run: PlottedRun, title: str, width: float, height: float) -> Figure:
    """An empty figure of that size in inches, with the title and the run's description on top."""
    layout = ConstrainedLayoutEngine(
        rect=(0.0, 0.0, 1.0, 1.0 - HEADER / height), w_pad=0.08, h_pad=0.06
    )
    figure = Figure(figsize=(width, height), layout=layout)
    left, inch = 0.12 / width, 1.0 / height
    figure.text(left, 1 - 0.1 * inch, title, size=12.5, weight="bold", va="top")
    figure.text(left, 1 - 0.37 * inch, run.description, size=9, color=FAINT, va="top")
    return figure


def named(text: str) -> str:
    """A name from a file as the label of a line or a tick; legends leave out what begins with _."""
    return shortened(f" {text}" if text.startswith("_") else text)


def pens(options: Iterable[str]) -> dict[str, Pen]:
    """A pen for each option, the same wherever the options are the same.

    Skips and `none` always look the same; the colours repeat, dashed, after eight other ops.
    """
    free = cycle({"linestyle": dash, "color": colour} for dash, colour in product(_DASHES, _FREE))
    return {option: _FIXED.get(option) or next(free) for option in dict.fromkeys(options)}


def over_epochs(panels: Sequence[Axes], rows: Sequence[Metrics]) -> list[tuple[float, str]]:
    """All epochs in view, a line where a stage begins, a shade where a projection runs.

    Returns the beginnings of stages and projections with their names.
    """
    names: list[tuple[float, str]] = []
    groups = [
        (projected, stage, [row.epoch for row in group])
        for (projected, stage), group in groupby(
            rows, key=lambda row: (row.phase == "projection", row.stage)
        )
    ]
    staged = len({stage for projected, stage, _ in groups if not projected}) > 1
    for axes in panels:
        axes.xaxis.set_major_locator(whole_numbers())
        axes.update_datalim([(row.epoch, 0.0) for row in rows], updatey=False)
        axes.autoscale_view()
    for projected, stage, epochs in groups:
        start = epochs[0] - 0.5
        first = epochs[0] == rows[0].epoch
        for axes in panels:
            if projected:
                axes.axvspan(start, epochs[-1] + 0.5, color=SHADE, linewidth=0, zorder=0)
            elif staged and not first:
                axes.axvline(start, color="#777777", linewidth=0.9, dashes=(3, 2), zorder=1)
        if projected or staged:
            name = "projection" if projected else f"stage {stage}"
            names.append((rows[0].epoch if first else start, name))
    return names


def finish(figure: Figure, panels: Sequence[Axes], rows: Sequence[Metrics]) -> Figure:
    """The figure with panels over epochs, stages named above, and one legend for all lines."""
    for start, name in over_epochs(panels, rows):
        for axes in panels:
            place = axes.get_subplotspec()
            if place is not None and place.is_first_row():
                axes.annotate(
                    name,
                    (start, 1.0),
                    xycoords=axes.get_xaxis_transform(),
                    xytext=(2, 3),
                    textcoords="offset points",
                    size=8,
                    color=FAINT,
                )
    pairs = [
        pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)
    ]
    handles = {label: handle for handle, label in pairs}
    if len(handles) > 1:
        figure.legend(
            handles.values(), handles, loc="outside lower center", ncols=min(3, len(handles))
        )
    figure.align_ylabels(panels)
    return figure


def whole_numbers() -> MaxNLocator:
    """Ticks at whole numbers."""
    return MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def log_ticks(axis: Axis, *places: float) -> None:
    """Labelled ticks of a logarithmic axis at those places in each decade."""
    axis.set_major_locator(LogLocator(subs=places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")


def kinds(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of choices by the kind of cell that they belong to, in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition("/")[0], []).append(name)
    return found


def cell_title(kind: str) -> str:
    """The name of a kind of cell in a figure."""
    return named(f"{kind} cell") if kind not in ("", "cell") else "cell"
