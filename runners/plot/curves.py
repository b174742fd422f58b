"""Figures over epochs: losses, scores, entropies, skips, the eigenvalue; and the confusion."""

import math
from collections.abc import Mapping
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
    cell_title,
    finish,
    kinds,
    log_ticks,
    named,
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
