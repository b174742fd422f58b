"""A supernet that learns: its weights, its logits, their optimisers, and the decisions so far."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import lowering
import nasir
from lowering import Mixture, Unrolled
from nasir import Choice, Genotype, Graph
from nasir.passes import MemoryLevel
from runners.experiment.decided import Decided
from runners.experiment.learner import Learner
from runners.experiment.parts.controller import Controller
from runners.experiment.parts.mixture import Decisions, Drawn, Sampled, Softmax, Uniform
from runners.experiment.parts.moment import Moment
from runners.task import Batch, Outcome, Task
from runners.task.score import Score, score

if TYPE_CHECKING:
    from runners.experiment.build_search import BuiltSearch


class Objective:
    """The loss of a batch as a function of the network; `outcome` is that of the last call."""

    def __init__(self, learner: "Supernet", batch: Batch, moment: Moment) -> None:
        self.learner, self.batch, self.moment = learner, batch, moment
        self._outcome: Outcome | None = None

    def __call__(self, run: Callable[..., Any]) -> Tensor:
        """The loss with the architect's regulariser; the mixture is drawn anew, but equal."""
        learner = self.learner
        self._outcome = learner.outcome(run, self.batch, learner.draw(self.moment))
        term = learner.method.regularise.term(learner.rows(), learner.logits, self.moment)
        return self._outcome.loss if term is None else self._outcome.loss + term

    @property
    def outcome(self) -> Outcome:
        """The outcome of the last call."""
        assert self._outcome is not None, "nothing was computed yet"
        return self._outcome


class Supernet(Learner):
    """A supernet in training, with its logits. `graph` is the one that this stage lowers."""

    task: Task

    def __init__(self, built: "BuiltSearch", graph: Graph, say: Callable[[str], None]) -> None:
        settings = built.settings
        super().__init__(built.task, built.place, built.experiment.seed, settings.optimizer)
        self.space, self.method, self.settings = built.space, built.method, settings
        self.memory: MemoryLevel = built.experiment.run.memory
        self.say = say
        self.decided = Decided(built.space, graph.choices)
        self.baseline = 0.0
        self.logits = {c.name: self._first_logits(c) for c in graph.choices}
        self.logit_optimiser = torch.optim.Adam(
            self.leaves or [torch.zeros(1)],
            settings.logits.lr,
            betas=settings.logits.betas,
            weight_decay=self.decay,
        )
        self.controller: Controller | None = None
        self.controller_optimiser: torch.optim.Optimizer | None = None
        if isinstance(built.method.mixture, Sampled):
            self.controller = Controller(built.space, self.seed)
            self.controller_optimiser = torch.optim.Adam(
                self.controller.parameters(), 1e-3, betas=(0.0, 0.999), eps=1e-3
            )
        self.lower(graph)

    def lower(self, graph: Graph) -> None:
        """Lowers this stage's graph with fresh weights and a fresh optimiser of them."""
        self.graph = graph
        device = self.place.device
        module = lowering.to_torch(graph, self.seed, memory=self.memory, device=device.type)
        module = module.to(device, self.place.dtype).train()
        module = lowering.compile(module)  # as the device's policy says
        self.use(module, module)

    def momentum(self) -> dict[str, Tensor]:
        """The momentum buffers of the weights by key, where there are any."""
        states = {key: self.optimiser.state.get(w, {}) for key, w in self._named()}
        found = {key: state.get("momentum_buffer") for key, state in states.items()}
        return {key: buffer for key, buffer in found.items() if buffer is not None}

    def set_momentum(self, buffers: Mapping[str, Tensor]) -> None:
        """Puts momentum buffers in their places."""
        for key, weight in self._named():
            if key in buffers:
                value = buffers[key].to(weight.device, weight.dtype).clone()
                self.optimiser.state[weight] = {"momentum_buffer": value}

    @property
    def leaves(self) -> list[Tensor]:
        """The logits in the order of the choices."""
        return list(self.logits.values())

    @property
    def decay(self) -> float:
        """The L2 of the logits."""
        return self.method.regularise.decay

    def reseed(self, at: Moment) -> None:
        """Seeds torch's generators, from which the network draws in this step."""
        at.reseed("network")

    def example(self) -> tuple[Mixture]:
        """A mixture."""
        return (self.draw(Moment(self.seed, 0, 1, 0, purpose="planner")),)

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
        ops, rest = self._by_kind(given)
        first = self.method.mixture.mix(ops, self.decisions, moment)
        second = self._edges.mix(rest, self.decisions, moment) if rest else Drawn({})
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
        ops, rest = self._by_kind()
        mixture = self.method.mixture.expected(ops, moment)
        found = {**mixture, **self._edges.expected(rest, moment)}
        return {
            name: [float(x) for x in self.decided.whole(name, found[name])]
            for name in self.decided.choices
        }

    @property
    def decisions(self) -> Decisions:
        """The input of the mixture's parts."""
        return Decisions(self.space, self.graph, self.controller)

    def frozen_run(self, *inputs: Any) -> Any:
        """The network with constant weights, whose running statistics stay."""
        return self.module.call_apart([weight.detach() for weight in self.weights], *inputs)

    def objective(self, batch: Batch, moment: Moment) -> Objective:
        """The loss of a batch for the architect."""
        return Objective(self, batch, moment)

    def clear_gradients(self) -> None:
        """Before a step, those of the logits too."""
        self.optimiser.zero_grad(set_to_none=True)
        self.logit_optimiser.zero_grad(set_to_none=True)

    def clip_gradients(self) -> None:
        """Bounds the norm of all gradients; logits have one where the mixture has a graph.

        Weights that the loss does not depend on, such as those of ops that were not drawn, have a
        gradient of 0: they decay and coast.
        """
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        if self.numbers.clip:
            torch.nn.utils.clip_grad_norm_([*self.weights, *self.leaves], self.numbers.clip)

    def ascend(self, gradients: Sequence[Tensor], outcome: Outcome, batch: Batch) -> None:
        """A step of the logits by these gradients; the batch's stream goes on."""
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            leaf.grad = gradient.detach()
        if self.settings.logits.clip:
            torch.nn.utils.clip_grad_norm_(self.leaves, self.settings.logits.clip)
        self.logit_optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        self.task.carry(batch, outcome)

    def unrolled(self, rate: float) -> Unrolled:
        """The weights' next step, for second order; no momentum before the first."""
        known = tuple(self.momentum().values())
        numbers = self.numbers
        recurrent = self.task.name == "language"
        return Unrolled(
            self.rate * rate,
            numbers.momentum,
            numbers.weight_decay,
            known if len(known) == len(self.weights) else (),
            numbers.clip if recurrent else None,
        )

    def candidate(self, moment: Moment, number: int) -> Genotype:
        """The genotype of that number that the method draws."""
        source = lowering.generator(self.seed, f"candidate {number} {moment.number}")
        if self.controller is not None:
            with torch.no_grad():
                return self.controller.sample(source).genotype
        seed = int(torch.randint(2**31 - 1, (), generator=source))
        if isinstance(self.method.mixture, Uniform):
            return nasir.sample(self.space, seed)
        return nasir.draw_genotype(self.space, self.expected(moment), seed)

    def apart(self, genotype: Genotype, batch: Batch) -> Outcome:
        """The outcome of the genotype with the supernet's weights and batch statistics."""
        return self._apart(self._mixture_of(genotype), batch)

    def score_of(self, genotype: Genotype, batches: int) -> Score:
        """The genotype's score with the supernet's weights, on so many batches (0: all)."""
        return score(self.task, partial(self._apart, self._mixture_of(genotype)), batches)

    def score_without(
        self, without: Mapping[str, tuple[int, ...]], moment: Moment, batches: int
    ) -> Score:
        """The supernet's score where these options weigh nothing, without renormalising."""
        mixture = self.draw(moment)
        weights = dict(mixture.weights)
        for name, options in without.items():
            weights[name] = weights[name].detach().clone()
            weights[name][list(options)] = 0.0
        return score(self.task, partial(self._apart, Mixture(weights, mixture.live)), batches)

    def state_dict(self) -> dict[str, Any]:
        """With logits, their optimiser, and the controller where there is one."""
        state = super().state_dict()
        state["logits"] = self.logits
        state["adam"] = self.logit_optimiser.state_dict()
        state["baseline"] = self.baseline
        if self.controller is not None and self.controller_optimiser is not None:
            state["controller"] = self.controller.state_dict()
            state["controller-adam"] = self.controller_optimiser.state_dict()
        return state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from a `state_dict` of the same stage."""
        super().load_state_dict(state)
        for name, value in state["logits"].items():
            self.logits[name].data.copy_(value)
        self.logit_optimiser.load_state_dict(state["adam"])
        self.baseline = float(state["baseline"])
        if self.controller is not None and self.controller_optimiser is not None:
            self.controller.load_state_dict(state["controller"])
            self.controller_optimiser.load_state_dict(state["controller-adam"])

    @property
    def _edges(self) -> Any:
        return self.method.edges or Softmax()

    def _by_kind(
        self, given: Mapping[str, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The rows of ops, and those of edges, inputs and outputs."""
        rows = self.rows(given)
        ops = {name: row for name, row in rows.items() if name in self.decided.ops}
        return ops, {name: row for name, row in rows.items() if name not in self.decided.ops}

    def _named(self) -> Iterable[tuple[str, Tensor]]:
        return zip(self.module.keys, self.weights, strict=True)

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

    def _apart(self, mixture: Mixture, batch: Batch) -> Outcome:
        with torch.no_grad():
            return self.outcome(self.frozen_run, batch, mixture)
