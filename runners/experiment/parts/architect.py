"""How an architecture learns: gradients of its logits, or rewards of a controller."""

from dataclasses import dataclass

import torch

import lowering
from runners.experiment.parts.moment import Moment
from runners.experiment.supernet import Supernet
from runners.fields import Number, Ranged, Repeats, Share
from runners.task import Batch, Outcome


class Architect:
    """How the architecture learns beside the weights; by default not at all."""

    def step(self, learner: Supernet, train: Batch, moment: Moment) -> None:
        """With each step of the weights, that on `train`."""

    def finish(self, learner: Supernet, moment: Moment) -> None:
        """After the last step of an epoch."""


@dataclass(frozen=True, slots=True)
class FirstOrder(Architect):
    """The gradient of the validation loss at the present weights. DARTS, section 2.3, ξ = 0."""

    def step(self, learner: Supernet, train: Batch, moment: Moment) -> None:
        """One step of Adam on the logits."""
        batch = learner.task.valid(moment.number, moment.step)
        objective = learner.objective(batch, moment)
        gradients = lowering.first_order(learner.module, learner.leaves, objective)
        learner.ascend(gradients, objective.outcome, batch)


@dataclass(frozen=True, slots=True)
class SecondOrder(Architect):
    """The gradient after one unrolled step of the weights. DARTS, equations 6 to 8.

    `momentum` is that of the weights' optimiser; `clip` bounds both gradients of the weights, as
    in the recurrent search, where the difference is scaled even if nothing was clipped (published).
    """

    def step(self, learner: Supernet, train: Batch, moment: Moment) -> None:
        """One step of Adam on the logits."""
        batch = learner.task.valid(moment.number, moment.step)
        valid = learner.objective(batch, moment)
        gradients = lowering.second_order(
            learner.module,
            learner.leaves,
            learner.objective(train, moment),
            valid,
            learner.unrolled(train.rate),
        )
        learner.ascend(gradients, valid.outcome, batch)


@dataclass(frozen=True, slots=True)
class Frozen(Architect):
    """Learns nothing: logits stay as they began (blank-pt), or there are none."""


@dataclass(frozen=True, slots=True)
class Reinforce(Architect, Ranged):
    """A controller is rewarded for the validation accuracy of what it draws, after each epoch.

    ENAS, arXiv:1802.03268, with the constants of its NAS-Bench-201 code: `steps` of the mean over
    `together` draws; reward = accuracy (0 to 1; 80 / perplexity for language, as in the paper) +
    entropy_weight · entropy; the baseline is a moving average of rewards that goes on over epochs
    (in the published code each epoch begins again from the same value). Accuracies are those of one
    validation batch with its own batch statistics.
    """

    steps: Repeats = 50
    together: Repeats = 20
    entropy_weight: Number = 1e-4
    baseline_decay: Share = 0.99
    clip: Number = 5.0

    def finish(self, learner: Supernet, moment: Moment) -> None:
        """All steps of the controller."""
        controller = learner.controller
        optimiser = learner.controller_optimiser
        assert controller is not None, "the method table pairs this part with a controller"
        assert optimiser is not None
        for step in range(self.steps):
            optimiser.zero_grad()
            for turn in range(self.together):
                number = step * self.together + turn
                generator = lowering.generator(learner.seed, f"reinforce {moment.number} {number}")
                sample = controller.sample(generator)
                batch = learner.task.valid(moment.number, number % learner.task.steps(0))
                outcome = learner.apart(sample.genotype, batch)
                reward = _reward(outcome, learner.task.metric)
                reward += self.entropy_weight * float(sample.entropy)
                learner.baseline += (1 - self.baseline_decay) * (reward - learner.baseline)
                loss = -sample.log_probability * (reward - learner.baseline) / self.together
                torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(controller.parameters(), self.clip)
            optimiser.step()


def _reward(outcome: Outcome, metric: str) -> float:
    if metric == "accuracy":
        return float(outcome.correct) / outcome.count
    return 80.0 / float(torch.exp(outcome.total / outcome.count))
