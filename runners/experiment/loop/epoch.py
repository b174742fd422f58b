"""One epoch: for each pair of batches the architect's step and the weights', in either order."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from runners.experiment.learner import Learner
from runners.experiment.method import Method
from runners.experiment.parts.mixture import Drawn
from runners.experiment.parts.moment import Moment
from runners.task import Batch, Outcome
from runners.task.tally import Tally, check_finite


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
        last = learner.settings.logits.order == "weights-first"
        if job.architect and not last:
            _learn_architecture(learner, method, batch, moment)
        tally.add(_learn_weights(learner, method, batch, replace(moment, purpose="weights")))
        if job.architect and last:
            _learn_architecture(learner, method, batch, moment)
        job.watch(step, tally)
    if job.architect:
        method.architect.finish(learner, job.moment)
    learner.module.drop_path = 0.0
    return tally


def _learn_architecture(learner: Learner, method: Method, batch: Batch, moment: Moment) -> None:
    moment = replace(moment, purpose="architect")
    moment.reseed("network")
    method.architect.step(learner, batch, moment)


def _learn_weights(learner: Learner, method: Method, batch: Batch, moment: Moment) -> Outcome:
    """A step of the weights at the mixture, or at a perturbed one."""
    with torch.set_grad_enabled(learner.settings.optimizer.clip_covers == "all"):
        mixture = learner.whole(_drawn(learner, method, batch, moment))
    moment.reseed("network")
    outcome = learner.outcome(learner.module, batch, mixture)
    check_finite(outcome, moment.number, moment.step, "optimizer.lr")
    learner.descend(outcome, batch.rate)
    learner.task.carry(batch, outcome)
    return outcome


def _drawn(learner: Learner, method: Method, batch: Batch, moment: Moment) -> Drawn:
    """The rows, perturbed where the method does that.

    The gradient by a perturbed row is its logits' gradient: SmoothDARTS' code writes the row over
    the logits before it clips.
    """
    drawn = learner.drawn(moment)
    if method.perturb is None:
        return drawn
    with torch.enable_grad():
        moved = method.perturb.perturbed(drawn, learner, batch, moment)
    logits = {n: row for n, row in learner.rows().items() if learner.decided.is_open(n)}
    tied = {n: moved.weights[n] + (row - row.detach()) for n, row in logits.items()}
    return replace(moved, weights={**moved.weights, **tied})
