"""Curves of several runs: a mean and a band for each group."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure

from nasir.errors import shortened
from runners.plot.curves import pens, sheet, whole_numbers
from runners.plot.run import named

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
