"""Kernels for what a supernet spends its time on: the package's one door."""

from lowering.kernels.build import (
    SWITCH,
    BuildFailedError,
    available,
    cache_folder,
    library_path,
    reason,
)
from lowering.kernels.mixed import mixed_sum, release, supports
from lowering.kernels.units import KernelChain, KernelUnit, Window

__all__ = [
    "SWITCH",
    "BuildFailedError",
    "KernelChain",
    "KernelUnit",
    "Window",
    "available",
    "cache_folder",
    "library_path",
    "mixed_sum",
    "reason",
    "release",
    "supports",
]
