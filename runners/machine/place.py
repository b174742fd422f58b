"""Where a network runs: its device and its precision."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, cast, get_args

import torch

from nasir import NasirError
from nasir.errors import nearest, quoted
from runners.machine.machine import check_alone

Precision = Literal["float32", "bf16", "float64"]
"""`bf16`: weights in float32, products in bfloat16. `float64` is for tests."""

_HINT = "leave --device out; `nasir doctor` says what torch sees"


@dataclass(frozen=True, slots=True)
class Place:
    """What a loop needs to know of where it runs."""

    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
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
    """The place that the options name.

    Raises E502 for a device that is not there, E728 in one of several processes, E729 for a
    precision that is unknown or not possible.
    """
    check_alone()
    found = find_device(device)
    return Place(found, _precision(precision, found), deterministic)


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
