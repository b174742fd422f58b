"""A place in a run, and the random numbers that belong to that place."""

from dataclasses import dataclass
from typing import Literal

import torch

import lowering
from runners.machine.device import set_generators

Phase = Literal["search", "projection", "train"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of an epoch, of `epochs` in its phase; `number` counts epochs over all phases.

    Random numbers depend on the seed, the place, the purpose (one step has several) and a label
    alone, so that nothing random has to be kept: whoever asks again draws the same.
    """

    seed: int
    epoch: int
    epochs: int
    number: int
    step: int = 0
    phase: Phase = "search"
    purpose: str = ""

    @property
    def share(self) -> float:
        """The epoch as a share of all, from 0; never 1."""
        return self.epoch / self.epochs

    @property
    def progress(self) -> float:
        """From 0 in the first epoch to 1 in the last."""
        return self.epoch / max(self.epochs - 1, 1)

    def generator(self, label: str) -> torch.Generator:
        """A source of random numbers on the CPU."""
        return lowering.generator(self.seed, f"{label} {self.number} {self.step} {self.purpose}")

    def seed_of(self, label: str) -> int:
        """A number for whatever takes a seed, from 0 to 2**31 - 1."""
        return int(torch.randint(2**31 - 1, (), generator=self.generator(label)))

    def reseed(self, label: str) -> None:
        """Sets torch's own generators, on every device."""
        set_generators(self.seed_of(label))
