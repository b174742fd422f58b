"""One epoch: for each pair of batches the architect's step, then the weights'."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from runners.learner import Learner
from runners.method import Method
from runners.parts.moment import Moment
from runners.tally import Tally, check_finite
from runners.task import Batch, Outcome


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
        check_finite(outcome, moment.number, moment.step, "rate")
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
