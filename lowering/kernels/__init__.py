"""Kernels in C++ for what a supernet spends its time on."""

from lowering.kernels.build import SWITCH, available, library_path, reason
from lowering.kernels.mixed import mixed_sum, release, supports
from lowering.kernels.units import KernelChain, KernelUnit

__all__ = [
    "SWITCH",
    "KernelChain",
    "KernelUnit",
    "available",
    "library_path",
    "mixed_sum",
    "reason",
    "release",
    "supports",
]
