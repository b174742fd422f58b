"""Policies to run a supernet on a device, chosen by what was measured, not by flags.

The figures are those of `docs/performance.md`: the DARTS supernet (16 channels, 8 cells, batch 16)
on two cores, one training step against the papers' sequence of operations.
"""

import importlib.util
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch

from lowering import kernels
from nasir.arguments import checked


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """An optimisation, whether it is used, and why."""

    name: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy to run supernets on a kind of device (`cpu`, `cuda`).

    `channels_last`: images lie in memory pixel by pixel. `mixed_sums`: the graph is lowered to
    mixed sums, which the kernels compute. `compiled`: `lowering.compile` compiles each kind of
    cell, with `graphs` as CUDA graphs; elsewhere it returns the module as it is.
    """

    device: str
    channels_last: PolicyRow
    mixed_sums: PolicyRow
    compiled: PolicyRow
    graphs: PolicyRow

    @property
    def decisions(self) -> tuple[PolicyRow, ...]:
        """All of them, in order."""
        return (self.channels_last, self.mixed_sums, self.compiled, self.graphs)


@checked
def policy(device: str = "cpu") -> Policy:
    """The policy for a kind of device. Builds the kernels at the first call on a CPU."""
    return _cuda() if device == "cuda" else _cpu()


def _cpu() -> Policy:
    missing = kernels.reason()
    return Policy(
        "cpu",
        PolicyRow("channels_last", True, "with shared values the step is 2.4 times faster"),
        PolicyRow("mixed sums", not missing, missing or "7 times faster, a fifth of the memory"),
        PolicyRow("torch.compile", False, "no gain over channels_last, half a minute of compiling"),
        PolicyRow("CUDA graphs", False, "no GPU"),
    )


def _cuda() -> Policy:
    missing = compiler_missing("cuda")
    graphs = not missing and torch.cuda.is_available()
    return Policy(
        "cuda",
        PolicyRow("channels_last", False, "not measured on a GPU"),
        PolicyRow("mixed sums", False, "the kernels are for the CPU"),
        PolicyRow("torch.compile", not missing, missing or "many small kernels become few"),
        PolicyRow("CUDA graphs", graphs, "one launch a cell" if graphs else "no GPU, or no Triton"),
    )


@checked
def compiler_missing(device: str = "cpu") -> str:
    """Why torch.compile cannot work on this machine; empty if nothing is known to be missing."""
    if device.startswith("cuda"):
        return "" if importlib.util.find_spec("triton") else "Triton is not installed"
    compiler = _cpp_compiler()
    if not shutil.which(compiler):
        return f"the C++ compiler '{compiler}' is not there" if compiler else "no C++ compiler"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return "" if header.exists() else f"Python's headers are not installed ({header})"


def _cpp_compiler() -> str:
    """The C++ compiler that torch would call; empty if it finds none."""
    from torch._inductor import cpp_builder  # pyright: ignore[reportPrivateUsage]
    from torch._inductor.exc import InvalidCxxCompiler  # pyright: ignore[reportPrivateUsage]

    try:
        return cpp_builder.get_cpp_compiler()
    except (InvalidCxxCompiler, OSError):
        return ""
