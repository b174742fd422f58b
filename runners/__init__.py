"""What runs: compiling a genotype end to end, searching, training, and the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.compile import compile_genotype
    from runners.loop import Request, Result, resume, search
    from runners.replay import Replay, replay
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
    "Replay": "runners.replay",
    "Training": "runners.training",
    "evaluate": "runners.training",
    "Options": "runners.report",
    "Report": "runners.report",
    "Request": "runners.loop",
    "Result": "runners.loop",
    "compile_genotype": "runners.compile",
    "replay": "runners.replay",
    "resume": "runners.loop",
    "search": "runners.loop",
}


def __getattr__(name: str) -> object:
    """The name from its module, imported on first use: the command line must not import torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'runners' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
