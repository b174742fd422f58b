"""Devices, precision, seeds, and torch functions without type stubs."""

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
from runners.machine.ranks import ALONE, Ranks, join_ranks

Precision = Literal["float32", "bf16", "float64"]
"""`bf16`: weights in float32, products in bfloat16. `float64` is for tests."""

_HINT = "omit --device; `nasir doctor` checks the devices"


@dataclass(frozen=True, slots=True)
class Place:
    """The device, precision and determinism of a run, and the processes that share its work.

    `workers` are the processes that decode images ahead; with 0, threads decode them when needed.
    """

    device: torch.device = torch.device("cpu")
    precision: Precision = "float32"
    deterministic: bool = False
    ranks: Ranks = ALONE
    workers: int = 0

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and inputs."""
        return torch.float64 if self.precision == "float64" else torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Returns the context of forward passes."""
        if self.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()


def find_place(
    device: str = "cpu",
    precision: str = "float32",
    deterministic: bool = False,
    *,
    together: bool = False,
    workers: int = 0,
) -> Place:
    """Returns the device and precision that options name.

    With `together` it joins the other processes that torchrun started, if any: `cuda` is then the
    GPU with this process's number on its machine. Raises an error for an unavailable device, for
    one of several processes without `together`, or for an unknown or unsupported precision.
    """
    if not together:
        check_alone()
    elif device == "cuda" and "LOCAL_RANK" in os.environ:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    found, known = find_device(device), get_args(Precision)
    if precision not in known:
        message = f"unknown precision {quoted(precision)}"
        raise NasirError("E502", message, hint=nearest(precision, known))
    lacks_bf16 = precision == "bf16" and found.type == "cuda" and not _has_bf16(found)
    if lacks_bf16 or (precision == "float64" and found.type == "mps"):
        message = f"the device '{found}' has no {precision}"
        raise NasirError("E502", message, hint="use --precision float32")
    ranks = join_ranks(device) if together else ALONE
    return Place(found, cast("Precision", precision), deterministic, ranks, workers)


def find_device(text: str) -> torch.device:
    """Returns the device of that name. Raises an error if machine or torch does not have it."""
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
    """Returns the distinct integers, sorted."""
    return _torch.unique(values).tolist()


def distinct_index(values: Tensor) -> Tensor:
    """Returns the index of each value among the distinct ones."""
    return _torch.unique(values, return_inverse=True)[1]


def entropy(shares: Tensor) -> Tensor:
    """Returns the entropy of a distribution in nats; 0 log 0 is 0."""
    return _torch.special.entr(shares).sum()


def norm(vector: Tensor) -> Tensor:
    """Returns the Euclidean norm."""
    return _torch.linalg.vector_norm(vector)


def to_list(values: Tensor) -> list[Any]:
    """Converts a tensor to nested lists."""
    found: Any = values
    return found.tolist()


def deterministic(seed: int) -> int:
    """Makes runs with one seed bitwise equal on one machine; returns torch's number of threads.

    Sets torch to deterministic algorithms on every device (ops without one raise RuntimeError) and
    seeds all generators. Sums depend on the number of threads, so a run repeats with the same
    number only. On a GPU, call this before the first matrix product, since cuBLAS reads its setting
    once.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Otherwise torch fills new memory with NaN, which costs time.
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010 (no stub)
    torch.backends.cudnn.benchmark = False
    random.seed(seed)
    reseed(seed, 0, 0)
    return torch.get_num_threads()


def reseed(seed: int, epoch: int, step: int) -> None:
    """Seeds torch's global generators by these numbers alone.

    Called before each step, so that dropout and noise are equal in interrupted and uninterrupted
    runs.
    """
    set_generators(generator(seed, f"step {epoch} {step}").initial_seed())


def set_generators(number: int) -> None:
    """Seeds torch's global generators on every device."""
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # before that, every call would be queued
        torch.cuda.manual_seed_all(number)
