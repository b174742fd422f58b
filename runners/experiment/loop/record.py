"""What an epoch leaves in the logs: measures, and the architecture's weights."""

from collections import Counter
from typing import Any

import torch

import nasir
from runners.experiment.learner import Learner
from runners.experiment.loop.schedule import Epoch
from runners.experiment.method import Method
from runners.experiment.parts.mixture import HardGumbel, SoftGumbel
from runners.experiment.parts.moment import Moment
from runners.machine.arrays import entropy
from runners.task.tally import Tally

DIGITS = 7
"""Digits of logged weights: more than anybody plots, and a fifth of the size."""


def metrics_row(
    learner: Learner, method: Method, epoch: Epoch, moment: Moment, tally: Tally
) -> dict[str, Any]:
    """The row of `metrics.jsonl`; nothing in it depends on time."""
    row: dict[str, Any] = {
        "epoch": epoch.number,
        "stage": epoch.stage,
        "phase": epoch.phase,
        "rate": epoch.rate,
        "train": tally.facts(learner.task.metric),
    }
    if method.perturb is not None:
        part = method.perturb
        radius = part.tuning if epoch.phase == "projection" else part.radius
        row["epsilon"] = radius.at(moment)
    if isinstance(method.mixture, (SoftGumbel, HardGumbel)):
        row["temperature"] = method.mixture.temperature(moment)
    if method.settings.train.drop_path:
        row["drop_path"] = method.settings.train.drop_path * moment.progress
    weights = learner.expected(moment)
    row["entropy"] = {name: _entropy(values) for name, values in weights.items()}
    if method.ranks:
        row["skips"] = skips(nasir.derive(learner.space, weights))
    return row


def architecture_row(learner: Learner, number: int, moment: Moment) -> dict[str, Any]:
    """The row of `architecture.jsonl`."""
    weights = learner.expected(moment)
    return {
        "epoch": number,
        "weights": {name: [_short(x) for x in values] for name, values in weights.items()},
        "logits": {
            name: [_short(float(x)) for x in row.detach()] for name, row in learner.logits.items()
        },
    }


def skips(genotype: nasir.Genotype) -> dict[str, int]:
    """How many ops of each kind of cell are skip connections."""
    return {cell.kind: Counter(cell.named_ops)["skip_connect"] for cell in genotype.cells}


def _entropy(values: list[float]) -> float:
    """In nats; weights that do not sum to 1 are divided by their sum."""
    row = torch.tensor(values, dtype=torch.float64)
    total = row.sum()
    return _short(float(entropy(row / total))) if total > 0 else 0.0


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
