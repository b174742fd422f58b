"""Figures that compare: curves of groups of runs, and proxies with accuracies."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from nasir.errors import shortened
from runners.plot.curves import BLUE, pens, sheet, whole_numbers
from runners.plot.run import named

if TYPE_CHECKING:
    from runners.experiment.scoring import Correlation

Curve = Sequence[tuple[int, float]]


def anytime(groups: Mapping[str, Sequence[Curve]], measure: str) -> Figure:
    """Plots the mean of each group's curves over epochs or queries.

    Bands are one sample deviation wide to each side. A run that ended early keeps its last value.
    """
    figure = sheet("mean and deviation over runs", shortened(measure), 7.2, 4.2)
    axes = figure.subplots()
    looks = pens(groups)
    markers = cycle("os^Dv")
    for name, curves in groups.items():
        if not curves:
            continue
        places = sorted({at for curve in curves for at, _ in curve})
        rows = np.array([_carried(curve, places) for curve in curves])
        mean = np.nanmean(rows, axis=0)
        look = looks[name]
        axes.plot(places, mean, **look, marker=next(markers), ms=3, label=named(name))
        if len(rows) > 1:
            spread = np.nanstd(rows, axis=0, ddof=1)
            color = look["color"]
            axes.fill_between(places, mean - spread, mean + spread, color=color, alpha=0.2, lw=0)
    axes.set(xlabel="epoch or query", ylabel=shortened(measure))
    axes.xaxis.set_major_locator(whole_numbers())
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _carried(curve: Curve, places: Sequence[int]) -> list[float]:
    """Returns the curve's value at each place: the last one before it, or else its first."""
    known = dict(curve)
    value, found = curve[0][1], list[float]()
    for place in places:
        value = known.get(place, value)
        found.append(value)
    return found


WIDEST = 4
"""Panels in a row."""


def scatter(found: "Correlation") -> Figure:
    """Plots accuracy over the rank of each proxy's score, a panel for each.

    Ranks, since the coefficients are of ranks, and scores of some proxies span many decades.
    """
    columns = min(WIDEST, len(found.rows))
    lines = -(-len(found.rows) // columns)
    about = f"{found.space}: {len(found.architectures):,} architectures, ranked by score"
    figure = sheet(about, "Accuracy over zero-cost proxies", 0.8 + 2.6 * columns, 0.8 + 2.4 * lines)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flatten()
    for axes, row in zip(panels, found.rows, strict=False):
        axes.scatter(
            _percent(found.scores[row.proxy]),
            found.accuracies,
            s=4,
            color=BLUE,
            alpha=0.5,
            linewidth=0,
        )
        spread = f"{row.spearman.low:.3f} to {row.spearman.high:.3f}"
        axes.set_title(f"{row.proxy}: {row.spearman.value:.3f} ({spread})", loc="left", size=9)
    for axes in panels[len(found.rows) :]:
        axes.set_visible(False)
    for axes in panels[max(0, len(found.rows) - columns) : len(found.rows)]:
        axes.tick_params(labelbottom=True)  # of the last in each column
    figure.supxlabel("rank of the score (%)", size=10)
    figure.supylabel("accuracy (%)", size=10)
    return figure


def _percent(scores: Sequence[float]) -> "np.typing.NDArray[np.float64]":
    ranks = cast("Any", stats).rankdata(scores)
    return np.asarray(ranks / len(scores) * 100.0)
