"""How a run learnt: losses, scores, learning rate, and the sharpness of the architecture."""

import math
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, StrMethodFormatter

from runners.plot.run import SPLITS, Metrics, PlottedRun, plain
from runners.plot.style import (
    BLUE,
    GREY,
    SPLIT_COLOURS,
    VERMILION,
    NothingToDrawError,
    mark_stages,
    marker,
    name_stages,
    over_epochs,
    sheet,
)

WINDOW, FEWEST, AGO = 5, 3, 4
THRESHOLD = 1.3
"""RobustDARTS (arXiv:1909.09656) stops when the mean eigenvalue of the last WINDOW measurements (at
least FEWEST) is more than THRESHOLD times that of AGO measurements before."""

_UNITS = {"loss": "loss (nats)", "accuracy": "accuracy (%)", "perplexity": "perplexity"}
_DECADES = 20.0
"""Curves that span more than this factor get a logarithmic axis."""


def curves(run: PlottedRun) -> Figure:
    """Loss, accuracy or perplexity, and learning rate over epochs, on every split there is."""
    rows = run.metrics
    if not rows:
        raise NothingToDrawError("metrics.jsonl has no rows")
    rated = any(row.rate is not None for row in rows)
    names = [name for name in ("loss", run.facts.metric) if _measured(rows, name)]
    if not names and not rated:
        raise NothingToDrawError("metrics.jsonl has no losses, scores or learning rates")
    ratios = [1.0] * len(names) + [0.6] * rated
    figure = sheet(run, "Learning curves", 7.2, 1.6 + 2.1 * sum(ratios))
    panels: list[Axes] = list(
        figure.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios).flat
    )
    for axes, name in zip(panels, names, strict=False):
        _scores(axes, rows, name)
    if rated:
        panels[-1].plot(
            [row.epoch for row in rows],
            [plain(row.rate) for row in rows],
            color="#444444",
            marker=marker(rows),
            clip_on=False,
        )
        panels[-1].set_ylabel("learning rate")
        panels[-1].set_ylim(bottom=0)
    for axes in panels:
        mark_stages(axes, rows)
        over_epochs(axes, [row.epoch for row in rows])
    name_stages(panels[0], rows)
    panels[-1].set_xlabel("epoch")
    figure.align_ylabels(panels)
    lines = {line.get_label(): line for axes in panels[: len(names)] for line in axes.lines}
    shown = [lines[split] for split in SPLITS if split in lines]
    figure.legend(handles=shown, loc="outside lower center", ncols=len(SPLITS))
    return figure


def eigenvalue(run: PlottedRun) -> Figure:
    """The largest eigenvalue of the architecture's Hessian, its mean, and the stopping rule."""
    measured = [
        (row.epoch, row.eigenvalue)
        for row in run.metrics
        if row.eigenvalue is not None and math.isfinite(row.eigenvalue)
    ]
    if not measured:
        raise NothingToDrawError("no row of metrics.jsonl has an eigenvalue")
    epochs = [epoch for epoch, _ in measured]
    values = [value for _, value in measured]
    means = windowed(values)
    figure = sheet(run, "Largest eigenvalue of the architecture's Hessian", 7.2, 5.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(1.5, 1.0))
    upper.plot(epochs, values, "o", color=GREY, markersize=4.5, label="measured")
    upper.plot(epochs, means, color=BLUE, label=f"mean of the last {WINDOW} measurements")
    upper.set_ylabel("eigenvalue")
    upper.set_ylim(bottom=min(0.0, *values))
    upper.legend(loc="upper left")
    growth = [math.nan] * min(AGO, len(means))
    growth += [now / before for before, now in zip(means, means[AGO:], strict=False)]
    lower.plot(epochs, growth, color=BLUE, marker="o", markersize=3.5)
    lower.axhline(THRESHOLD, color=VERMILION, linewidth=1.2)
    lower.annotate(
        f"RobustDARTS stops above {THRESHOLD}",
        (0.0, THRESHOLD),
        xycoords=("axes fraction", "data"),
        xytext=(4, 3),
        textcoords="offset points",
        size=8.5,
        color=VERMILION,
    )
    known = [value for value in growth if math.isfinite(value)]
    lower.set_ylim(min(0.9, *known, 1.0) - 0.05, max(THRESHOLD, *known, 1.0) + 0.2)
    lower.set_ylabel(f"mean / mean {AGO}\nmeasurements before")
    lower.set_xlabel("epoch")
    for axes in (upper, lower):
        mark_stages(axes, run.metrics)
        over_epochs(axes, [row.epoch for row in run.metrics])
    name_stages(upper, run.metrics)
    figure.align_ylabels([upper, lower])
    return figure


def windowed(values: list[float]) -> list[float]:
    """The mean of the last WINDOW values at each place; NaN where there are fewer than FEWEST."""
    parts = [values[max(0, end - WINDOW) : end] for end in range(1, len(values) + 1)]
    return [fmean(part) if len(part) >= FEWEST else math.nan for part in parts]


def _measured(rows: tuple[Metrics, ...], name: str) -> bool:
    return any(math.isfinite(row.score(split, name)) for row in rows for split in SPLITS)


def _scores(axes: Axes, rows: tuple[Metrics, ...], name: str) -> None:
    """One line for each split that was measured; dots where a value has no neighbour."""
    seen: list[float] = []
    for split in SPLITS:
        values = [row.score(split, name) for row in rows]
        known = [value for value in values if math.isfinite(value)]
        if not known:
            continue
        seen += known
        colour = SPLIT_COLOURS[split]
        axes.plot([row.epoch for row in rows], values, color=colour, label=split)
        alone = _alone(values)
        if alone:
            dots = [rows[place].epoch for place in alone]
            axes.plot(dots, [values[place] for place in alone], "o", color=colour, markersize=4)
    axes.set_ylabel(_UNITS.get(name, name))
    if min(seen) > 0 and max(seen) > _DECADES * min(seen):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _alone(values: list[float]) -> list[int]:
    """Places of numbers with no number on either side: a line does not show them."""
    there = [False, *map(math.isfinite, values), False]
    return [
        place
        for place in range(len(values))
        if there[place + 1] and not there[place] and not there[place + 2]
    ]
