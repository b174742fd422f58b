"""Figures over epochs: scores, decisions, skips, the eigenvalue; and the confusion."""

import math
import re
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nasir.quoting import shortened
from runners.plot.run import SPLITS, PlottedRun
from runners.plot.style import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    TEXT,
    VERMILION,
    NothingToDrawError,
    Pen,
    cell_title,
    finish,
    kinds,
    log_ticks,
    named,
    over_epochs,
    pens,
    sheet,
    whole_numbers,
)

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
        raise NothingToDrawError("metrics.jsonl has no losses, scores or learning rates")
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
    epochs = [row.epoch for row in rows]
    groups = kinds(dict.fromkeys(name for row in rows for name in row.entropy))
    width = 1.4 + 3.9 * max(len(groups), 1.3)
    figure = sheet(run, "Entropy of the decisions", width, 4.2)
    panels: list[Axes] = list(figure.subplots(1, len(groups), sharey=True, squeeze=False).flat)
    for axes, (kind, choices) in zip(panels, groups.items(), strict=True):
        values = np.array([[row.entropy.get(name, math.nan) for name in choices] for row in rows])
        for row in values.T:
            axes.plot(
                epochs,
                row,
                color="#8FB6D3",
                linewidth=0.9,
                marker="o",
                markersize=1.2,
                label="one decision",
            )
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
        axes.annotate(
            str(count),
            (1.0, math.log(count)),
            xycoords=("axes fraction", "data"),
            xytext=(3, -3),
            textcoords="offset points",
            size=7.5,
            color=FAINT,
        )


def trajectory(run: PlottedRun) -> Figure:
    """The weights of every choice's options over epochs: a panel for each choice.

    Rows are target nodes, columns are sources; the line of a pruned option ends in a dot.
    """
    choices = run.decided
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
    figure = sheet(run, "Skip connections in the genotype", 7.2, 3.4)
    axes = figure.subplots()
    for number, kind in enumerate(dict.fromkeys(kind for row in rows for kind in row.skips)):
        axes.plot(
            [row.epoch for row in rows],
            [row.skips.get(kind, math.nan) for row in rows],
            color=(BLUE, VERMILION, GREEN)[number % 3],
            linestyle=("-", (0, (4, 1.5)), (0, (1, 1.2)))[number % 3],
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
    assert found is not None
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
