"""Kernels in C++ for what a supernet spends its time on."""

from lowering.kernels.build import SWITCH, available, library_path, reason
from lowering.kernels.mixed import (
    SharedValue,
    SumsPlan,
    SumStep,
    is_sum,
    mixed_sums,
    plan_sum,
    release,
    supports,
)
from lowering.kernels.pool import lend
from lowering.kernels.units import KernelChain, KernelUnit

__all__ = [
    "SWITCH",
    "KernelChain",
    "KernelUnit",
    "SharedValue",
    "SumStep",
    "SumsPlan",
    "available",
    "is_sum",
    "lend",
    "library_path",
    "mixed_sums",
    "plan_sum",
    "reason",
    "release",
    "supports",
]
