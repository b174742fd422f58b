"""How figures look: colours that colour-blind readers tell apart, headers, marks of stages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, groupby, pairwise
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from nasir.quoting import shortened
from runners.plot.run import Metrics, PlottedRun

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK, GREY = "#56B4E9", "#D55E00", "#000000", "#999999"
"""Colours of M. Okabe and K. Ito's palette, without its yellow, which white swallows."""

TEXT, FAINT, SHADE = "#222222", "#666666", "#F1EEE6"

SPLIT_COLOURS = {"train": BLUE, "valid": VERMILION, "test": GREEN}

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
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "nasir",
    "text.parse_math": False,
}
"""matplotlib's settings while figures are made and written; their type is not in all versions."""

HEADER = 0.62
"""Inches above the axes for the title and the line below it."""

_LONGEST = 200
"""The most characters of a text in a figure."""

Dash = Literal["-"] | tuple[float, tuple[float, ...]]

_FIXED = {"none": GREY, "skip_connect": VERMILION, "identity": VERMILION}
_FREE = (BLUE, GREEN, ORANGE, PINK, SKY, BLACK, "#7B3F00", "#6A51A3")
_DASHES: tuple[Dash, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))


class NothingToDrawError(Exception):
    """A run has nothing that a figure could show; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Pen:
    """The colour and the dashes of a line."""

    colour: str
    dash: Dash


def sheet(
    run: PlottedRun, title: str, width: float, height: float, header: float = HEADER
) -> Figure:
    """An empty figure of that size in inches, with the title and the run's description on top.

    `header` inches at the top stay free of axes.
    """
    layout = ConstrainedLayoutEngine(
        rect=(0.0, 0.0, 1.0, 1.0 - header / height), w_pad=0.08, h_pad=0.06
    )
    figure = Figure(figsize=(width, height), layout=layout)
    left, inch = 0.12 / width, 1.0 / height
    figure.text(left, 1 - 0.1 * inch, title, size=12.5, weight="bold", ha="left", va="top")
    figure.text(left, 1 - 0.37 * inch, run.description, size=9, color=FAINT, ha="left", va="top")
    return figure


def named(text: str) -> str:
    """A name from a file as the label of a line or a tick; legends leave out what begins with _."""
    return shortened(f" {text}" if text.startswith("_") else text)


def quote(figure: Figure) -> None:
    """Makes every text of a figure one that prints and fits, before the figure is drawn."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(shortened(text.get_text(), _LONGEST))


def pens(options: Iterable[str]) -> dict[str, Pen]:
    """A pen for each option, the same wherever the options are the same.

    Skips and `none` always look the same; the colours repeat, dashed, after eight other ops.
    """
    free = cycle(_FREE)
    found: dict[str, Pen] = {}
    for option in dict.fromkeys(options):
        if option in _FIXED:
            found[option] = Pen(_FIXED[option], _DASHES[1] if option == "none" else "-")
            continue
        turn = sum(name not in _FIXED for name in found) // len(_FREE)
        found[option] = Pen(next(free), _DASHES[turn % len(_DASHES)])
    return found


def marker(epochs: Sequence[object]) -> str:
    """The marker of a line: a dot where one epoch alone makes no line."""
    return "o" if len(epochs) == 1 else ""


def over_epochs(axes: Axes, epochs: Iterable[int]) -> None:
    """The x axis: whole epochs, all of them in view."""
    first, last = min(epochs), max(epochs)
    margin = max(0.5, 0.02 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(whole_numbers(7))


def whole_numbers(most: int) -> MaxNLocator:
    """Ticks at whole numbers, at most about so many."""
    return MaxNLocator(most, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def mark_stages(axes: Axes, rows: tuple[Metrics, ...]) -> None:
    """A line where a stage begins, a shade where the projection runs."""
    for row in _starts(rows):
        axes.axvline(row.epoch - 0.5, color="#777777", linewidth=0.9, dashes=(3, 2), zorder=1)
    for first, last in _projections(rows):
        axes.axvspan(first - 0.5, last + 0.5, color=SHADE, linewidth=0, zorder=0)


def name_stages(axes: Axes, rows: tuple[Metrics, ...]) -> None:
    """What `mark_stages` marked, by name, above the axes."""
    names = {row.epoch: f"stage {row.stage}" for row in _starts(rows)}
    if names:
        names[rows[0].epoch] = f"stage {rows[0].stage}"
    names |= {first: "projection" for first, _ in _projections(rows)}
    for epoch, name in names.items():
        axes.annotate(
            name,
            (max(epoch - 0.5, axes.get_xlim()[0]), 1.0),
            xycoords=axes.get_xaxis_transform(),
            xytext=(2, 3),
            textcoords="offset points",
            size=8,
            color=FAINT,
        )


def kinds(names: Iterable[str]) -> dict[str, list[str]]:
    """Names of choices by the kind of cell that they belong to, in order."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.rpartition("/")[0], []).append(name)
    return found


def cell_title(kind: str) -> str:
    """How a figure calls a kind of cell."""
    return f"{kind} cell" if kind not in ("", "cell") else "cell"


def _starts(rows: tuple[Metrics, ...]) -> list[Metrics]:
    """The first row of every stage but the first; the projection is marked otherwise."""
    return [
        row
        for before, row in pairwise(rows)
        if row.stage != before.stage and row.phase == before.phase
    ]


def _projections(rows: tuple[Metrics, ...]) -> list[tuple[int, int]]:
    """First and last epochs of each uninterrupted projection."""
    groups = [(name, list(group)) for name, group in groupby(rows, key=lambda row: row.phase)]
    return [(group[0].epoch, group[-1].epoch) for name, group in groups if name == "projection"]
