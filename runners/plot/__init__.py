"""Figures of a run directory: how it learnt, how it decided, what it chose. Needs matplotlib."""

from runners.plot.run import NothingToDrawError, PlottedRun, read_run
from runners.plot.write import PLOTS, Plots, plot_run

__all__ = ["PLOTS", "NothingToDrawError", "Plots", "PlottedRun", "plot_run", "read_run"]
