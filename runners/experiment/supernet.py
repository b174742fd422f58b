"""A supernet in training: weights, logits, their optimisers, and the decisions so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import lowering
import nasir
from lowering import Mixture, Unrolled
from nasir import Choice, Genotype, Graph, Space
from nasir.passes import MemoryLevel
from nasir.space.decisions import cell_tree
from runners.experiment.learner import Learner, Moment
from runners.experiment.mixture import Controller, Drawn, Sampled, Softmax, Uniform, one_hot
from runners.task.score import Score, score
from runners.task.task import Batch, Outcome, Task

if TYPE_CHECKING:
    from runners.experiment.build import BuiltSearch

OPS = ("op on edge", "op on node")


@dataclass(frozen=True, slots=True)
class Group:
    """Candidates for a node's inputs, of which `keep` stay: edges, or options of one choice.

    `members` are (choice, options): all options of an edge, or one option of an input choice.
    """

    name: str
    keep: int
    members: tuple[tuple[str, tuple[int, ...]], ...]


class Decisions:
    """The choices and the decisions so far; changes during a search.

    `kept` are the options left by pruning, `fixed` the one chosen by a projection, `dropped` those
    with weight 0.
    """

    def __init__(self, space: Space, choices: Sequence[Choice]) -> None:
        self.space = space
        self.choices: dict[str, Choice] = {choice.name: choice for choice in choices}
        self.ops = {choice.name for choice in choices if choice.kind in OPS}
        self.kept: dict[str, tuple[int, ...]] = {}
        self.fixed: dict[str, int] = {}
        self.dropped: dict[str, tuple[int, ...]] = {}

    def ops_of(self, kind: str) -> tuple[str, ...]:
        """Returns the op choices of a kind of cell."""
        return tuple(n for n, c in self.choices.items() if n in self.ops and c.slot.kind == kind)

    def options(self, name: str) -> tuple[int, ...]:
        """Returns the live options of a choice."""
        return self.kept.get(name, tuple(range(len(self.choices[name].options))))

    def is_undecided(self, name: str) -> bool:
        """Whether this is a choice of ops that no projection has decided."""
        return name in self.ops and name not in self.fixed and name not in self.dropped

    def selectable(self, name: str) -> tuple[int, ...]:
        """Returns the live options that the space can select."""
        excluded = self.space.cell(self.choices[name].slot.kind).exclude
        names = self.choices[name].options
        return tuple(o for o in self.options(name) if names[o] not in excluded)

    def groups(self, kind: str) -> tuple[Group, ...]:
        """Returns the groups of a kind of cell with more edges, inputs or outputs than stay."""
        found: list[Group] = []
        for each in cell_tree(self.space.cell(kind)):
            keep = each.counts.start
            if each.slot.role == "edge into node" and keep < len(each.options):
                edges = [str(option.then[0].slot) for option in each.options]
                members = tuple((e, tuple(range(len(self.choices[e].options)))) for e in edges)
                found.append(Group(each.slot.local, keep, members))
        for choice in self.choices.values():
            wanted = choice.kind in ("input", "output") and choice.slot.kind == kind
            if wanted and choice.keep < len(choice.options):
                members = tuple((choice.name, (o,)) for o in range(len(choice.options)))
                found.append(Group(choice.slot.local, choice.keep, members))
        return tuple(found)

    def remaining(self, group: Group) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Returns the members of a group that were not dropped."""
        return tuple(
            (name, options)
            for name, options in group.members
            if not set(options) <= set(self.dropped.get(name, ()))
        )

    def is_settled(self, group: Group) -> bool:
        """Whether a group is down to `keep` members."""
        return len(self.remaining(group)) <= group.keep

    def drop(self, name: str, options: tuple[int, ...]) -> None:
        """Sets the weight of these options to 0 from now on."""
        self.dropped[name] = tuple(sorted({*self.dropped.get(name, ()), *options}))

    def expand(self, name: str, row: Tensor) -> Tensor:
        """Expands weights of live options to all options, with decisions applied."""
        if name in self.kept:
            index = torch.tensor(self.kept[name], device=row.device)
            row = row.new_zeros(len(self.choices[name].options)).index_copy(0, index, row)
        if name in self.fixed:
            row = torch.zeros_like(row)
            row[self.fixed[name]] = 1.0
        if name in self.dropped:
            row = row.clone()
            row[list(self.dropped[name])] = 0.0
        return row


class Objective:
    """The loss of a batch as a function of the network; `outcome` is that of the last call."""

    outcome: Outcome

    def __init__(self, learner: "Supernet", batch: Batch, moment: Moment) -> None:
        self.learner, self.batch, self.moment = learner, batch, moment

    def __call__(self, run: Callable[..., Any]) -> Tensor:
        """Returns the loss with the regulariser; each call draws the same mixture.

        Of several processes' it is the part, so that they add up.
        """
        learner, ranks = self.learner, self.learner.place.ranks
        self.outcome = learner.outcome(run, self.batch, learner.draw(self.moment))
        term = learner.method.regularise.term(learner.rows(), learner.logits, self.moment)
        loss = self.outcome.loss * self.batch.share
        return loss if term is None else loss + term / ranks.count


class Supernet(Learner):
    """A supernet in training, with its logits. `graph` is that of the current stage."""

    task: Task

    def __init__(self, built: "BuiltSearch", graph: Graph, say: Callable[[str], None]) -> None:
        method = built.method
        super().__init__(built.task, built.place, built.experiment.seed, method.optimizer)
        self.space, self.method = built.space, method
        self.edges = method.edges or Softmax()
        self.memory: MemoryLevel = built.experiment.run.memory
        self.together = built.together
        self.say = say
        self.decided = Decisions(built.space, graph.choices)
        self.baseline = 0.0
        self.logits = {c.name: self._first_logits(c) for c in graph.choices}
        self.logit_optimiser = torch.optim.Adam(
            self.leaves or [torch.zeros(1)],
            method.logits.lr,
            betas=method.logits.betas,
            weight_decay=method.regularise.decay,
        )
        self.controller: Controller | None = None
        self.controller_optimiser: torch.optim.Optimizer | None = None
        if isinstance(method.mixture, Sampled):
            self.controller = Controller(built.space, self.seed)
            self.controller_optimiser = torch.optim.Adam(
                self.controller.parameters(), 1e-3, betas=(0.0, 0.999), eps=1e-3
            )
        self.lower(graph)

    def lower(self, graph: Graph) -> None:
        """Lowers this stage's graph with new weights and a new optimiser."""
        self.graph = graph
        device = self.place.device
        module = lowering.to_torch(
            graph, self.seed, memory=self.memory, device=device.type, together=self.together
        )
        module = module.to(device, self.place.dtype).train()
        module = lowering.compile(module)  # if the device's policy compiles
        self.use(module, module)

    @property
    def leaves(self) -> list[Tensor]:
        """The logits in the order of the choices."""
        return list(self.logits.values())

    def reseed(self, at: Moment) -> None:
        """Seeds torch's generators for the random ops of this step."""
        at.reseed("network")

    def inputs(self, at: Moment) -> tuple[Mixture]:
        return (self.draw(at),)

    def rows(self, given: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Returns the logits of live options."""
        logits = self.logits if given is None else given
        return {
            name: row[list(self.decided.kept[name])] if name in self.decided.kept else row
            for name, row in logits.items()
        }

    def draw(self, moment: Moment, given: Mapping[str, Tensor] | None = None) -> Mixture:
        """Returns the mixture at this moment, over all options; `given` replaces the logits."""
        return self.expand(self.drawn(moment, given))

    def drawn(self, moment: Moment, given: Mapping[str, Tensor] | None = None) -> Drawn:
        """Returns the weights of live options, without decisions applied."""
        ops, rest = self._by_kind(given)
        first = self.method.mixture.mix(ops, self, moment)
        second = self.edges.mix(rest, self, moment) if rest else Drawn({})
        return Drawn({**first.weights, **second.weights}, {**first.live, **second.live})

    def expand(self, drawn: Drawn) -> Mixture:
        """Expands sampled weights to all options, with decisions applied."""
        weights = {name: self.decided.expand(name, row) for name, row in drawn.weights.items()}
        live = {
            name: tuple(self.decided.kept[name][i] for i in options)
            if name in self.decided.kept
            else options
            for name, options in drawn.live.items()
        }
        return Mixture({name: weights[name] for name in self.decided.choices}, live)

    def expected(self) -> dict[str, list[float]]:
        """Returns the mean weights over all options, with decisions applied."""
        ops, rest = self._by_kind()
        found = {**self.method.mixture.expected(ops), **self.edges.expected(rest)}
        return {
            name: [float(x) for x in self.decided.expand(name, found[name])]
            for name in self.decided.choices
        }

    def frozen_run(self, *inputs: Any) -> Any:
        """Runs the network with constant weights; running statistics are unchanged."""
        return self.module.call_apart([weight.detach() for weight in self.weights], *inputs)

    def clip_gradients(self) -> None:
        """Clips the norm of all gradients; logits have one if the mixture has a graph.

        Weights on which the loss does not depend, such as those of ops that were not sampled, have
        gradient 0, so weight decay and momentum still apply.
        """
        self.reduce_gradients(self.leaves)
        for weight in self.weights:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        if self.numbers.clip:
            torch.nn.utils.clip_grad_norm_([*self.weights, *self.leaves], self.numbers.clip)

    def ascend(self, gradients: Sequence[Tensor], outcome: Outcome, batch: Batch) -> None:
        """Takes a step of the logits by these gradients; carries the batch's hidden state on."""
        for leaf, gradient in zip(self.leaves, gradients, strict=True):
            leaf.grad = gradient.detach()
        if self.method.logits.clip:
            torch.nn.utils.clip_grad_norm_(self.leaves, self.method.logits.clip)
        self.logit_optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        self.task.carry(batch, outcome)

    def unrolled(self, rate: float) -> Unrolled:
        """Returns the weights' next step, for second order; no momentum before the first."""
        states = (self.optimiser.state.get(weight, {}) for weight in self.weights)
        known = [state["momentum_buffer"] for state in states if "momentum_buffer" in state]
        numbers = self.numbers
        recurrent = self.task.name == "language"
        return Unrolled(
            self.lr * rate,
            numbers.momentum,
            numbers.weight_decay,
            known if len(known) == len(self.weights) else (),
            numbers.clip if recurrent else None,
        )

    def candidate(self, moment: Moment, number: int) -> Genotype:
        """Samples candidate `number` by the method's distribution."""
        source = lowering.generator(self.seed, f"candidate {number} {moment.number}")
        if self.controller is not None:
            with torch.no_grad():
                return self.controller.sample(source).genotype
        seed = int(torch.randint(2**31 - 1, (), generator=source))
        if isinstance(self.method.mixture, Uniform):
            return nasir.sample(self.space, seed)
        return nasir.draw_genotype(self.space, self.expected(), seed)

    def outcome_of(self, genotype: Genotype, batch: Batch) -> Outcome:
        """Runs the genotype with the supernet's weights and batch statistics."""
        return self._frozen(self._mixture_of(genotype), batch)

    def score_of(self, genotype: Genotype, batches: int) -> Score:
        """Returns the score with the supernet's weights, on `batches` batches (0: all)."""
        return self._scored(self._mixture_of(genotype), batches)

    def score_without(
        self, without: Mapping[str, tuple[int, ...]], moment: Moment, batches: int
    ) -> Score:
        """Returns the supernet's score with these options at weight 0, without renormalising."""
        mixture = self.draw(moment)
        weights = dict(mixture.weights)
        for name, options in without.items():
            weights[name] = weights[name].detach().clone()
            weights[name][list(options)] = 0.0
        return self._scored(Mixture(weights, mixture.live), batches)

    def _scored(self, mixture: Mixture, batches: int) -> Score:
        measure = partial(self._frozen, mixture)
        return score(self.task, measure, batches, ranks=self.place.ranks)

    def named_values(self) -> dict[str, Tensor]:
        """Returns weights, logits and the controller's by name."""
        own = {} if self.controller is None else self.controller.state_dict()
        return {**super().named_values(), **self.logits, **own}

    def state_dict(self) -> dict[str, Any]:
        """Returns the state with logits, their optimiser, and the controller, if any."""
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

    def _by_kind(
        self, given: Mapping[str, Tensor] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns the rows of ops, and those of edges, inputs and outputs."""
        rows = self.rows(given)
        ops = {name: row for name, row in rows.items() if name in self.decided.ops}
        return ops, {name: row for name, row in rows.items() if name not in self.decided.ops}

    def _first_logits(self, choice: Choice) -> Tensor:
        """Samples 1e-3 · N(0, 1) by the seed and the choice's name."""
        source = lowering.generator(self.seed, f"logits {choice.name}")
        row = 1e-3 * torch.randn(len(choice.options), generator=source)
        return row.to(self.place.device, self.place.dtype).requires_grad_()

    def _mixture_of(self, genotype: Genotype) -> Mixture:
        found = one_hot(self.graph, genotype, self.logits)
        return Mixture(found.weights, found.live)

    def _frozen(self, mixture: Mixture, batch: Batch) -> Outcome:
        with torch.no_grad():
            return self.outcome(self.frozen_run, batch, mixture)
