"""Architecture updates, regularisers, stopping and selection of genotypes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import lowering
import nasir
from nasir import Genotype
from runners.experiment.fields import (
    AnyCount,
    AnyEpochs,
    Count,
    Epochs,
    Model,
    Number,
    Repeats,
    Share,
)
from runners.experiment.learner import Moment, Tuning
from runners.experiment.mixture import Rows
from runners.experiment.supernet import Decisions, Objective, Supernet
from runners.machine.device import norm
from runners.task.score import Score, Tally
from runners.task.task import Batch, Task


class Architect(Model):
    """Updates the architecture beside the weights; by default not at all."""

    def step(self, learner: Supernet, train: Batch, moment: Moment) -> None:
        """Runs with each step of the weights; `train` is their batch."""

    def finish(self, learner: Supernet, moment: Moment) -> None:
        """Runs after the last step of an epoch."""


class FirstOrder(Architect):
    """The gradient of the validation loss at the present weights. DARTS, section 2.3, ξ = 0."""

    def step(self, learner: Supernet, train: Batch, moment: Moment) -> None:
        """Takes one Adam step on the logits."""
        batch = learner.task.valid(moment.number, moment.step)
        objective = Objective(learner, batch, moment)
        summed = learner.place.ranks.summed
        gradients = lowering.first_order(learner.module, learner.leaves, objective, summed)
        learner.ascend(gradients, objective.outcome, batch)


class SecondOrder(Architect):
    """The gradient after one unrolled step of the weights. DARTS, equations 6 to 8.

    Momentum and gradient clipping are the weight optimiser's; clipping applies to the recurrent
    search alone, which scales the difference even if nothing was clipped, as published.
    """

    def step(self, learner: Supernet, train: Batch, moment: Moment) -> None:
        """Takes one Adam step on the logits."""
        batch = learner.task.valid(moment.number, moment.step)
        valid = Objective(learner, batch, moment)
        gradients = lowering.second_order(
            learner.module,
            learner.leaves,
            Objective(learner, train, moment),
            valid,
            learner.unrolled(train.rate),
            learner.place.ranks.summed,
        )
        learner.ascend(gradients, valid.outcome, batch)


class Frozen(Architect):
    """Learns nothing: logits keep their initial values (blank-pt), or there are none."""


class Reinforce(Architect):
    """A controller rewarded after each epoch for the validation accuracy of its samples.

    ENAS, arXiv:1802.03268, with the constants of its NAS-Bench-201 code: `steps` on the mean over
    `together` samples; reward = accuracy (0 to 1; 80 / perplexity for language, as in the paper) +
    entropy_weight · entropy. The baseline is a moving average of rewards over all epochs (the
    published code restarts it with each epoch). Accuracy is measured on one validation batch with
    its own batch statistics.
    """

    steps: Repeats = 50
    together: Repeats = 20
    entropy_weight: Number = 1e-4
    baseline_decay: Share = 0.99
    clip: Number = 5.0

    def finish(self, learner: Supernet, moment: Moment) -> None:
        """Takes all steps of the controller."""
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
                tally = learner.task.tally()
                tally.add(learner.outcome_of(sample.genotype, batch))
                tally.gather(learner.place.ranks)
                reward = _reward(tally, learner.task)
                reward += self.entropy_weight * float(sample.entropy)
                learner.baseline += (1 - self.baseline_decay) * (reward - learner.baseline)
                loss = -sample.log_probability * (reward - learner.baseline) / self.together
                torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(controller.parameters(), self.clip)
            optimiser.step()


def _reward(tally: Tally, task: Task) -> float:
    return 80.0 / math.exp(tally.loss) if task.metric == "perplexity" else tally.quality


class Regulariser(Model):
    """Regularises logits by Adam's weight decay or a loss term; by default neither."""

    decay: Number = 0.0
    """The weight decay of the architect's Adam (L2 in the gradient, not decoupled)."""

    def term(self, live: Rows, logits: Rows, moment: Moment) -> Tensor | None:
        """Returns the term of the architect's loss, if any.

        `live` are the logits of options that were not pruned, `logits` all of them.
        """


class L2(Regulariser):
    """Weight decay in Adam, 1e-3 in all published code. For DrNAS it pulls concentrations to 1."""

    decay: Number = 1e-3


class KullbackLeibler(Regulariser):
    """scale · Σ KL(Dir(elu(logit) + 1) ‖ Dir(1)). DrNAS, arXiv:2006.10355, equation 5.

    Added to the architect's loss alone. After pruning it covers the live options, which are the
    ones sampled; the published code includes pruned ones (`options="all"`), with their logits of 0.
    """

    scale: Number = 1e-3
    options: Literal["live", "all"] = "live"

    def term(self, live: Rows, logits: Rows, moment: Moment) -> Tensor:
        """Returns the sum over choices."""
        rows = live if self.options == "live" else logits
        return self.scale * torch.stack(list(map(_divergence, rows.values()))).sum()


class BetaDecay(Regulariser):
    """scale · e/E · the mean over choices of log Σ exp(logit). β-DARTS, arXiv:2203.01665.

    Epoch e of E counts from 0, so `scale` is never reached, as in the published code, which also
    keeps Adam's weight decay.
    """

    scale: Number = 50.0
    decay: Number = 1e-3

    def term(self, live: Rows, logits: Rows, moment: Moment) -> Tensor:
        """Returns the mean over choices, live options only."""
        rows = torch.stack([row.logsumexp(0) for row in live.values()])
        return self.scale * moment.share * rows.mean()


def _divergence(row: Tensor) -> Tensor:
    """lnΓ(Σβ) − Σ lnΓ(β) − lnΓ(n) + Σ (β − 1)(ψ(β) − ψ(Σβ))."""
    beta = F.elu(row) + 1.0
    total = beta.sum()
    count = torch.tensor(float(len(row)), dtype=row.dtype, device=row.device)
    away = (beta - 1.0) * (torch.digamma(beta) - torch.digamma(total))
    return torch.lgamma(total) - torch.lgamma(beta).sum() - torch.lgamma(count) + away.sum()


Product = Callable[[Tensor], Tensor]
"""A matrix-vector product."""

_TOLERANCE = 0.01
"""The relative tolerance of the eigenvalue; the actual error is mostly far smaller."""


class Stop(Model, ABC):
    """Ends a search before its last epoch by a value that is logged as `logged`."""

    logged: ClassVar[str]

    @abstractmethod
    def due(self, epoch: int) -> bool:
        """Whether the value is measured after this epoch (from 0)."""

    @abstractmethod
    def measure(self, learner: Supernet, moment: Moment) -> float:
        """Returns the current value."""

    @abstractmethod
    def stops(self, values: Sequence[float]) -> int | None:
        """Returns the epoch whose genotype is the result, or None to continue."""


class EigenvalueStop(Stop):
    """Stops when the dominant eigenvalue of the architecture's Hessian grows.

    RobustDARTS, arXiv:1909.09656, section 4.3, with the constants of its code. Every `every`
    epochs, the largest eigenvalue of the Hessian of the validation loss (with its L2 term) with
    respect to the logits is measured on the epoch's last validation batch, in training mode. With
    means over `window` values, the search stops when a mean exceeds `factor` times the mean `apart`
    values earlier, and returns the genotype of that earlier epoch, which must be at least
    `earliest`. Hessian-vector products are exact; the published code builds the whole matrix.
    """

    logged: ClassVar[str] = "eigenvalue"

    every: Epochs = 2
    window: Epochs = 5
    apart: Epochs = 4
    factor: Number = 1.3
    earliest: AnyEpochs = 10

    def due(self, epoch: int) -> bool:
        """Whether this epoch (from 0) is measured."""
        return epoch % self.every == 0

    def measure(self, learner: Supernet, moment: Moment) -> float:
        """Returns the current largest eigenvalue."""
        batch = learner.task.valid(moment.number, moment.step)
        ranks, decay = learner.place.ranks, learner.method.regularise.decay
        exact = lowering.to_torch(learner.graph, optimise=False, together=learner.together)
        exact = exact.to(learner.place.device, learner.place.dtype)
        exact.part = batch.part
        exact.load_state_dict(learner.module.state_dict())
        exact.train()
        rows = [row.detach().requires_grad_() for row in learner.leaves]
        given = dict(zip(learner.logits, rows, strict=True))
        weights = [weight.detach() for weight in exact.parameters()]
        loss = learner.outcome(
            lambda *inputs: exact.call_apart(weights, *inputs), batch, learner.draw(moment, given)
        ).loss
        penalty = decay / 2 / ranks.count * sum(row.square().sum() for row in rows)
        loss = loss * batch.share + penalty
        gradients = torch.autograd.grad(loss, rows, create_graph=True, materialize_grads=True)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])

        def product(vector: Tensor) -> Tensor:
            if not flat.requires_grad:
                return torch.zeros_like(vector)
            parts = torch.autograd.grad(
                flat, rows, vector, retain_graph=True, materialize_grads=True
            )
            return torch.cat([part.reshape(-1) for part in ranks.summed(parts)])

        start = torch.randn(flat.shape, generator=moment.generator("lanczos"))
        return greatest_eigenvalue(product, start.to(flat))

    def stops(self, values: Sequence[float]) -> int | None:
        """Returns the epoch whose genotype is selected, or None to continue."""
        means = [
            sum(part) / len(part)
            for end in range(1, len(values) + 1)
            if len(part := values[max(0, end - self.window) : end]) >= (self.window + 1) // 2
        ]
        if len(means) <= self.apart or means[-1 - self.apart] <= 0:
            return None
        centre = (len(values) - 1) * self.every - self.every * (self.window // 2)
        epoch = centre - self.every * self.apart
        grown = means[-1] / means[-1 - self.apart] > self.factor
        return epoch if grown and epoch >= self.earliest else None


def greatest_eigenvalue(product: Product, start: Tensor) -> float:
    """Returns the largest eigenvalue of a symmetric matrix, from about 20 products (ARPACK)."""
    from scipy.sparse import linalg as untyped

    linalg: Any = untyped
    size = len(start)
    if size == 1:
        return float(product(torch.ones_like(start)))

    def times(vector: Any) -> Any:
        return product(torch.as_tensor(vector.reshape(-1)).to(start)).double().cpu().numpy()

    matrix = linalg.LinearOperator((size, size), matvec=times, dtype="float64")
    vector = start.double().cpu().numpy()
    try:
        found = linalg.eigsh(matrix, 1, which="LA", v0=vector, tol=_TOLERANCE, rng=0)[0]
    except linalg.ArpackError:  # all products are 0 or not finite
        return float(norm(product(start)))
    return float(found[0])


class Selection(Model):
    """Selects a genotype: once at the end, or with training between decisions."""

    def tuning(self, learner: Supernet) -> Tuning | None:
        """Returns the epochs that follow the search's own, if any."""

    def decide(self, learner: Supernet, moment: Moment) -> None:
        """Takes the decisions before a tuning epoch (`moment.epoch`, from 0)."""

    def genotype(self, learner: Supernet, moment: Moment) -> Genotype:
        """Returns the current selection by expected weights; at the end, the result."""
        return nasir.derive(learner.space, learner.expected())


class Argmax(Selection):
    """Best ops and edges by the mixture's expected weights (`nasir.derive`)."""


class Draw(Selection):
    """A genotype sampled uniformly from the space, or the best that was asked for, with values.

    Nothing is trained.
    """


class BestOf(Selection):
    """The best of `count` genotypes sampled by the method, with the supernet's weights.

    Each is measured on `batches` held-out batches (0: all), then the best `finalists` on all of
    them. Batch norms use batch statistics, since running statistics mix those of all architectures.
    """

    count: Count = 1000
    batches: AnyCount = 10
    finalists: Count = 10

    def genotype(self, learner: Supernet, moment: Moment) -> Genotype:
        """Returns the best by accuracy, then by loss."""
        scored: list[tuple[Score, Genotype]] = []
        for number in range(self.count):
            candidate = learner.candidate(moment, number)
            scored.append((learner.score_of(candidate, self.batches), candidate))
            learner.say(f"best of {self.count}: {number + 1} measured")
        scored.sort(key=lambda pair: pair[0], reverse=True)
        if self.batches and self.finalists > 1:
            final = [(learner.score_of(g, 0), g) for _, g in scored[: self.finalists]]
            scored = sorted(final, key=lambda pair: pair[0], reverse=True)
        return scored[0][1]


class Projection(Selection):
    """Decides one edge per kind of cell at a time by the cost of its removal, then tunes.

    DARTS-PT, arXiv:2108.04392, section 4, with the rules of its code. One round every `interval`
    epochs. Op rounds: for a random undecided edge of each kind, the held-out accuracy without each
    op is measured, not renormalised; the op whose removal hurts most stays. Edge rounds: nodes with
    too many edges drop those whose removal hurts least. Of equals, the first op stays and the last
    edge goes. Batch norms use batch statistics. Weights are tuned at a tenth of the learning rate,
    with momentum reset; the lr is constant, since the published code builds a cosine schedule that
    it never steps (`schedule="cosine"`).

    `epochs`, where not 0, is the total of tuning epochs, spread over the rounds; several rounds may
    precede one epoch.

    Fixed: ops that the space never selects are no candidates (`candidates="all"` includes them, as
    published), and a removed edge stays out while the next one is chosen.
    """

    interval: Repeats = 5
    epochs: AnyEpochs = 0
    criterion: Literal["accuracy", "loss"] = "accuracy"
    candidates: Literal["selectable", "all"] = "selectable"
    batches: AnyCount = 0
    rate_share: Number = 0.1
    schedule: Literal["constant", "cosine"] = "constant"

    def rounds(self, decided: Decisions) -> int:
        """Returns the op rounds and edge rounds of the kind of cell with the most choices."""
        return sum(map(len, _rounds(decided)))

    def length(self, rounds: int) -> int:
        """Returns the number of tuning epochs; one follows the last round."""
        return self.epochs or self.interval * (rounds - 1) + 1

    def tuning(self, learner: Supernet) -> Tuning:
        """Returns a tuning phase of `length` epochs."""
        epochs = self.length(self.rounds(learner.decided))
        lr = learner.method.optimizer.lr * self.rate_share
        minimum = learner.method.schedule.minimum if self.schedule == "cosine" else lr
        return Tuning(epochs, lr, min(minimum, lr))

    def decide(self, learner: Supernet, moment: Moment) -> None:
        """Takes the rounds that are due: one every `interval` epochs, or all spread evenly."""
        if moment.epoch == 0:
            learner.optimiser.state.clear()
        ops, edges = _rounds(learner.decided)
        rounds = len(ops) + len(edges)
        for number in range(rounds):
            if number * (moment.epochs - 1) // max(rounds - 1, 1) != moment.epoch:
                continue
            for kind in ops[number] if number < len(ops) else ():
                self._project(learner, kind, moment)
            for kind in edges[number - len(ops)] if number >= len(ops) else ():
                self._thin(learner, kind, moment)

    def _project(self, learner: Supernet, kind: str, moment: Moment) -> None:
        open_ = [name for name in learner.decided.ops_of(kind) if name not in learner.decided.fixed]
        name = open_[_random(len(open_), moment, f"edge {kind}")]
        options = learner.decided.options(name)
        if self.candidates == "selectable":
            options = learner.decided.selectable(name)
        scores = {o: self._score(learner, {name: (o,)}, moment) for o in options}
        learner.decided.fixed[name] = min(scores, key=lambda option: scores[option])
        learner.say(f"{name}: {learner.decided.choices[name].options[learner.decided.fixed[name]]}")

    def _thin(self, learner: Supernet, kind: str, moment: Moment) -> None:
        decided = learner.decided
        groups = [group for group in decided.groups(kind) if not decided.is_settled(group)]
        group = groups[_random(len(groups), moment, f"node {kind}")]
        while not decided.is_settled(group):
            left = decided.remaining(group)
            scores = [self._score(learner, dict((part,)), moment) for part in left]
            best = max(reversed(range(len(left))), key=lambda at: scores[at])
            decided.drop(*left[best])
        learner.say(f"{kind}: {group.name} keeps {group.keep}")

    def _score(
        self, learner: Supernet, without: dict[str, tuple[int, ...]], moment: Moment
    ) -> float:
        """Returns the selection criterion; greater is better."""
        score = learner.score_without(without, moment, self.batches)
        return score.quality if self.criterion == "accuracy" else score.negative_loss


def _rounds(decided: Decisions) -> tuple[list[list[str]], list[list[str]]]:
    """Returns, for each op round and each edge round, the kinds of cell with a decision left."""

    def rounds(counts: dict[str, int]) -> list[list[str]]:
        most = range(max(counts.values(), default=0))
        return [[kind for kind, count in counts.items() if number < count] for number in most]

    kinds = decided.space.kinds
    ops = {kind: len(decided.ops_of(kind)) for kind in kinds}
    return rounds(ops), rounds({kind: len(decided.groups(kind)) for kind in kinds})


def _random(count: int, moment: Moment, label: str) -> int:
    return int(torch.randint(count, (), generator=moment.generator(label)))
