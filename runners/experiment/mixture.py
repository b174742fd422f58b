"""Mixtures: the weights of options from logits, relaxed, sampled or perturbed.

A part receives the logits of live options, one row for each choice, and returns weights for the
same options. `expected` is their mean, for selection and for the logs. The controller samples
genotypes decision by decision.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lowering
import nasir
from nasir import Genotype, Graph, Space
from nasir.space.tree import Choose, Pick
from runners.experiment.fields import Model, Number, Positive, Repeats
from runners.experiment.learner import Moment
from runners.machine.device import entropy
from runners.machine.ranks import Ranks
from runners.task.task import Batch

if TYPE_CHECKING:
    from runners.experiment.supernet import Supernet

Rows = Mapping[str, Tensor]
"""Choice name -> a value for each of its live options, shape (options,)."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Weights for the live options of each choice, and the options that run, if not all do."""

    weights: Rows
    live: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


class MixturePart(Model, ABC):
    """Weights from logits; `ranks`: whether expected weights rank the options."""

    ranks: ClassVar[bool] = True

    @abstractmethod
    def mix(self, rows: Rows, learner: "Supernet", moment: Moment) -> Drawn:
        """Returns the weights of one forward pass, with the moment's random numbers."""

    def expected(self, rows: Rows) -> Rows:
        """Returns the mean weights without gradients: by default the softmax of each row."""
        return {name: row.detach().softmax(0) for name, row in rows.items()}


class Softmax(MixturePart):
    """Softmax of each row. DARTS, arXiv:1806.09055, equation 2."""

    def mix(self, rows: Rows, learner: "Supernet", moment: Moment) -> Drawn:
        return Drawn({name: row.softmax(0) for name, row in rows.items()})


class Dirichlet(MixturePart):
    """A reparameterised sample of each choice from Dir(elu(logit) + 1).

    DrNAS, arXiv:2006.10355. The +1 keeps every concentration positive; elu rather than exp keeps
    the gradient bounded. Pruned options are excluded, which equals the masking and division of the
    published code. As published, weights are sampled in evaluation too, and selection uses the
    softmax of the logits, not the mean of the distribution.
    """

    def mix(self, rows: Rows, learner: "Supernet", moment: Moment) -> Drawn:
        moment.reseed("dirichlet")
        found: dict[str, Tensor] = {}
        for name, row in rows.items():
            part = torch.distributions.Dirichlet(F.elu(row) + 1.0, validate_args=False)
            found[name] = part.rsample()
        return Drawn(found)


class SoftGumbel(MixturePart):
    """A sample of the concrete distribution per choice; its temperature falls linearly.

    SNAS, arXiv:1812.09926, equation 5: softmax((log softmax(logits) + g) / τ), g Gumbel(0, 1). As
    in the published code τ falls by e/E, so `end` is reached in projections only.
    """

    start: Positive = 10.0
    end: Positive = 1.0

    def temperature(self, moment: Moment) -> float:
        """Returns τ in this epoch; `end` in projections."""
        if moment.phase == "projection":
            return self.end
        return self.start + (self.end - self.start) * self.done(moment)

    def done(self, moment: Moment) -> float:
        """Returns the progress of τ from `start` to `end`."""
        return moment.share

    def mix(self, rows: Rows, learner: "Supernet", moment: Moment) -> Drawn:
        temperature, generator = self.temperature(moment), moment.generator("gumbel")
        found: dict[str, Tensor] = {}
        for name, row in rows.items():
            noise = torch.empty(row.shape).exponential_(generator=generator).log_().neg_()
            noise = noise.to(device=row.device, dtype=row.dtype)
            found[name] = ((row.log_softmax(0) + noise) / temperature).softmax(0)
        return Drawn(found)


class HardGumbel(SoftGumbel):
    """One option per choice (Gumbel-max), with the concrete distribution's gradient.

    GDAS, arXiv:1910.04465, equations 3 to 5: forward is one-hot, backward is that of softmax((log
    softmax(logits) + g) / τ). Only sampled branches run. The published NAS-Bench-201 code also adds
    the zero weights of the other options to the sum, which gives them the gradient of an op whose
    value is 1; here, as in its NASNet code, they have no gradient of their own. τ falls by e/(E −
    1), so the last epoch has `end`.
    """

    end: Positive = 0.1

    def done(self, moment: Moment) -> float:
        return moment.progress

    def mix(self, rows: Rows, learner: "Supernet", moment: Moment) -> Drawn:
        """Returns one-hot weights, with one live option each."""
        soft = SoftGumbel.mix(self, rows, learner, moment).weights
        # One transfer from the device instead of one per choice.
        best = torch.stack([row.detach().argmax() for row in soft.values()]).cpu()
        live = {name: (int(index),) for name, index in zip(soft, best, strict=True)}
        weights: dict[str, Tensor] = {}
        for name, row in soft.items():
            hard = torch.zeros_like(row)
            hard[live[name][0]] = 1.0
            weights[name] = hard - row.detach() + row
        return Drawn(weights, live)


def one_hot(graph: Graph, genotype: Genotype, rows: Rows) -> Drawn:
    """Returns a genotype's rows: 1 for each option that it picks, else 0."""
    found = nasir.picks(graph, genotype)
    weights = {name: torch.zeros_like(row.detach()) for name, row in rows.items()}
    for name, row in weights.items():
        row[list(found[name])] = 1.0
    return Drawn(weights, {name: found[name] for name in rows})


class WholeGenotype(MixturePart):
    """Samples a genotype; nothing else runs, and logits are not used."""

    ranks: ClassVar[bool] = False

    @abstractmethod
    def genotype(self, learner: "Supernet", moment: Moment) -> Genotype:
        """Returns the genotype at this moment."""

    def mix(self, rows: Rows, learner: "Supernet", moment: Moment) -> Drawn:
        """Returns weights of 1 for the genotype's options, else 0."""
        return one_hot(learner.graph, self.genotype(learner, moment), rows)

    def expected(self, rows: Rows) -> Rows:
        """Returns equal weights: a controller's preferences depend on earlier decisions."""
        return {name: torch.full_like(row.detach(), 1 / len(row)) for name, row in rows.items()}


class Uniform(WholeGenotype):
    """A genotype of the space, sampled uniformly decision by decision.

    Random search with weight sharing, Li and Talwalkar, arXiv:1902.07638. Ops that the space never
    selects are never sampled (the published sampler includes `none`, which is never selected).
    """

    def genotype(self, learner: "Supernet", moment: Moment) -> Genotype:
        return nasir.sample(learner.space, moment.seed_of("genotype"))


class Sampled(WholeGenotype):
    """A genotype sampled by the controller. ENAS, arXiv:1802.03268."""

    def genotype(self, learner: "Supernet", moment: Moment) -> Genotype:
        controller = learner.controller
        assert controller is not None, "the method table pairs this part with a controller"
        with torch.no_grad():
            return controller.sample(moment.generator("controller")).genotype


class Radius(Model):
    """ε grows linearly over the epochs, by e/E as published, so `end` is never reached."""

    start: Number = 0.03
    end: Number = 0.3

    def at(self, moment: Moment) -> float:
        """Returns ε in this epoch."""
        return self.start + (self.end - self.start) * moment.share


WIDE = Radius(start=0.3, end=0.3)
"""ε during projection: constant, as in the published code of DARTS-PT."""


class Perturbation(Model, ABC):
    """Trains weights at perturbed mixtures, so that the loss is flat around the decisions.

    SmoothDARTS, arXiv:2002.05283. Perturbs the mixture's weights on the simplex, not the logits,
    and only for the step of the network's weights. Pruned options and rows decided by a projection
    stay. The size is `radius`, and `tuning` during projection.
    """

    radius: Radius = Radius()
    tuning: Radius = WIDE

    def epsilon(self, moment: Moment) -> float:
        """Returns ε at this moment."""
        return (self.tuning if moment.phase == "projection" else self.radius).at(moment)

    @abstractmethod
    def perturbed(self, drawn: Drawn, learner: "Supernet", batch: Batch, moment: Moment) -> Drawn:
        """Returns the rows for the weights' step on this batch, without gradients."""


class UniformNoise(Perturbation):
    """Adds U(−ε, ε) to every op weight, then clips and normalises rows (SDARTS-RS)."""

    def perturbed(self, drawn: Drawn, learner: "Supernet", batch: Batch, moment: Moment) -> Drawn:
        """Equation 6 without the maximum: one random direction."""
        return _with_rows(drawn, _noisy(_undecided(drawn, learner), self.epsilon(moment), moment))


class Ascent(Perturbation):
    """Projected gradient ascent of the training loss in the box of side 2ε (SDARTS-ADV, eq. 7).

    `steps` of 2ε/steps by the gradient's sign from a random start, with the network in evaluation
    mode. If the final loss is below the initial one, nothing is perturbed. Rows stay on the
    simplex, but normalising them can leave the box, as in the published code.
    """

    steps: Repeats = 7

    def perturbed(self, drawn: Drawn, learner: "Supernet", batch: Batch, moment: Moment) -> Drawn:
        """Returns the rows with the highest loss that the steps find."""
        start = _undecided(drawn, learner)
        if not start:
            return drawn
        epsilon = self.epsilon(moment)

        ranks = learner.place.ranks

        def loss(rows: Rows) -> Tensor:
            moved = learner.expand(_with_rows(drawn, rows))
            return learner.outcome(learner.frozen_run, batch, moved).loss * batch.share

        learner.module.eval()
        try:
            rows = _noisy(start, epsilon, moment)
            for _ in range(self.steps):
                gradients = _gradients(rows, loss, ranks)
                rows = _ascended(rows, start, epsilon, 2 * epsilon / self.steps, gradients)
            with torch.no_grad():
                after, before = ranks.totals(float(loss(rows)), float(loss(start)))
        finally:
            learner.module.train()
        return _with_rows(drawn, rows if after >= before else start)


def _gradients(rows: Rows, loss: Callable[[Rows], Tensor], ranks: Ranks) -> list[Tensor]:
    """Returns the gradient of all processes' loss by each row."""
    leaves = {name: row.detach().requires_grad_() for name, row in rows.items()}
    own = torch.autograd.grad(loss(leaves), tuple(leaves.values()), materialize_grads=True)
    return ranks.summed(own)


def _ascended(
    rows: Rows, start: Rows, epsilon: float, length: float, gradients: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Takes one step by the gradients' signs, clipped to the box around the start."""
    found: dict[str, Tensor] = {}
    for (name, row), gradient in zip(rows.items(), gradients, strict=True):
        away = (row + length * gradient.sign() - start[name]).clamp(-epsilon, epsilon)
        found[name] = clipped(start[name] + away)
    return found


def _undecided(drawn: Drawn, learner: "Supernet") -> dict[str, Tensor]:
    """Returns the rows of undecided ops; edges, inputs and outputs are not perturbed."""
    return {n: row.detach() for n, row in drawn.weights.items() if learner.decided.is_undecided(n)}


def _with_rows(drawn: Drawn, rows: Rows) -> Drawn:
    """Returns `drawn` with these rows replaced."""
    return replace(drawn, weights={**drawn.weights, **rows})


def _noisy(rows: Rows, epsilon: float, moment: Moment) -> dict[str, Tensor]:
    generator = moment.generator("perturb")
    found: dict[str, Tensor] = {}
    for name, row in rows.items():
        noise = torch.empty(row.shape).uniform_(-epsilon, epsilon, generator=generator)
        found[name] = clipped(row + noise.to(row))
    return found


def clipped(row: Tensor) -> Tensor:
    """Clips a row to [0, 1] and divides it by its sum; one-hot at its maximum if that is 0."""
    inside = row.clamp(0, 1)
    total = inside.sum()
    hot = torch.zeros_like(row).scatter(0, row.argmax(0, keepdim=True), 1.0)
    return torch.where(total > 0, inside / total.clamp(min=torch.finfo(row.dtype).tiny), hot)


HIDDEN = 32
SQUASH, TEMPERATURE = 2.5, 5.0  # logits are 2.5 · tanh(logit / 5), as in the published code


@dataclass(frozen=True, slots=True)
class Sample:
    """A genotype, the log-probability of its decisions and their entropy (nats, a constant)."""

    genotype: Genotype
    log_probability: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """A two-layer LSTM with 32 units; each decision has an embedding and a linear head.

    A node with more sources than it keeps chooses its edges one after the other, without
    repetition, and then an op for each; a node that keeps all chooses ops only (for NAS-Bench-201
    these are the published controller's six decisions). Weights depend on the seed.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__()
        self.space = space
        sizes = sorted({size for tree in space.trees for size in _sizes(tree.walk)})
        self.start = nn.Parameter(torch.empty(1, 1, HIDDEN))
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, num_layers=2)
        self.heads = nn.ModuleDict({str(n): nn.Linear(HIDDEN, n) for n in sizes})
        self.words = nn.ModuleDict({str(n): nn.Embedding(n, HIDDEN) for n in sizes})
        for name, weight in self.named_parameters():
            source = lowering.generator(seed, f"controller {name}")
            weight.data.uniform_(-0.1, 0.1, generator=source)

    def sample(self, generator: torch.Generator) -> Sample:
        """Samples a genotype decision by decision; its log-probability has a gradient."""
        return _Writer(self, generator).written()

    def most_likely(self) -> Genotype:
        """Returns the genotype of the most probable option at each decision."""
        with torch.no_grad():
            return _Writer(self, None).written().genotype


class _Writer:
    """One pass of the controller."""

    def __init__(self, controller: Controller, generator: torch.Generator | None) -> None:
        self.net = controller
        self.generator = generator
        self.input: Tensor = controller.start
        self.state: tuple[Tensor, Tensor] | None = None
        self.log_probability: list[Tensor] = []
        self.entropy: list[Tensor] = []

    def written(self) -> Sample:
        """Returns the genotype of all cells."""
        space = self.net.space
        cells = tuple(each.cell_of([self._pick(c) for c in each.walk]) for each in space.trees)
        genotype = Genotype(space.name, cells, definition=space, size=space.largest)
        return Sample(
            genotype, torch.stack(self.log_probability).sum(), torch.stack(self.entropy).sum()
        )

    def _pick(self, each: Choose) -> Pick:
        """Returns the options that a decision keeps, with the picks of their own decisions."""
        count = len(each.options)
        wanted = count if each.keep is None or each.most else min(each.keep, count)
        kept = [each.options[place] for place in sorted(self._several(count, wanted))]
        return tuple((o.name, tuple(map(self._pick, o.then))) for o in kept)

    def _several(self, count: int, wanted: int) -> list[int]:
        """Returns `wanted` different options of `count`; no decision if all are wanted."""
        if wanted == count:
            return list(range(count))
        chosen: list[int] = []
        for _ in range(wanted):
            chosen.append(self._decide(count, chosen))
        return chosen

    def _decide(self, count: int, taken: Sequence[int]) -> int:
        """Returns one of `count` options that is not in `taken`."""
        output, self.state = self.net.lstm(self.input, self.state)
        logits = self.net.heads[str(count)](output[0, 0])
        logits = SQUASH * torch.tanh(logits / TEMPERATURE)
        logits = logits.index_fill(0, torch.tensor(taken, dtype=torch.int64), -torch.inf)
        logs = logits.log_softmax(0)
        shares = logs.detach().exp()
        if self.generator is None:
            index = int(shares.argmax())
        else:
            index = int(torch.multinomial(shares, 1, generator=self.generator))
        self.log_probability.append(logs[index])
        self.entropy.append(entropy(shares))
        self.input = self.net.words[str(count)](torch.tensor([[index]]))
        return index


def _sizes(tree: Sequence[Choose]) -> Iterator[int]:
    """Yields the number of options of each decision."""
    for each in tree:
        yield len(each.options)
        for option in each.options:
            yield from _sizes(option.then)
