"""Where a network runs: device, precision, and which of several processes this is."""

import contextlib
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from nasir import NasirError
from nasir.errors import nearest, quoted

DTYPES = {"float32": torch.float32, "bf16": torch.float32, "float64": torch.float64}
"""The type of weights in each precision: bf16 keeps them in float32 and computes by autocast."""


@dataclass(frozen=True, slots=True)
class Place:
    """The one place from which loops take device, precision and process group.

    `rank` of `ranks` processes share a batch. `deterministic` asks for equal bits on a GPU too.
    """

    device: str = "cpu"
    precision: str = "float32"
    rank: int = 0
    ranks: int = 1
    deterministic: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights."""
        return DTYPES[self.precision]

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which a forward pass computes in this precision."""
        if self.precision != "bf16":
            return contextlib.nullcontext()
        return torch.autocast(self.device.partition(":")[0], dtype=torch.bfloat16)


def find_place(device: str, precision: str = "float32", *, deterministic: bool = False) -> Place:
    """The place of this process. Raises E502 for a device or precision that is not there.

    Several processes say who they are by RANK and WORLD_SIZE, as torch's launcher sets them.
    """
    if precision not in DTYPES:
        message = f"unknown precision {quoted(precision)}"
        raise NasirError("E502", message, hint=nearest(precision, DTYPES))
    check_device(device)
    rank, ranks = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return Place(device, precision, rank, ranks, deterministic)


def check_device(device: str) -> None:
    """Raises E502 for a device that this machine, or this torch, does not have."""
    kind, _, number = device.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        message = f"unknown device {quoted(device)}"
        raise NasirError("E502", message, hint="cpu, cuda, or cuda:1")
    if kind == "cpu":
        return
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(number or 0) >= count:
        have = f"it sees {count}" if count else "it sees none"
        raise NasirError(
            "E502",
            f"torch sees no GPU for the device '{device}' ({have})",
            hint="leave --device out; `nasir doctor` says what torch sees",
        )
