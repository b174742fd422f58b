"""Sums over an epoch."""

from dataclasses import dataclass

import torch

from nasir import NasirError
from runners.task import Outcome
from runners.task.score import measures


@dataclass(slots=True)
class Tally:
    """Sums over the batches of an epoch. Changes as the epoch goes."""

    total: float = 0.0
    correct: float = 0.0
    count: int = 0
    steps: int = 0
    loading: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """One batch more."""
        self.total += float(outcome.total)
        self.correct += float(outcome.correct)
        self.count += outcome.count
        self.steps += 1

    def facts(self, metric: str) -> dict[str, float]:
        """Mean loss and the metric: accuracy in percent, or perplexity."""
        return measures(self.total, self.correct, self.count, metric)


def check_finite(outcome: Outcome, epoch: int, step: int) -> None:
    """Raises E741 where the loss is not a number."""
    if not bool(torch.isfinite(outcome.loss.detach())):
        raise NasirError(
            "E741",
            f"the loss is {float(outcome.loss.detach()):g} in step {step} of epoch {epoch}",
            hint="a smaller learning rate (--set optimizer.lr=…) or gradient clipping; "
            "the last checkpoint is whole, and --resume goes on from it",
        )
