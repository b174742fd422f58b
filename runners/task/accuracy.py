"""How well a network and its files do on the same held-out data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from nasir import NasirError
from runners.task.score import measures
from runners.task.tally import Tally
from runners.task.task import Split, TrainingTask

FLIPPED = 0.005
"""The share of answers that rounding may change; more of them is an error."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Results of a network on `count` held-out images (or words) of `split`.

    `measures` are the loss and the metric (accuracy and top5 in percent, or perplexity).
    `changed` is how many predictions are not those of the network in eager torch, None of text.
    """

    split: Split
    count: int
    measures: Mapping[str, float]
    changed: int | None = None


@dataclass(frozen=True)
class Answers:
    """An accuracy with the answers: the likeliest and the true class of each image, (N,)."""

    accuracy: Accuracy
    said: Tensor
    true: Tensor

    def confusion(self, classes: int) -> Tensor:
        """How often each class was taken for each, int64 (true, said)."""
        pairs = self.true * classes + self.said
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


Run = Callable[..., Any]
"""A network as a function of tensors: a module, or a file in ONNX Runtime."""


def answers(task: TrainingTask, split: Split, run: Run, most: int = 0) -> Answers:
    """What a network says of the held-out data, of whole batches up to `most` (0: of all)."""
    tally, near = Tally(), 0
    said, true = list[Tensor](), list[Tensor]()
    before = task.state()
    with torch.no_grad():
        for batch in task.held_out(split):
            if most and tally.count >= most:
                break
            outcome = task.outcome(run, batch)
            task.carry(batch, outcome)
            tally.add(outcome)
            if outcome.ranked is not None:
                near += int((outcome.ranked == batch.target[:, None]).any(1).sum())
                said.append(outcome.ranked[:, 0].cpu())
                true.append(batch.target.cpu())
    task.restore(before)
    found = measures(tally.total, tally.correct, tally.count, task.metric)
    if said:
        found["top5"] = 100.0 * near / max(tally.count, 1)
    accuracy = Accuracy(split, tally.count, found)
    none = [torch.zeros(0, dtype=torch.int64)]
    return Answers(accuracy, torch.cat(said or none), torch.cat(true or none))


def compared(first: Answers, other: Answers) -> Accuracy:
    """The other's accuracy, with how many answers differ from the first's."""
    changed = int((first.said != other.said).sum()) if len(first.said) else None
    return replace(other.accuracy, changed=changed)


def require(name: str, first: Answers, other: Accuracy) -> Accuracy:
    """The accuracy of that form itself. Raises E756 where it differs by more than rounding."""
    allowed = max(1, int(FLIPPED * other.count))
    loss = first.accuracy.measures["loss"]
    apart = abs(loss - other.measures["loss"])
    if (other.changed or 0) <= allowed and apart <= 1e-2 * max(1.0, loss):
        return other
    changed = "" if other.changed is None else f"{other.changed} of {other.count} answers, "
    raise NasirError(
        "E756",
        f"'{name}' answers otherwise than eager torch on the {other.split} data: "
        f"{changed}a loss of {other.measures['loss']:.4g} instead of "
        f"{loss:.4g}",
        hint="that is no rounding: please report it",
    )
