"""Figures over epochs: scores, decisions, skips, the eigenvalue; the confusion; the common style.

Colours are distinct for colour-blind readers.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle, groupby, product
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from nasir.quoting import shortened
from runners.plot.run import (
    SPLITS,
    Metrics,
    NothingToDrawError,
    PlottedRun,
    cell_title,
    kinds,
    named,
)

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

_NOTE: dict[str, Any] = {"textcoords": "offset points", "color": FAINT}
"""Of small texts beside a point."""

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
_FREE = (BLUE, GREEN, ORANGE, PINK, SKY, BLACK, "#7B3F00", "#6A51A3")
_FIXED: dict[str, Pen] = {
    "none": {"linestyle": _DASHES[1], "color": GREY},
    "skip_connect": {"linestyle": "-", "color": VERMILION},
    "identity": {"linestyle": "-", "color": VERMILION},
}


WINDOW, FEWEST, AGO = 5, 3, 4
THRESHOLD = 1.3
"""RobustDARTS (arXiv:1909.09656) stops when the mean eigenvalue of the last WINDOW measurements (at
least FEWEST) is more than THRESHOLD times that of AGO measurements before."""

_UNITS = {"loss": "loss (nats)", "accuracy": "accuracy (%)"}
_LOOKS = {"train": BLUE, "valid": VERMILION, "test": GREEN, "": "#444444"}
_RATE = "learning rate"

_DECADES = 20.0
"""Curves that span more than this factor get a logarithmic axis."""

_WRITTEN, _LABELLED = 20, 100
"""Up to so many classes each share is written into its square, and classes are named."""


_PLACE = re.compile(r"n(?P<node>\d+)(?:\.(?:e(?P<source>\d+)|(?P<reads>in)))?")
_LAST = 10**6
"""The row of a cell's output in its panels: below every node."""


def curves(run: PlottedRun) -> Figure:
    """Loss, accuracy or perplexity, and learning rate over epochs, on every split there is."""
    shown = _panels(run)
    if not shown:
        lacks = "losses, scores or learning rates" if run.metrics else "rows"
        raise NothingToDrawError(f"metrics.jsonl has no {lacks}")
    ratios = [0.6 if name == _RATE else 1.0 for name in shown]
    figure = sheet(run, "Learning curves", 7.2, 1.6 + 2.1 * sum(ratios))
    panels: list[Axes] = list(
        figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios).flat
    )
    epochs = [row.epoch for row in run.metrics]
    for axes, (name, splits) in zip(panels, shown.items(), strict=True):
        for split, values in splits.items():
            axes.plot(epochs, values, color=_LOOKS[split], marker="o", label=split or None)
        axes.set_ylabel(_UNITS.get(name, shortened(name)))
        known = [value for values in splits.values() for value in values if math.isfinite(value)]
        if name == _RATE:
            axes.set_ylim(bottom=0)
        elif min(known) > 0 and max(known) > _DECADES * min(known):
            axes.set_yscale("log")
            log_ticks(axes.yaxis, 1.0, 2.0, 5.0)
    panels[-1].set_xlabel("epoch")
    return finish(figure, panels, run.metrics)


def _panels(run: PlottedRun) -> Mapping[str, Mapping[str, list[float]]]:
    """The measures by name and split, as far as there are any."""
    found = {
        name: {split: [row.score(split, name) for row in run.metrics] for split in SPLITS}
        for name in ("loss", run.facts.metric)
    }
    known = {
        name: {split: row for split, row in rows.items() if any(map(math.isfinite, row))}
        for name, rows in {**found, _RATE: {"": [row.lr for row in run.metrics]}}.items()
    }
    return {name: rows for name, rows in known.items() if rows}


def entropy(run: PlottedRun) -> Figure:
    """The entropy of every choice over epochs, kinds of cell side by side, their mean bold."""
    rows = [row for row in run.metrics if row.entropy]
    if not rows:
        raise NothingToDrawError("no row of metrics.jsonl has entropies")
    epochs = [row.epoch for row in rows]
    groups = kinds(dict.fromkeys(name for row in rows for name in row.entropy))
    width = 1.4 + 3.9 * max(len(groups), 1.3)
    figure = sheet(run, "Entropy of the decisions", width, 4.2)
    panels: list[Axes] = list(figure.subplots(1, len(groups), sharey=True, squeeze=False).flat)
    for axes, (kind, choices) in zip(panels, groups.items(), strict=True):
        values = np.array([[row.entropy.get(name, math.nan) for name in choices] for row in rows])
        for row in values.T:
            look: dict[str, Any] = {"color": "#8FB6D3", "label": "one decision"}
            axes.plot(epochs, row, **look, linewidth=0.9, marker="o", markersize=1.2)
        means = np.ma.masked_invalid(values).mean(axis=1)
        axes.plot(epochs, means, color=BLUE, linewidth=2.8, marker="o", ms=3, label="mean")
        _equal_weights(axes, {len(run.facts.choices.get(choice, ())) for choice in choices})
        axes.set_title(cell_title(kind), loc="left", pad=16)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("epoch")
    panels[0].set_ylabel("entropy (nats)")
    return finish(figure, panels, run.metrics)


def _equal_weights(axes: Axes, counts: set[int]) -> None:
    """The greatest entropy of each number of options that a decision of the panel has."""
    label = "options equally likely"
    for count in sorted(count for count in counts if count > 1):
        axes.axhline(math.log(count), color=FAINT, linewidth=1.0, dashes=(2, 2), label=label)
        at = {"xy": (1.0, math.log(count)), "xycoords": ("axes fraction", "data")}
        axes.annotate(str(count), **at, xytext=(3, -3), size=7.5, **_NOTE)


def trajectory(run: PlottedRun) -> Figure:
    """The weights of every choice's options over epochs: a panel for each choice.

    Rows are target nodes, columns are sources; the line of a pruned option ends in a dot.
    """
    choices = run.decided
    if not choices:
        raise NothingToDrawError("architecture.jsonl has no weights")
    places = _places(choices)
    tall, wide = (max(axis) + 1 for axis in zip(*places.values(), strict=True))
    options = [option for name in choices for option in run.facts.choices[name]]
    ink = pens(option for option in options if not option.isdecimal())
    reads = pens(option for option in options if option.isdecimal())
    # Dotted, so that nobody takes them for ops of the same colour.
    ink |= {option: {**pen, "linestyle": (0, (1, 1.2))} for option, pen in reads.items()}
    labels = {option: f"reads {option}" if option in reads else named(option) for option in ink}
    width = max(5.2, 0.7 + 1.62 * wide) + 0.7 + 0.08 * max(map(len, labels.values()))
    height = max(1.2 + 1.22 * tall, 0.8 + 0.2 * len(ink))
    figure = sheet(run, "Weights of the decisions' options", width, height)
    figure.legend(
        handles=[Line2D([], [], **ink[option], lw=2, label=labels[option]) for option in ink],
        loc="outside right center",
    )
    grid = figure.add_gridspec(tall, wide)
    panels: list[Axes] = []
    for name in choices:
        first = panels[0] if panels else None
        axes = figure.add_subplot(grid[places[name]], sharex=first, sharey=first)
        panels.append(axes)
        lead = f"{name.rpartition('/')[0]} " if len(kinds(choices)) > 1 else ""
        title = named(f"{lead}{_label(name, run.facts.choices[name])}")
        axes.set_title(title, loc="left", size=8, pad=3)
        _weights(axes, run, name, ink)
        row, column = places[name]
        axes.tick_params(
            labelsize=8,
            length=2,
            labelleft=not any(at == row and left < column for at, left in places.values()),
            labelbottom=not any(at == column and low > row for low, at in places.values()),
        )
        axes.yaxis.set_major_locator(MaxNLocator(nbins=3))
    panels[0].set_ylim(bottom=0)
    over_epochs(panels, run.metrics)
    figure.supxlabel("epoch", size=10)
    figure.supylabel("weight of an option", size=10)
    return figure


def _places(choices: Sequence[str]) -> dict[str, tuple[int, int]]:
    """The row and the column of each choice's panel.

    Kinds of cell below each other; in each a row for every node, a column for every source. Ops on
    nodes and choices of inputs follow in columns of their own.
    """
    places: dict[str, tuple[int, int]] = {}
    above = 0
    for names in kinds(choices).values():
        keys = {name: _key(name) for name in names}
        rows, columns = (sorted(set(axis)) for axis in zip(*keys.values(), strict=True))
        for name, (row, column) in keys.items():
            places[name] = (above + rows.index(row), columns.index(column))
        above += len(rows)
    return places


def _key(name: str) -> tuple[int, int]:
    """The order of a choice's panel among those of its kind: by node, then by source."""
    place = _PLACE.fullmatch(name.rpartition("/")[2])
    if place is None:
        return _LAST, _LAST + 1
    column = _LAST + bool(place["reads"]) if place["source"] is None else int(place["source"])
    return int(place["node"]), column


def _label(name: str, options: Sequence[str]) -> str:
    """A choice's name as a panel's title, without its kind of cell."""
    rest = name.rpartition("/")[2]
    place = _PLACE.fullmatch(rest)
    if place is None:
        return "output" if rest == "out" else rest
    if place["source"] is not None:
        return f"{place['source']} → {place['node']}"
    reads = place["reads"] or all(map(str.isdecimal, options))
    return f"node {place['node']}{' reads' if reads else ''}"


def _weights(axes: Axes, run: PlottedRun, name: str, ink: Mapping[str, Pen]) -> None:
    epochs = [row.epoch for row in run.architecture]
    columns = zip(*run.weights(name), strict=True)
    for option, values in zip(run.facts.choices[name], columns, strict=True):
        last = max((place for place, value in enumerate(values) if value > 0), default=-1)
        shown = [*values[: last + 1], *[math.nan] * (len(values) - last - 1)]
        ended = last >= 0 and (len(values) == 1 or 0.0 in values[last + 1 : last + 2])
        axes.plot(
            epochs,
            shown,
            **ink[option],
            linewidth=1.4,
            marker="o" if ended else "",
            markersize=3,
            markevery=[last],
        )


def skips(run: PlottedRun) -> Figure:
    """The number of skip connections in each epoch's genotype, one line for each kind of cell."""
    rows = [row for row in run.metrics if row.skips]
    if not rows:
        raise NothingToDrawError("no row of metrics.jsonl counts skip connections")
    figure = sheet(run, "Skip connections in the genotype", 7.2, 3.4)
    axes = figure.subplots()
    for number, kind in enumerate(dict.fromkeys(kind for row in rows for kind in row.skips)):
        axes.plot(
            [row.epoch for row in rows],
            [row.skips.get(kind, math.nan) for row in rows],
            color=(BLUE, VERMILION, GREEN)[number % 3],
            linestyle=_DASHES[number % 3],
            marker="o",
            markersize=3.5,
            label=cell_title(kind),
        )
    axes.yaxis.set_major_locator(whole_numbers())
    axes.set_ylabel("skip connections")
    axes.set_xlabel("epoch")
    return finish(figure, [axes], run.metrics)


def eigenvalue(run: PlottedRun) -> Figure:
    """The largest eigenvalue of the architecture's Hessian, its mean, and the stopping rule."""
    measured = [row for row in run.metrics if math.isfinite(row.eigenvalue)]
    if not measured:
        raise NothingToDrawError("no row of metrics.jsonl has an eigenvalue")
    epochs, values = [row.epoch for row in measured], [row.eigenvalue for row in measured]
    means = windowed(values)
    figure = sheet(run, "Largest eigenvalue of the architecture's Hessian", 7.2, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1.0))
    upper.plot(epochs, values, "o", color=GREY, markersize=4.5, label="measured")
    upper.plot(epochs, means, color=BLUE, label=f"mean of the last {WINDOW} measurements")
    upper.set_ylabel("eigenvalue")
    upper.set_ylim(bottom=min(0.0, *values))
    growth = [math.nan] * min(AGO, len(means))
    growth += [now / before for before, now in zip(means, means[AGO:], strict=False)]
    lower.plot(epochs, growth, color=BLUE, marker="o", markersize=3.5)
    rule = f"RobustDARTS stops above {THRESHOLD}"
    lower.axhline(THRESHOLD, color=VERMILION, linewidth=1.2, label=rule)
    lower.set_ylabel(f"mean / mean {AGO}\nmeasurements before")
    lower.set_xlabel("epoch")
    return finish(figure, [upper, lower], run.metrics)


def windowed(values: list[float]) -> list[float]:
    """The mean of the last WINDOW values at each place; NaN where there are fewer than FEWEST."""
    parts = [values[max(0, end - WINDOW) : end] for end in range(1, len(values) + 1)]
    return [fmean(part) if len(part) >= FEWEST else math.nan for part in parts]


def confusion(run: PlottedRun) -> Figure:
    """The share of each true class that was predicted as each class, in percent of the class."""
    found = run.confusion
    if found is None:
        raise NothingToDrawError("there is no confusion.json: nothing was trained to its end")
    counts = np.array(found.counts, dtype=float)
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    size = len(found.classes)
    side = max(4.6, min(0.52 * size, 11.0))
    title = f"Predictions on {shortened(found.split)} images"
    figure = sheet(run, title, side + 2.2, side + 1.2)
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.grid(visible=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if size <= _LABELLED:
        names = [*map(named, found.classes)]
        upright = 90 if max(map(len, names)) > 3 else 0
        axes.set_xticks(range(size), names, rotation=upright)
        axes.set_yticks(range(size), names)
        axes.tick_params(length=0, labelsize=9 if size <= _WRITTEN else 5)
    for (row, column), share in np.ndenumerate(shares if size <= _WRITTEN else shares[:0]):
        if share >= 1:
            colour = "white" if share > 55 else TEXT
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=8.5, color=colour)
    figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03, label="% of the true class")
    return figure


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
                at = {"xy": (start, 1.0), "xycoords": axes.get_xaxis_transform()}
                axes.annotate(name, **at, xytext=(2, 3), size=8, **_NOTE)
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
