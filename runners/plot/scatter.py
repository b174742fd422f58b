"""Scores of untrained networks against the accuracies of trained ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from runners.plot.curves import BLUE, sheet

if TYPE_CHECKING:
    from runners.experiment.scoring import Correlation

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
