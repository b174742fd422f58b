"""Figures of a run directory: how it learnt, how it decided, what it chose. Needs matplotlib."""

from runners.plot.run import PlottedRun, read_run
from runners.plot.style import NothingToDrawError
from runners.plot.write import PLOTS, LeftOut, Plot, Plots, plot_run

__all__ = [
    "PLOTS",
    "LeftOut",
    "NothingToDrawError",
    "Plot",
    "Plots",
    "PlottedRun",
    "plot_run",
    "read_run",
]
