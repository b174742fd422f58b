"""One epoch: for each pair of batches the architect's step, then the weights'."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from nasir import NasirError
from runners.learner import Learner
from runners.method import Method
from runners.parts.moment import Moment
from runners.task import Batch, Outcome


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


def measures(total: float, correct: float, count: int, metric: str) -> dict[str, float]:
    """The mean loss (nats) and the task's metric: accuracy in percent, or perplexity."""
    loss = total / max(count, 1)
    if metric == "accuracy":
        return {"loss": loss, "accuracy": 100.0 * correct / max(count, 1)}
    return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}


@dataclass(frozen=True, slots=True)
class EpochJob:
    """An epoch of a search: which, at what rate, whether the architect works, how many steps."""

    moment: Moment
    rate: float
    architect: bool
    drop_path: float
    steps: int
    watch: Callable[[int, Tally], None]


def run_epoch(learner: Learner, method: Method, job: EpochJob) -> Tally:
    """Trains for an epoch. Raises E741 where a loss is not a number."""
    learner.set_rate(job.rate)
    learner.module.drop_path = job.drop_path
    learner.module.train()
    tally = Tally()
    for step in range(job.steps):
        moment = replace(job.moment, step=step)
        start = time.perf_counter()
        batch = learner.task.train(moment.number, step)
        tally.loading += time.perf_counter() - start
        if job.architect:
            asked = replace(moment, purpose="architect")
            asked.reseed("network")
            method.architect.step(learner, batch, asked)
        outcome = _forward(learner, method, batch, replace(moment, purpose="weights"))
        _check(outcome, moment)
        learner.descend(outcome, batch.rate)
        learner.task.carry(batch, outcome)
        tally.add(outcome)
        job.watch(step, tally)
    if job.architect:
        method.architect.finish(learner, job.moment)
    learner.module.drop_path = 0.0
    return tally


def _forward(learner: Learner, method: Method, batch: Batch, moment: Moment) -> Outcome:
    """The weights' forward pass: at the mixture, or at a perturbed one; logits get no gradient."""
    with torch.no_grad():
        drawn = learner.whole(learner.drawn(moment))
    if method.perturb is not None:
        drawn = method.perturb.perturbed(drawn, learner, batch, moment)
    moment.reseed("network")
    return learner.outcome(learner.module, batch, drawn)


def _check(outcome: Outcome, moment: Moment) -> None:
    if not bool(torch.isfinite(outcome.loss.detach())):
        raise NasirError(
            "E741",
            f"the loss is {float(outcome.loss.detach()):g} in step {moment.step} of epoch "
            f"{moment.number}",
            hint="a smaller learning rate (--set rate=…) or gradient clipping (--set clip=5); "
            "the last checkpoint is whole, and --resume goes on from it",
        )
