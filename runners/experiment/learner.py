"""A supernet that learns: its weights, its logits, their optimisers, and what has been decided.

This is state that changes: the parts of a method and the loop work on it, and nothing else holds
any. What is random comes from a `Moment`, so that all of it fits in a checkpoint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

import lowering
import nasir
from lowering import Mixture, Network, Unrolled
from nasir import Choice, Genotype, Graph, Space
from nasir.passes import MemoryLevel
from runners.experiment.decided import Decided
from runners.experiment.parts.controller import Controller
from runners.experiment.parts.mixture import Decisions, Drawn, MixturePart, Sampled, Uniform
from runners.experiment.parts.moment import Moment
from runners.experiment.parts.regularise import Regulariser
from runners.experiment.settings import Settings
from runners.machine.arrays import backward
from runners.machine.place import Place
from runners.task import Batch, Outcome, Task
from runners.task.score import Score, score


@dataclass(frozen=True)
class Ingredients:
    """What a learner is made of."""

    space: Space
    task: Task
    place: Place
    seed: int
    settings: Settings
    mixture: MixturePart
    edges: MixturePart
    regulariser: Regulariser
    memory: MemoryLevel = "none"
    say: Callable[[str], None] = field(default=lambda text: None)


class Objective:
    """The loss of a batch as a function of the network; `outcome` is that of the last call."""

    def __init__(self, learner: "Learner", batch: Batch, moment: Moment) -> None:
        self.learner, self.batch, self.moment = learner, batch, moment
        self._outcome: Outcome | None = None

    def __call__(self, run: Callable[..., Any]) -> Tensor:
        """The loss with the architect's regulariser; the mixture is drawn anew, but equal."""
        learner = self.learner
        self._outcome = learner.outcome(run, self.batch, learner.draw(self.moment))
        term = learner.made.regulariser.term(learner.rows(), learner.logits)
        return self._outcome.loss if term is None else self._outcome.loss + term

    @property
    def outcome(self) -> Outcome:
        """What the last call did."""
        assert self._outcome is not None, "nothing was computed yet"
        return self._outcome


class Learner:
    """The supernet in training. `graph` is what is lowered at this stage of `supernet`."""

    def __init__(self, made: Ingredients, graph: Graph) -> None:
        self.made = made
        self.space, self.task, self.place = made.space, made.task, made.place
        self.settings, self.seed = made.settings, made.seed
        self.decided = Decided(made.space, graph.choices)
        self.baseline = 0.0
        self.logits = {c.name: self._first_logits(c) for c in graph.choices}
        self.logit_optimiser = torch.optim.Adam(
            self.leaves or [torch.zeros(1)],
            self.settings.logits.lr,
            betas=self.settings.logits.betas,
            weight_decay=self.decay,
        )
        self.controller: Controller | None = None
        self.controller_optimiser: torch.optim.Optimizer | None = None
        if isinstance(made.mixture, Sampled):
            self.controller = Controller(made.space, made.seed)
            self.controller_optimiser = torch.optim.Adam(
                self.controller.parameters(), 1e-3, betas=(0.0, 0.999), eps=1e-3
            )
        self.lower(graph)

    def lower(self, graph: Graph) -> None:
        """Lowers this stage's graph with fresh weights and a fresh optimiser of them."""
        self.graph = graph
        device = self.place.device
        module = lowering.to_torch(graph, self.seed, memory=self.made.memory, device=device.type)
        module = module.to(device, self.place.dtype).train()
        self.module: Network = lowering.compile(module)  # as the device's policy says
        numbers = self.settings.optimizer
        self.weights = list(self.module.parameters())
        self.optimiser = torch.optim.SGD(
            self.weights,
            numbers.lr,
            momentum=numbers.momentum,
            weight_decay=numbers.weight_decay,
            nesterov=numbers.nesterov,
        )

    @property
    def leaves(self) -> list[Tensor]:
        """The logits in the order of the choices."""
        return list(self.logits.values())

    @property
    def decay(self) -> float:
        """The L2 of the logits."""
        return self.made.regulariser.decay

    @property
    def rate(self) -> float:
        """The learning rate of the weights now."""
        return float(self.optimiser.param_groups[0]["lr"])

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate of the weights."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def say(self, text: str) -> None:
        """Tells the user what happens, in one line."""
        self.made.say(text)

    def rows(self, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The logits of live options."""
        logits = self.logits if given is None else given
        return {
            name: row[list(self.decided.kept[name])] if name in self.decided.kept else row
            for name, row in logits.items()
        }

    def draw(self, moment: Moment, given: Mapping[str, Tensor] | None = None) -> Mixture:
        """The mixture at this moment, over all options; of other logits where these are given."""
        return self.whole(self.drawn(moment, given))

    def drawn(self, moment: Moment, given: Mapping[str, Tensor] | None = None) -> Drawn:
        """Its weights for live options alone, before what is decided."""
        rows, decisions = self.rows(given), self.decisions
        ops = {name: row for name, row in rows.items() if name in self.decided.ops}
        rest = {name: row for name, row in rows.items() if name not in self.decided.ops}
        first = self.made.mixture.mix(ops, decisions, moment)
        second = self.made.edges.mix(rest, decisions, moment) if rest else Drawn({})
        return Drawn({**first.weights, **second.weights}, {**first.live, **second.live})

    def whole(self, drawn: Drawn) -> Mixture:
        """The weights over all options, with what was decided in the place of what was drawn."""
        weights = {name: self.decided.whole(name, row) for name, row in drawn.weights.items()}
        live = {
            name: tuple(self.decided.kept[name][i] for i in options)
            if name in self.decided.kept
            else options
            for name, options in drawn.live.items()
        }
        return Mixture({name: weights[name] for name in self.decided.choices}, live)

    def expected(self, moment: Moment) -> dict[str, list[float]]:
        """The mean weights over all options, decided ones included."""
        rows = self.rows()
        ops = {name: row for name, row in rows.items() if name in self.decided.ops}
        rest = {name: row for name, row in rows.items() if name not in self.decided.ops}
        found = {
            **self.made.mixture.expected(ops, moment),
            **self.made.edges.expected(rest, moment),
        }
        return {
            name: [float(x) for x in self.decided.whole(name, found[name])]
            for name in self.decided.choices
        }

    @property
    def decisions(self) -> Decisions:
        """What the mixture's parts see."""
        return Decisions(self.space, self.graph, self.controller)

    def outcome(self, run: Callable[..., Any], batch: Batch, mixture: Mixture) -> Outcome:
        """What a run of the network does on a batch, in the place's precision."""
        with self.place.autocast():
            return self.task.outcome(run, batch, mixture)

    def frozen_run(self, *inputs: Any) -> Any:
        """The network with constant weights, whose running statistics stay."""
        return self.module.call_apart([weight.detach() for weight in self.weights], *inputs)

    def objective(self, batch: Batch, moment: Moment) -> Objective:
        """The loss of a batch for the architect."""
        return Objective(self, batch, moment)

    def descend(self, outcome: Outcome, rate: float) -> None:
        """A step of the weights down the outcome's loss, at `rate` times the learning rate.

        Weights that the loss does not depend on, such as those of ops that were not drawn, have a
        gradient of 0: they decay and coast. The norm that is clipped is that of all gradients that
        there are; logits have one where the outcome's mixture has a graph.
        """
        self.optimiser.zero_grad(set_to_none=True)
        self.logit_optimiser.zero_grad(set_to_none=True)
        backward(outcome.loss)
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        if self.settings.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(
                [*self.weights, *self.leaves], self.settings.optimizer.clip
            )
        base = self.rate
        self.set_rate(base * rate)
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        self.set_rate(base)

    def ascend(self, gradients: Sequence[Tensor], outcome: Outcome, batch: Batch) -> None:
        """A step of the logits by these gradients; the batch's stream goes on."""
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            leaf.grad = gradient.detach()
        if self.settings.logits.clip:
            torch.nn.utils.clip_grad_norm_(self.leaves, self.settings.logits.clip)
        self.logit_optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        self.task.carry(batch, outcome)

    def forget_momentum(self) -> None:
        """The next step of the weights is the first of a new optimiser."""
        self.optimiser.state.clear()

    def unrolled(self, rate: float) -> Unrolled:
        """The weights' next step, for second order; no momentum before the first."""
        states = [self.optimiser.state.get(weight, {}) for weight in self.weights]
        buffers = [state.get("momentum_buffer") for state in states]
        known = [buffer for buffer in buffers if buffer is not None]
        numbers = self.settings.optimizer
        recurrent = self.task.name == "language"
        return Unrolled(
            self.rate * rate,
            numbers.momentum,
            numbers.weight_decay,
            tuple(known) if len(known) == len(self.weights) else (),
            numbers.clip if recurrent else None,
        )

    def candidate(self, moment: Moment, number: int) -> Genotype:
        """The genotype of that number that the method draws."""
        source = lowering.generator(self.seed, f"candidate {number} {moment.number}")
        if self.controller is not None:
            with torch.no_grad():
                return self.controller.sample(source).genotype
        seed = int(torch.randint(2**31 - 1, (), generator=source))
        if isinstance(self.made.mixture, Uniform):
            return nasir.sample(self.space, seed)
        return nasir.draw_genotype(self.space, self.expected(moment), seed)

    def measured(self, genotype: Genotype, batch: Batch) -> Outcome:
        """What the genotype does on a batch with the supernet's weights and batch statistics."""
        return self._measured(self._mixture_of(genotype), batch)

    def evaluated(self, batch: Batch, mixture: Mixture) -> Outcome:
        """What the network does on a batch as it is, without gradients."""
        with torch.no_grad():
            return self.outcome(self.module, batch, mixture)

    def score_of(self, genotype: Genotype, batches: int) -> Score:
        """The genotype's score with the supernet's weights, on so many batches (0: all)."""
        return self._scored(self._mixture_of(genotype), batches)

    def score_without(
        self, without: Mapping[str, tuple[int, ...]], moment: Moment, batches: int
    ) -> Score:
        """The supernet's score where these options weigh nothing, without renormalising."""
        mixture = self.draw(moment)
        weights = dict(mixture.weights)
        for name, options in without.items():
            weights[name] = weights[name].detach().clone()
            weights[name][list(options)] = 0.0
        return self._scored(Mixture(weights, mixture.live), batches)

    def _first_logits(self, choice: Choice) -> Tensor:
        """1e-3 · N(0, 1), by the seed and the choice's name."""
        source = lowering.generator(self.seed, f"logits {choice.name}")
        row = 1e-3 * torch.randn(len(choice.options), generator=source)
        return row.to(self.place.device, self.place.dtype).requires_grad_()

    def _mixture_of(self, genotype: Genotype) -> Mixture:
        picked = nasir.picks(self.graph, genotype)
        weights: dict[str, Tensor] = {}
        for name, row in self.logits.items():
            weights[name] = torch.zeros_like(row.detach())
            weights[name][list(picked[name])] = 1.0
        return Mixture(weights, picked)

    def _measured(self, mixture: Mixture, batch: Batch) -> Outcome:
        with torch.no_grad():
            return self.outcome(self.frozen_run, batch, mixture)

    def _scored(self, mixture: Mixture, batches: int) -> Score:
        return score(self.task, partial(self._measured, mixture), batches)
