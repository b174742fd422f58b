"""The device and precision of a network, seeds, and torch functions that lack types."""

import os
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor

from lowering import generator
from nasir import NasirError
from nasir.errors import nearest, quoted
from runners.machine.machine import check_alone

Precision = Literal["float32", "bf16", "float64"]
"""`bf16`: weights in float32, products in bfloat16. `float64` is for tests."""

_HINT = "leave --device out; `nasir doctor` says what torch sees"


@dataclass(frozen=True, slots=True)
class Place:
    """The device, precision and determinism of a loop."""

    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
    deterministic: bool = False

    @property
    def dtype(self) -> torch.dtype:
        """The type of weights and inputs."""
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

    Raises an error for a device that is not there, or in one of several processes, or for a
    precision that is unknown or not possible.
    """
    check_alone()
    found, known = find_device(device), get_args(Precision)
    if precision not in known:
        message = f"unknown precision {quoted(precision)}"
        raise NasirError("E502", message, hint=nearest(precision, known))
    lacks_bf16 = precision == "bf16" and found.type == "cuda" and not _has_bf16(found)
    if lacks_bf16 or (precision == "float64" and found.type == "mps"):
        message = f"the device '{found}' has no {precision}"
        raise NasirError("E502", message, hint="use --precision float32")
    return Place(found, cast("Precision", precision), deterministic)


def find_device(text: str) -> torch.device:
    """The device of that name. Raises an error where this machine, or this torch, does not have
    it.
    """
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


def _has_bf16(device: torch.device) -> bool:
    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported()


_torch: Any = torch


def distinct(values: Tensor) -> list[int]:
    """The distinct whole numbers among the values, sorted."""
    return _torch.unique(values).tolist()


def numbered(values: Tensor) -> Tensor:
    """The index of each whole number among the distinct ones."""
    return _torch.unique(values, return_inverse=True)[1]


def entropy(shares: Tensor) -> Tensor:
    """The entropy of a distribution in nats; 0 log 0 is 0."""
    return _torch.special.entr(shares).sum()


def length(vector: Tensor) -> Tensor:
    """The Euclidean norm."""
    return _torch.linalg.vector_norm(vector)


def listed(values: Tensor) -> list[Any]:
    """The numbers as nested lists."""
    found: Any = values
    return found.tolist()


def deterministic(seed: int) -> int:
    """Makes runs of one seed equal to the bit on one machine; the number of torch's threads.

    Asks torch for deterministic operations on every device (it raises RuntimeError at those that
    have none) and seeds what anything might draw from. Sums are split among the threads, so that
    number is part of what a run repeats under. On a GPU this must be called before its first
    product, because cuBLAS reads its setting once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Or torch fills fresh memory with NaN first, which costs time and helps nobody here.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 (no stub)
    torch.backends.cudnn.benchmark = False
    random.seed(seed)
    reseed(seed, 0, 0)
    return torch.get_num_threads()


def reseed(seed: int, epoch: int, step: int) -> None:
    """Lets what networks draw from torch's own generators depend on these numbers alone.

    Called before each step: dropout and noise are then the same in a run that was killed and one
    that was not.
    """
    set_generators(generator(seed, f"step {epoch} {step}").initial_seed())


def set_generators(number: int) -> None:
    """Seeds torch's own generators, on every device."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # before that the call would queue, and queue, and queue
        torch.cuda.manual_seed_all(number)
