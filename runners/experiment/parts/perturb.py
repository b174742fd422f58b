"""Weights are trained at perturbed mixtures, so that the loss is flat around the decisions.

SmoothDARTS, arXiv:2002.05283. Perturbations live on the simplex: the mixture's weights move, not
the logits, and only for the step of the network's weights. Live options of undecided choices move;
pruned options and rows that a projection has decided are held.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from runners.experiment.parts.mixture import Drawn, Rows
from runners.experiment.parts.moment import Moment
from runners.experiment.supernet import Supernet
from runners.fields import Number, Ranged, Repeats
from runners.task import Batch


@dataclass(frozen=True, slots=True)
class Radius(Ranged):
    """ε grows linearly over the epochs, by e/E as published, so that `end` is never reached."""

    start: Number = 0.03
    end: Number = 0.3

    def at(self, moment: Moment) -> float:
        """ε in this epoch."""
        return self.start + (self.end - self.start) * moment.share


WIDE = Radius(0.3, 0.3)
"""ε while edges are projected: fixed, as in the published code of DARTS-PT."""


class Perturbation:
    """How far, and where to, rows of weights move: by `radius`, and `tuning` between decisions."""

    radius: Radius
    tuning: Radius

    def epsilon(self, moment: Moment) -> float:
        """ε at this moment."""
        return (self.tuning if moment.phase == "projection" else self.radius).at(moment)

    def perturbed(self, drawn: Drawn, learner: Supernet, batch: Batch, moment: Moment) -> Drawn:
        """The rows at which weights take their step on this batch, without gradients."""
        raise NotImplementedError


@dataclass(frozen=True)
class UniformNoise(Perturbation):
    """Every weight of an op moves by U(−ε, ε), then rows are clipped and divided (SDARTS-RS)."""

    radius: Radius = Radius()
    tuning: Radius = WIDE

    def perturbed(self, drawn: Drawn, learner: Supernet, batch: Batch, moment: Moment) -> Drawn:
        """Equation 6 without the maximum: one random direction."""
        return _moved(drawn, _shaken(_open(drawn, learner), self.epsilon(moment), moment))


@dataclass(frozen=True)
class Ascent(Perturbation, Ranged):
    """Projected gradient ascent of the training loss in the box of side 2ε (SDARTS-ADV, eq. 7).

    `steps` of 2ε/steps by the gradient's sign from a random start; the network is in evaluation
    mode. If the loss at the end is below that at the start, nothing moves. Rows stay on the
    simplex, but dividing them can lead out of the box, as in the published code.
    """

    steps: Repeats = 7
    radius: Radius = Radius()
    tuning: Radius = WIDE

    def perturbed(self, drawn: Drawn, learner: Supernet, batch: Batch, moment: Moment) -> Drawn:
        """The rows that are worst for the batch, as far as these steps find them."""
        start = _open(drawn, learner)
        if not start:
            return drawn
        epsilon = self.epsilon(moment)

        def loss(rows: Rows) -> Tensor:
            moved = learner.whole(_moved(drawn, rows))
            return learner.outcome(learner.frozen_run, batch, moved).loss

        learner.module.eval()
        try:
            rows = _shaken(start, epsilon, moment)
            for _ in range(self.steps):
                rows = _climbed(rows, start, epsilon, 2 * epsilon / self.steps, loss)
            with torch.no_grad():
                worse = bool(loss(rows) >= loss(start))
        finally:
            learner.module.train()
        return _moved(drawn, rows if worse else start)


def _climbed(
    rows: Rows, start: Rows, epsilon: float, length: float, loss: Callable[[Rows], Tensor]
) -> dict[str, Tensor]:
    """One step up by the gradient's sign, held in the box around the start."""
    leaves = {name: row.detach().requires_grad_() for name, row in rows.items()}
    gradients = torch.autograd.grad(loss(leaves), tuple(leaves.values()), materialize_grads=True)
    found: dict[str, Tensor] = {}
    for (name, row), gradient in zip(rows.items(), gradients, strict=True):
        away = (row + length * gradient.sign() - start[name]).clamp(-epsilon, epsilon)
        found[name] = clipped(start[name] + away)
    return found


def _open(drawn: Drawn, learner: Supernet) -> dict[str, Tensor]:
    """The rows of undecided ops; those of edges, inputs and outputs are not perturbed."""
    return {n: row.detach() for n, row in drawn.weights.items() if learner.decided.is_open(n)}


def _moved(drawn: Drawn, rows: Rows) -> Drawn:
    """The same with these rows."""
    return replace(drawn, weights={**drawn.weights, **rows})


def _shaken(rows: Rows, epsilon: float, moment: Moment) -> dict[str, Tensor]:
    generator = moment.generator("perturb")
    found: dict[str, Tensor] = {}
    for name, row in rows.items():
        noise = torch.empty(row.shape).uniform_(-epsilon, epsilon, generator=generator)
        found[name] = clipped(row + noise.to(row))
    return found


def clipped(row: Tensor) -> Tensor:
    """The row within [0, 1] and divided by its sum; its greatest alone where nothing is left."""
    inside = row.clamp(0, 1)
    total = inside.sum()
    hot = torch.zeros_like(row).scatter(0, row.argmax(0, keepdim=True), 1.0)
    return torch.where(total > 0, inside / total.clamp(min=torch.finfo(row.dtype).tiny), hot)
