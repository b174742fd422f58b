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
    "Evaluation": "runners.experiment.train",
    "Replay": "runners.experiment.trained",
    "evaluate": "runners.experiment.train",
    "Options": "runners.forms.compile",
    "Report": "runners.forms.report",
    "Experiment": "runners.experiment.experiment",
    "RunOptions": "runners.experiment.experiment",
    "Search": "runners.experiment.experiment",
    "Result": "runners.experiment.search",
    "compile_genotype": "runners.forms.compile",
    "replay": "runners.experiment.trained",
    "resume": "runners.experiment.search",
    "search": "runners.experiment.search",
}


if not TYPE_CHECKING:  # a type checker must not take a misspelt name for an object

    def __getattr__(name: str) -> object:
        """A name of `_MODULES`, imported at its first use: the command line must not load torch."""
        if name not in _MODULES:
            raise AttributeError(f"module 'runners' has no attribute {name!r}")
        return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names, imported yet or not."""
    return sorted({*globals(), *__all__})
