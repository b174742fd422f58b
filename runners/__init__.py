"""What runs: compiling a genotype end to end, searching, training, and the command line."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.compile import compile_genotype
    from runners.loop import Request, Result, resume, search
    from runners.replaying import Replay, replay
    from runners.report import Options, Report
    from runners.training import Evaluation, Training, evaluate

__all__ = [
    "Evaluation",
    "Options",
    "Replay",
    "Report",
    "Request",
    "Result",
    "Training",
    "compile_genotype",
    "evaluate",
    "replay",
    "resume",
    "search",
]

_MODULES = {
    "Evaluation": "runners.training",
    "Replay": "runners.replaying",
    "Training": "runners.training",
    "evaluate": "runners.training",
    "Options": "runners.report",
    "Report": "runners.report",
    "Request": "runners.loop",
    "Result": "runners.loop",
    "compile_genotype": "runners.compile",
    "replay": "runners.replaying",
    "resume": "runners.loop",
    "search": "runners.loop",
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
