"""How a run decided: the entropy and the weights of every choice, and the skips it chose."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from runners.plot.run import PlottedRun, plain
from runners.plot.style import (
    BLUE,
    FAINT,
    GREEN,
    HEADER,
    VERMILION,
    NothingToDrawError,
    Pen,
    cell_title,
    kinds,
    mark_stages,
    marker,
    name_stages,
    named,
    over_epochs,
    pens,
    sheet,
    whole_numbers,
)

_PLACE = re.compile(r"n(?P<node>\d+)(?:\.(?:e(?P<source>\d+)|(?P<reads>in)))?")
_LAST = 10**6
"""The row of a cell's output in its panels: below every node."""


def entropy(run: PlottedRun) -> Figure:
    """The entropy of every choice over epochs, kinds of cell side by side, their mean bold."""
    epochs, by_choice = _entropies(run)
    groups = kinds(by_choice)
    if not groups:
        raise NothingToDrawError("the run has neither entropies nor weights of choices")
    width = 1.4 + 3.9 * max(len(groups), 1.3)
    figure = sheet(run, "Entropy of the decisions", width, 4.2)
    panels: list[Axes] = list(figure.subplots(1, len(groups), sharey=True, squeeze=False).flat)
    for axes, (kind, choices) in zip(panels, groups.items(), strict=True):
        for choice in choices:
            row = by_choice[choice]
            axes.plot(epochs, row, color="#8FB6D3", linewidth=0.9, marker=marker(epochs))
        means = [_mean(row) for row in zip(*(by_choice[each] for each in choices), strict=True)]
        axes.plot(epochs, means, color=BLUE, linewidth=2.8, marker=marker(epochs))
        _equal_weights(axes, {len(run.facts.choices.get(choice, ())) for choice in choices})
        axes.set_title(cell_title(kind), loc="left", pad=16)
        axes.set_ylim(bottom=0)
        _finish(axes, run, epochs)
        axes.set_xlabel("epoch")
    panels[0].set_ylabel("entropy (nats)")
    handles = [
        Line2D([], [], color="#8FB6D3", linewidth=0.9, label="one decision"),
        Line2D([], [], color=BLUE, linewidth=2.8, label="mean"),
    ]
    label = "options equally likely"
    handles.append(Line2D([], [], color=FAINT, linewidth=1.0, dashes=(2, 2), label=label))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def trajectory(run: PlottedRun) -> Figure:
    """The weights of every choice's options over epochs: a panel for each choice.

    Rows are target nodes, columns are sources. The line of an option that was pruned ends in a dot.
    """
    choices = [name for name in run.facts.choices if _has_weights(run, name)]
    if not choices:
        raise NothingToDrawError("architecture.jsonl has no weights")
    grid = _grid(choices)
    tall, wide = grid.size
    options = [option for name in choices for option in run.facts.choices[name]]
    ink = {False: pens(_ops(options)), True: _dotted(pens(filter(str.isdecimal, options)))}
    width = max(6.4, 0.7 + 1.62 * wide)
    legend = _legend(ink, width)
    header = HEADER + 0.12 + 0.19 * legend.lines
    height = header + 0.5 + 1.22 * tall
    figure = sheet(run, "Weights of the decisions' options", width, height, header)
    figure.legend(
        handles=legend.handles,
        loc="upper left",
        bbox_to_anchor=(0.12 / width, 1 - (HEADER + 0.02) / height),
        ncols=legend.columns,
        borderaxespad=0.0,
        borderpad=0.0,
    ).set_in_layout(False)
    cells = figure.add_gridspec(tall, wide)
    top = min(1.03, 1.06 * max(max(map(_peak, run.weights(name))) for name in choices))
    shared: Axes | None = None
    for name in choices:
        row, column = grid.places[name]
        axes = figure.add_subplot(cells[row, column], sharex=shared, sharey=shared)
        shared = shared or axes
        names = run.facts.choices[name]
        _weights(axes, run, name, [ink[option.isdecimal()][option] for option in names])
        lead = f"{name.rpartition('/')[0]} " if len(kinds(choices)) > 1 else ""
        axes.set_title(f"{lead}{_label(name, names)}", loc="left", size=8, pad=3)
        _finish_panel(axes, run, grid, name)
    assert shared is not None
    shared.set_ylim(0, top)
    figure.supxlabel("epoch", size=10)
    figure.supylabel("weight of an option", size=10)
    return figure


def skips(run: PlottedRun) -> Figure:
    """The number of skip connections in each epoch's genotype, one line for each kind of cell."""
    rows = [row for row in run.metrics if row.skips]
    if not rows:
        raise NothingToDrawError("no row of metrics.jsonl counts skip connections")
    figure = sheet(run, "Skip connections in the genotype", 7.2, 3.4)
    axes = figure.subplots()
    found = dict.fromkeys(kind for row in rows for kind in row.skips)
    ink = [Pen(BLUE, "-"), Pen(VERMILION, (0, (4, 1.5))), Pen(GREEN, (0, (1, 1.2)))]
    epochs = [row.epoch for row in rows]
    for number, kind in enumerate(found):
        counts = [row.skips.get(kind, math.nan) for row in rows]
        pen = ink[number % len(ink)]
        axes.plot(
            epochs,
            counts,
            color=pen.colour,
            linestyle=pen.dash,
            marker="o",
            markersize=3.5,
            label=named(cell_title(kind)),
        )
    most = max(count for row in rows for count in row.skips.values())
    axes.set_ylim(-0.15, max(most, 1) + 0.5)
    axes.yaxis.set_major_locator(whole_numbers(6))
    axes.set_ylabel("skip connections")
    axes.set_xlabel("epoch")
    _finish(axes, run, epochs)
    if len(found) > 1:
        figure.legend(loc="outside lower center", ncols=len(found))
    return figure


def _equal_weights(axes: Axes, counts: Iterable[int]) -> None:
    """The greatest entropy of each number of options that a decision of the panel has."""
    for count in sorted(count for count in counts if count > 1):
        axes.axhline(math.log(count), color=FAINT, linewidth=1.0, dashes=(2, 2))
        axes.annotate(
            str(count),
            (1.0, math.log(count)),
            xycoords=("axes fraction", "data"),
            xytext=(3, -3),
            textcoords="offset points",
            size=7.5,
            color=FAINT,
        )


@dataclass(frozen=True, slots=True)
class _Grid:
    """Where the panel of each choice stands: (row, column), and how many of both there are."""

    places: Mapping[str, tuple[int, int]]

    @property
    def size(self) -> tuple[int, int]:
        rows, columns = zip(*self.places.values(), strict=True)
        return max(rows) + 1, max(columns) + 1

    def is_lowest(self, name: str) -> bool:
        """Whether no panel stands below that of the choice."""
        row, column = self.places[name]
        return not any(at == column and below > row for below, at in self.places.values())


def _grid(choices: Sequence[str]) -> _Grid:
    """Kinds of cell below each other; in each a row for every node, a column for every source.

    Ops on nodes and choices of inputs follow in columns of their own.
    """
    places: dict[str, tuple[int, int]] = {}
    above = 0
    for names in kinds(choices).values():
        keys = {name: _key(name) for name in names}
        rows = sorted({row for row, _ in keys.values()})
        columns = sorted({column for _, column in keys.values()})
        for name, (row, column) in keys.items():
            places[name] = (above + rows.index(row), columns.index(column))
        above += len(rows)
    return _Grid(places)


def _key(name: str) -> tuple[int, int]:
    """Where a choice's panel stands among those of its kind: by node, then by source."""
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


def _weights(axes: Axes, run: PlottedRun, name: str, ink: Sequence[Pen]) -> None:
    epochs = [row.epoch for row in run.architecture]
    for values, pen in zip(zip(*run.weights(name), strict=True), ink, strict=True):
        last = max((place for place, value in enumerate(values) if value > 0), default=-1)
        shown = [*values[: last + 1], *[math.nan] * (len(values) - last - 1)]
        axes.plot(epochs, shown, color=pen.colour, linestyle=pen.dash, linewidth=1.4)
        ended = 0 <= last < len(values) - 1 and values[last + 1] == 0
        if ended or (last == 0 and len(values) == 1):
            axes.plot(epochs[last], values[last], "o", color=pen.colour, markersize=3)


def _finish(axes: Axes, run: PlottedRun, epochs: Sequence[int]) -> None:
    mark_stages(axes, run.metrics)
    over_epochs(axes, epochs)
    if run.metrics:
        name_stages(axes, run.metrics)


def _finish_panel(axes: Axes, run: PlottedRun, grid: _Grid, name: str) -> None:
    """A small panel has numbers only where no other panel stands to its left, or below."""
    mark_stages(axes, run.metrics)
    over_epochs(axes, [row.epoch for row in run.architecture])
    row, column = grid.places[name]
    leftmost = min(at for above, at in grid.places.values() if above == row)
    axes.tick_params(
        labelsize=8, length=2, labelleft=column == leftmost, labelbottom=grid.is_lowest(name)
    )
    axes.xaxis.set_major_locator(whole_numbers(4))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=3))


@dataclass(frozen=True, slots=True)
class _Legend:
    """What a legend shows, in how many columns."""

    handles: Sequence[Line2D]
    columns: int

    @property
    def lines(self) -> int:
        """How many lines of text it has."""
        return math.ceil(len(self.handles) / self.columns)


def _legend(ink: Mapping[bool, Mapping[str, Pen]], width: float) -> _Legend:
    """One legend for all panels, as wide as the figure at most: ops, then states to read."""
    ops = ((named(op), pen) for op, pen in ink[False].items())
    names = [*ops, *((f"reads {state}", pen) for state, pen in ink[True].items())]
    handles = [
        Line2D([], [], color=pen.colour, linestyle=pen.dash, linewidth=2, label=label)
        for label, pen in names
    ]
    widest = max(len(label) for label, _ in names)
    return _Legend(handles, max(1, min(len(names), int(width / (0.65 + 0.08 * widest)))))


def _entropies(run: PlottedRun) -> tuple[list[int], dict[str, list[float]]]:
    """Epochs and the entropy of each choice in nats: as measured, or else of its weights."""
    rows = [row for row in run.metrics if row.entropy]
    if rows:
        names = dict.fromkeys(name for row in rows for name in row.entropy)
        by_choice = {name: [plain(row.entropy.get(name)) for row in rows] for name in names}
        return [row.epoch for row in rows], by_choice
    names = [name for name in run.facts.choices if _has_weights(run, name)]
    found = {name: [_entropy(weights) for weights in run.weights(name)] for name in names}
    return [row.epoch for row in run.architecture], found


def _entropy(weights: Iterable[float]) -> float:
    """-sum w ln w; NaN where a weight is none."""
    return -sum(
        weight * math.log(weight) if weight > 0 else 0.0 if weight == 0 else math.nan
        for weight in weights
    )


def _has_weights(run: PlottedRun, choice: str) -> bool:
    return any(map(math.isfinite, sum(run.weights(choice), ())))


def _dotted(ink: Mapping[str, Pen]) -> dict[str, Pen]:
    """Pens for sources, so that nobody takes them for ops of the same colour."""
    return {name: Pen(pen.colour, (0, (1, 1.2))) for name, pen in ink.items()}


def _ops(options: Iterable[str]) -> list[str]:
    return [option for option in options if not option.isdecimal()]


def _peak(weights: Iterable[float]) -> float:
    return max((weight for weight in weights if math.isfinite(weight)), default=0.0)


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
