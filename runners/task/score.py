"""How good a network is on held-out data."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from nasir import NasirError
from runners.task.task import Batch, Outcome, Split, TrainingTask


@dataclass(frozen=True, slots=True, order=True)
class Score:
    """How good a network is on held-out data: accuracy from 0 to 1, then loss in nats."""

    accuracy: float
    negative_loss: float

    @property
    def loss(self) -> float:
        """The mean loss."""
        return -self.negative_loss


def score(
    task: TrainingTask,
    measure: Callable[[Batch], Outcome],
    batches: int = 0,
    split: Split = "valid",
) -> Score:
    """Accuracy and mean loss over the first held-out batches, or over all of them (0).

    Raises E741 where the loss is not a number.
    """
    before = task.state()
    total, correct, count = 0.0, 0.0, 0
    for number, batch in enumerate(task.held_out(split)):
        if batches and number == batches:
            break
        outcome = measure(batch)
        task.carry(batch, outcome)
        total += float(outcome.total)
        correct += float(outcome.correct)
        count += outcome.count
    task.restore(before)
    if not math.isfinite(total):
        raise NasirError("E741", "the loss on held-out data is not a number")
    return Score(correct / max(count, 1), -total / max(count, 1))


def measures(total: float, correct: float, count: int, metric: str) -> dict[str, float]:
    """The mean loss (nats) and the task's metric: accuracy in percent, or perplexity."""
    loss = total / max(count, 1)
    if metric == "accuracy":
        return {"loss": loss, "accuracy": 100.0 * correct / max(count, 1)}
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}
