"""Runs that repeat to the bit."""

import os

import torch


def deterministic(seed: int, *, strict: bool) -> None:
    """Sets torch's generators, and where `strict` allows only operations that repeat.

    On a CPU all operations that nasir uses repeat with the same number of threads. On a GPU some do
    only if asked, and are slower then.
    """
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
