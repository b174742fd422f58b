"""Where a network runs: its device, its precision, and its part in a group of processes."""

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch

from nasir import NasirError
from nasir.errors import nearest, quoted

Precision = Literal["float32", "bf16", "float64"]
"""`bf16`: weights in float32, products in bfloat16. `float64` is for tests."""

_HINT = "leave --device out; `nasir doctor` says what torch sees"


@dataclass(frozen=True, slots=True)
class Place:
    """What a loop needs to know of where it runs; `rank` counts from 0 to `ranks` - 1."""

    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
    rank: int = 0
    ranks: int = 1
    deterministic: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and of what a network is given."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Around forward passes."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def find_place(
    device: str = "cpu", precision: str = "float32", deterministic: bool = False
) -> Place:
    """The place that the options and the variables RANK, WORLD_SIZE and LOCAL_RANK name.

    `cuda` without a number is the GPU of LOCAL_RANK. Raises E502 for a device that is not there,
    E728 for variables that make no sense, E729 for a precision that is unknown or not possible.
    """
    ranks = _variable("WORLD_SIZE", 1, least=1)
    rank = _variable("RANK", 0, least=0)
    if rank >= ranks:
        raise NasirError(
            "E728",
            f"RANK is {rank}, and WORLD_SIZE is {ranks}",
            hint="ranks count from 0; `torchrun` sets both",
        )
    if device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{_variable('LOCAL_RANK', 0, least=0)}"
    found = find_device(device)
    return Place(found, _precision(precision, found), rank, ranks, deterministic)


def find_device(text: str) -> torch.device:
    """The device of that name. Raises E502 where this machine, or this torch, does not have it."""
    try:
        device = torch.device(text)
    except RuntimeError:
        raise NasirError("E502", f"unknown device {quoted(text)}", hint=_HINT) from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            have = f"it sees {count}" if count else "it sees none"
            message = f"torch sees no GPU for the device {quoted(text)} ({have})"
            raise NasirError("E502", message, hint=_HINT)
    elif device.type == "mps" and torch.backends.mps.is_available():
        pass
    elif device.type != "cpu":
        raise NasirError("E502", f"nasir cannot use the device {quoted(text)} here", hint=_HINT)
    return device


def _precision(text: str, device: torch.device) -> Precision:
    if text not in get_args(Precision):
        known = get_args(Precision)
        raise NasirError("E729", f"unknown precision {quoted(text)}", hint=nearest(text, known))
    precision = cast("Precision", text)
    lacks = (precision == "bf16" and device.type == "cuda" and not _has_bf16(device)) or (
        precision == "float64" and device.type == "mps"
    )
    if lacks:
        raise NasirError(
            "E729", f"the device '{device}' has no {precision}", hint="use --precision float32"
        )
    return precision


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported()


def _variable(name: str, default: int, least: int) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise NasirError(
            "E728",
            f"the variable {name} is {quoted(text)}, not a whole number from {least} on",
            hint=f"unset {name}, or let `torchrun` set it",
        )
    return int(text)
