"""Randomness that is not state: what is drawn depends on the seed and on where the run is."""

import os
import random

import torch

from lowering import generator


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
