"""What runs: compiling a genotype end to end, searching, training, and the command line."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.experiment.experiment import Experiment, RunOptions, Search
    from runners.experiment.search import Result, resume, search
    from runners.experiment.train import Evaluation, evaluate
    from runners.experiment.trained import Replay, replay
    from runners.forms.compile import Options, compile_genotype
    from runners.forms.report import Report

__all__ = [
    "Evaluation",
    "Experiment",
    "Options",
    "Replay",
    "Report",
    "Result",
    "RunOptions",
    "Search",
    "compile_genotype",
    "evaluate",
    "replay",
    "resume",
    "search",
]

_MODULES = {
    "runners.experiment.experiment": ("Experiment", "RunOptions", "Search"),
    "runners.experiment.search": ("Result", "resume", "search"),
    "runners.experiment.train": ("Evaluation", "evaluate"),
    "runners.experiment.trained": ("Replay", "replay"),
    "runners.forms.compile": ("Options", "compile_genotype"),
    "runners.forms.report": ("Report",),
}


if not TYPE_CHECKING:  # a type checker must not take a misspelt name for an object

    def __getattr__(name: str) -> object:
        """A name of `_MODULES`, imported at its first use: the command line must not load torch."""
        for module, names in _MODULES.items():
            if name in names:
                return getattr(import_module(module), name)
        raise AttributeError(f"module 'runners' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, imported yet or not."""
    return sorted({*globals(), *__all__})
