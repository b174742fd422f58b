"""How a supernet is run on a device: chosen by what was measured, not by flags.

The figures are those of `docs/performance.md`: the DARTS supernet (16 channels, 8 cells, batch 16)
on two cores, one training step against the papers' sequence of operations.
"""

from dataclasses import dataclass

import torch

from lowering import kernels
from lowering.torch.compiler import compiler_missing
from nasir.wanted import checked


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """One way to run faster: whether it is taken, and why."""

    name: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Policy:
    """How supernets run on a kind of device (`cpu`, `cuda`).

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
        PolicyRow("mixed sums", not missing, missing or "7 times faster, a quarter of the memory"),
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
