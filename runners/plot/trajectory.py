"""The weights of every choice's options over epochs: a panel for each choice."""

import math
import re
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from runners.plot.run import PlottedRun
from runners.plot.style import Pen, kinds, named, over_epochs, pens, sheet

_PLACE = re.compile(r"n(?P<node>\d+)(?:\.(?:e(?P<source>\d+)|(?P<reads>in)))?")
_LAST = 10**6
"""The row of a cell's output in its panels: below every node."""


def trajectory(run: PlottedRun) -> Figure:
    """Rows are target nodes, columns are sources; the line of a pruned option ends in a dot."""
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
