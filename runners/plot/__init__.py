"""Figures of a run directory: training, decisions, cells. Requires matplotlib."""

from runners.plot.run import NothingToDrawError, PlottedRun, read_run
from runners.plot.write import PLOTS, Plots, plot_run

__all__ = ["PLOTS", "NothingToDrawError", "Plots", "PlottedRun", "plot_run", "read_run"]
