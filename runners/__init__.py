"""What runs: compiling a genotype end to end, searching, and the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runners.compile import compile_genotype
    from runners.loop import Request, Result, replay, resume, search
    from runners.report import Options, Report

__all__ = [
    "Options",
    "Report",
    "Request",
    "Result",
    "compile_genotype",
    "replay",
    "resume",
    "search",
]

_MODULES = {
    "Options": "runners.report",
    "Report": "runners.report",
    "Request": "runners.loop",
    "Result": "runners.loop",
    "compile_genotype": "runners.compile",
    "replay": "runners.loop",
    "resume": "runners.loop",
    "search": "runners.loop",
}


def __getattr__(name: str) -> object:
    """The name from its module, imported on first use: the command line must not import torch."""
    if name not in _MODULES:
        raise AttributeError(f"module 'runners' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_MODULES[name]), name)
