"""Figures over epochs: scores, decisions, skips, the eigenvalue; confusion; the common style.

Colours are distinct for colour-blind readers.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, groupby, product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from nasir.errors import shortened
from nasir.graph import ChoiceKind, Slot
from runners.plot.run import (
    SPLITS,
    Metrics,
    NothingToDrawError,
    PlottedRun,
    cell_title,
    kinds,
    named,
    slot_of,
)

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK, GREY = "#56B4E9", "#D55E00", "#000000", "#999999"
"""M. Okabe and K. Ito's palette without yellow, which is hard to see on white."""

TEXT, FAINT, SHADE = "#222222", "#666666", "#F1EEE6"

STYLE = Path(__file__).with_name("nasir.mplstyle")
"""matplotlib's settings for creating and saving figures."""

HEADER = 0.62
"""Inches above the axes for the title and its subtitle."""

Pen = dict[str, Any]
"""Colour and line style, as keywords of matplotlib."""

_NOTE: dict[str, Any] = {"textcoords": "offset points", "color": FAINT}
"""Annotations beside a point."""

_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)))
_FREE = (BLUE, GREEN, ORANGE, PINK, SKY, BLACK, "#7B3F00", "#6A51A3")
_FIXED: dict[str, Pen] = {
    "none": {"linestyle": _DASHES[1], "color": GREY},
    "skip_connect": {"linestyle": "-", "color": VERMILION},
    "identity": {"linestyle": "-", "color": VERMILION},
}


WINDOW, FEWEST, AGO = 5, 3, 4
THRESHOLD = 1.3
"""RobustDARTS' stopping rule (arXiv:1909.09656).

Stops when the mean eigenvalue of the last WINDOW measurements (at least FEWEST) exceeds THRESHOLD
times the mean AGO measurements earlier.
"""

_UNITS = {"loss": "loss (nats)", "accuracy": "accuracy (%)"}
_LOOKS = {"train": BLUE, "valid": VERMILION, "test": GREEN, "": "#444444"}
QUERY = "query"
"""The phase of rows of a search without a supernet."""

_RATE, _PROJECTION = "learning rate", "projection"

_DECADES = 20.0
"""Curves that span more than this factor get a logarithmic axis."""

_WRITTEN, _LABELLED = 20, 100
"""Maximum number of classes with written shares, and with class names."""


_PANELS: Mapping[ChoiceKind, tuple[int, str]] = {
    "op on edge": (0, "{0.source} → {0.node}"),
    "op on node": (1, "node {0.node}"),
    "edge into node": (1, "node {0.node} reads"),
    "input": (2, "node {0.node} reads"),
    "output": (2, "output"),
}
"""The column of a decision's panel in its node's row, after those of edges, and its title."""


def curves(run: PlottedRun) -> Figure:
    """Plots loss, accuracy or perplexity, and learning rate over epochs, for each split."""
    shown = _measures(run)
    if not shown or any(row.phase == QUERY for row in run.metrics):
        lacks = "losses, scores or learning rates" if run.metrics else "rows"
        raise NothingToDrawError(f"metrics.jsonl has no {lacks}")
    ratios = [0.6 if name == _RATE else 1.0 for name in shown]
    figure = sheet(run.description, "Learning curves", 7.2, 1.6 + 2.1 * sum(ratios))
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
    return finish(figure, panels, run.metrics)


def queries(run: PlottedRun) -> Figure:
    """Plots the value of each query of a search without a supernet, and the best so far."""
    rows = [row for row in run.metrics if row.phase == QUERY]
    if not rows:
        raise NothingToDrawError("no row of metrics.jsonl is a query")
    figure = sheet(run.description, "Values asked for", 7.2, 3.6)
    axes, asked = figure.subplots(), [row.epoch + 1 for row in rows]
    values = [row.value for row in rows]
    axes.plot(asked, values, "o", color=GREY, markersize=3, label="value")
    best = [row.best for row in rows]
    axes.plot(asked, best, color=BLUE, drawstyle="steps-post", label="best so far")
    axes.set_ylabel("value")
    return finish(figure, [axes], rows, "queries")


def _measures(run: PlottedRun) -> Mapping[str, Mapping[str, list[float]]]:
    """Returns the available measures by name and split."""
    names = ("loss", run.facts.metric) if run.facts else ()
    rows = {
        (name, s): [row.score(s, name) for row in run.metrics] for name in names for s in SPLITS
    }
    rows[_RATE, ""] = [row.lr for row in run.metrics]
    found: dict[str, dict[str, list[float]]] = {}
    for (name, split), values in rows.items():
        if any(map(math.isfinite, values)):
            found.setdefault(name, {})[split] = values
    return found


def entropy(run: PlottedRun) -> Figure:
    """Plots the entropy of every choice over epochs, by kind of cell, with a bold mean."""
    rows = [row for row in run.metrics if row.entropy]
    if not rows:
        raise NothingToDrawError("no row of metrics.jsonl has entropies")
    epochs = [row.epoch for row in rows]
    groups = kinds(dict.fromkeys(name for row in rows for name in row.entropy))
    width = 1.4 + 3.9 * max(len(groups), 1.3)
    figure = sheet(run.description, "Entropy of the decisions", width, 4.2)
    panels: list[Axes] = list(figure.subplots(1, len(groups), sharey=True, squeeze=False).flat)
    for axes, (kind, choices) in zip(panels, groups.items(), strict=True):
        values = np.array([[row.entropy.get(name, math.nan) for name in choices] for row in rows])
        for row in values.T:
            look: dict[str, Any] = {"color": "#8FB6D3", "label": "one decision"}
            axes.plot(epochs, row, **look, linewidth=0.9, marker="o", markersize=1.2)
        means = np.ma.masked_invalid(values).mean(axis=1)
        axes.plot(epochs, means, color=BLUE, linewidth=2.8, marker="o", ms=3, label="mean")
        for count in sorted({len(run.choices.get(choice, ())) for choice in choices} - {0, 1}):
            look = {"color": FAINT, "label": "options equally likely"}
            axes.axhline(math.log(count), **look, linewidth=1.0, dashes=(2, 2))
            at = {"xy": (1.0, math.log(count)), "xycoords": ("axes fraction", "data")}
            axes.annotate(str(count), **at, xytext=(3, -3), size=7.5, **_NOTE)
        axes.set_title(cell_title(kind), loc="left", pad=16)
        axes.set_ylim(bottom=0)
    panels[0].set_ylabel("entropy (nats)")
    return finish(figure, panels, run.metrics)


def trajectory(run: PlottedRun) -> Figure:
    """Plots the option weights of every choice over epochs, in a panel each.

    Rows are target nodes, columns are sources; the line of a pruned option ends in a dot.
    """
    choices = run.decided
    if not choices:
        raise NothingToDrawError("architecture.jsonl has no weights")
    slots = [_slot(name, run.choices[name]) for name in choices]
    places = dict(zip(choices, _places(slots), strict=True))
    tall, wide = (max(axis) + 1 for axis in zip(*places.values(), strict=True))
    options = [option for name in choices for option in run.choices[name]]
    ink = pens(option for option in options if not option.isdecimal())
    reads = pens(option for option in options if option.isdecimal())
    # Dotted, to differ from ops of the same colour.
    ink |= {option: {**pen, "linestyle": (0, (1, 1.2))} for option, pen in reads.items()}
    labels = {option: f"reads {option}" if option in reads else named(option) for option in ink}
    width = max(5.2, 0.7 + 1.62 * wide) + 0.7 + 0.08 * max(map(len, labels.values()))
    height = max(1.2 + 1.22 * tall, 0.8 + 0.2 * len(ink))
    figure = sheet(run.description, "Weights of the decisions' options", width, height)
    figure.legend(
        handles=[Line2D([], [], **ink[option], lw=2, label=labels[option]) for option in ink],
        loc="outside right center",
    )
    grid = figure.add_gridspec(tall, wide)
    panels: list[Axes] = []
    for (name, (row, column)), slot in zip(places.items(), slots, strict=True):
        first = panels[0] if panels else None
        axes = figure.add_subplot(grid[row, column], sharex=first, sharey=first)
        panels.append(axes)
        lead = f"{slot.kind} " if len({slot.kind for slot in slots}) > 1 else ""
        title = named(f"{lead}{_PANELS[slot.role][1].format(slot)}")
        axes.set_title(title, loc="left", size=8, pad=3)
        _weights(axes, run, name, ink)
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


def _slot(name: str, options: Sequence[str]) -> Slot:
    """Returns the slot of a choice; unreadable ones count as outputs."""
    of_node: ChoiceKind = "edge into node" if all(map(str.isdecimal, options)) else "op on node"
    return slot_of(name, "op on edge", of_node, "input", "output")


def _places(slots: Sequence[Slot]) -> Iterator[tuple[int, int]]:
    """Yields row and column of each choice's panel.

    Kinds of cell are below each other, each with a row per node and a column per source. Ops on
    nodes and choices of inputs follow in further columns.
    """
    above = 0
    for _, group in groupby(slots, key=lambda slot: slot.kind):
        keys = [
            ((slot.role == "output", slot.node), (_PANELS[slot.role][0], slot.source))
            for slot in group
        ]
        rows, columns = (sorted(set(axis)) for axis in zip(*keys, strict=True))
        yield from ((above + rows.index(row), columns.index(column)) for row, column in keys)
        above += len(rows)


def _weights(axes: Axes, run: PlottedRun, name: str, ink: Mapping[str, Pen]) -> None:
    epochs = [row.epoch for row in run.architecture]
    columns = zip(*run.weights(name), strict=True)
    for option, values in zip(run.choices[name], columns, strict=True):
        last = max((place for place, value in enumerate(values) if value > 0), default=-1)
        shown = [*values[: last + 1], *[math.nan] * (len(values) - last - 1)]
        ended = last >= 0 and (len(values) == 1 or 0.0 in values[last + 1 : last + 2])
        look: dict[str, Any] = {**ink[option], "linewidth": 1.4, "markersize": 3}
        axes.plot(epochs, shown, **look, marker="o" if ended else "", markevery=[last])


def skips(run: PlottedRun) -> Figure:
    """Plots the number of skip connections in each epoch's genotype, by kind of cell."""
    rows = [row for row in run.metrics if row.skips]
    if not rows:
        raise NothingToDrawError("no row of metrics.jsonl counts skip connections")
    figure = sheet(run.description, "Skip connections in the genotype", 7.2, 3.4)
    axes, looks = figure.subplots(), cycle(zip((BLUE, VERMILION, GREEN), _DASHES, strict=True))
    for kind in dict.fromkeys(kind for row in rows for kind in row.skips):
        color, dashes = next(looks)
        look: dict[str, Any] = {"color": color, "linestyle": dashes, "marker": "o"}
        counts = [row.skips.get(kind, math.nan) for row in rows]
        label = cell_title(kind)
        axes.plot([row.epoch for row in rows], counts, **look, markersize=3.5, label=label)
    axes.yaxis.set_major_locator(whole_numbers())
    axes.set_ylabel("skip connections")
    return finish(figure, [axes], run.metrics)


def eigenvalue(run: PlottedRun) -> Figure:
    """Plots the Hessian's largest eigenvalue, its mean, and the stopping rule."""
    measured = [row for row in run.metrics if math.isfinite(row.eigenvalue)]
    if not measured:
        raise NothingToDrawError("no row of metrics.jsonl has an eigenvalue")
    epochs, values = [row.epoch for row in measured], [row.eigenvalue for row in measured]
    means = windowed(values)
    figure = sheet(run.description, "Largest eigenvalue of the architecture's Hessian", 7.2, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1.0))
    upper.plot(epochs, values, "o", color=GREY, markersize=4.5, label="measured")
    upper.plot(epochs, means, color=BLUE, label=f"mean of the last {WINDOW} measurements")
    upper.set(ylabel="eigenvalue", ylim=(min(0.0, *values), None))
    growth = [math.nan] * min(AGO, len(means))
    growth += [now / before for before, now in zip(means, means[AGO:], strict=False)]
    lower.plot(epochs, growth, color=BLUE, marker="o", markersize=3.5)
    rule = f"RobustDARTS stops above {THRESHOLD}"
    lower.axhline(THRESHOLD, color=VERMILION, linewidth=1.2, label=rule)
    lower.set_ylabel(f"mean / mean {AGO}\nmeasurements before")
    return finish(figure, [upper, lower], run.metrics)


def windowed(values: list[float]) -> list[float]:
    """Returns the running mean of WINDOW values; NaN for fewer than FEWEST."""
    parts = [values[max(0, end - WINDOW) : end] for end in range(1, len(values) + 1)]
    return [fmean(part) if len(part) >= FEWEST else math.nan for part in parts]


def confusion(run: PlottedRun) -> Figure:
    """Plots the confusion matrix in percent of the true class."""
    found = run.confusion
    if found is None:
        raise NothingToDrawError("there is no confusion.json: nothing was trained to its end")
    counts = np.array(found.counts, dtype=float)
    shares = 100.0 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0)
    size = len(found.classes)
    side = max(4.6, min(0.52 * size, 11.0))
    title = f"Predictions on {shortened(found.split)} images"
    figure = sheet(run.description, title, side + 2.2, side + 1.2)
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    axes.grid(visible=False)
    axes.set(xlabel="predicted", ylabel="true")
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


def sheet(about: str, title: str, width: float, height: float) -> Figure:
    """Returns an empty figure with a title and a line about it; sizes in inches."""
    layout = ConstrainedLayoutEngine(
        rect=(0.0, 0.0, 1.0, 1.0 - HEADER / height), w_pad=0.08, h_pad=0.06
    )
    figure = Figure(figsize=(width, height), layout=layout)
    left, inch = 0.12 / width, 1.0 / height
    figure.text(left, 1 - 0.1 * inch, title, size=12.5, weight="bold", va="top")
    figure.text(left, 1 - 0.37 * inch, about, size=9, color=FAINT, va="top")
    return figure


def pens(options: Iterable[str]) -> dict[str, Pen]:
    """Returns a line style for each option, equal for equal options.

    Skips and `none` have fixed styles; colours repeat, dashed, after eight other ops.
    """
    free = cycle({"linestyle": dash, "color": colour} for dash, colour in product(_DASHES, _FREE))
    return {option: _FIXED.get(option) or next(free) for option in dict.fromkeys(options)}


def over_epochs(panels: Sequence[Axes], rows: Sequence[Metrics]) -> list[tuple[float, str]]:
    """Shows all epochs, with lines at the starts of stages and a shade over projections.

    Returns the starts of stages and projections with their names.
    """
    names: list[tuple[float, str]] = []
    spans = [(name, [row.epoch for row in group]) for name, group in groupby(rows, _span)]
    staged = len({name for name, _ in spans} - {_PROJECTION}) > 1
    for axes in panels:
        axes.xaxis.set_major_locator(whole_numbers())
        axes.update_datalim([(row.epoch, 0.0) for row in rows], updatey=False)
        axes.autoscale_view()
    for name, epochs in spans:
        start, first = epochs[0] - 0.5, epochs[0] == rows[0].epoch
        for axes in panels:
            if name == _PROJECTION:
                axes.axvspan(start, epochs[-1] + 0.5, color=SHADE, linewidth=0, zorder=0)
            elif staged and not first:
                axes.axvline(start, color="#777777", linewidth=0.9, dashes=(3, 2), zorder=1)
        if name == _PROJECTION or staged:
            names.append((epochs[0] if first else start, name))
    return names


def _span(row: Metrics) -> str:
    return _PROJECTION if row.phase == _PROJECTION else f"stage {row.stage}"


def finish(
    figure: Figure, panels: Sequence[Axes], rows: Sequence[Metrics], over: str = "epoch"
) -> Figure:
    """Completes a figure: panels over epochs, names of stages above, one legend for all lines."""
    names = over_epochs(panels, rows)
    handles: dict[str, Any] = {}
    for axes in panels:
        place = axes.get_subplotspec()
        assert place is not None
        if place.is_last_row():
            axes.set_xlabel(over)
        for start, name in names if place.is_first_row() else ():
            at = {"xy": (start, 1.0), "xycoords": axes.get_xaxis_transform()}
            axes.annotate(name, **at, xytext=(2, 3), size=8, **_NOTE)
        lines, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    if len(handles) > 1:
        columns = min(3, len(handles))
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=columns)
    figure.align_ylabels(panels)
    return figure


def whole_numbers() -> MaxNLocator:
    """Returns ticks at integers."""
    return MaxNLocator("auto", integer=True, min_n_ticks=1, steps=[1, 2, 5, 10])


def log_ticks(axis: Axis, *places: float) -> None:
    """Sets labelled ticks of a logarithmic axis at these positions in each decade."""
    axis.set_major_locator(LogLocator(subs=places))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
