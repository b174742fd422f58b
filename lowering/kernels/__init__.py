"""Kernels in C++ for what a supernet spends its time on."""

from lowering.kernels.build import SWITCH, available, library_path, reason
from lowering.kernels.mixed import SharedValue, SumPlan, mixed_sum, plan_sum, release, supports
from lowering.kernels.units import KernelChain, KernelUnit

__all__ = [
    "SWITCH",
    "KernelChain",
    "KernelUnit",
    "SharedValue",
    "SumPlan",
    "available",
    "library_path",
    "mixed_sum",
    "plan_sum",
    "reason",
    "release",
    "supports",
]
