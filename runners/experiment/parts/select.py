"""From a trained supernet to a genotype."""

from dataclasses import dataclass
from typing import Literal

import torch

import nasir
from nasir import Genotype
from runners.experiment.fields import AnyCount, AnyEpochs, Count, Number, Ranged, Repeats
from runners.experiment.schedule import Moment, Tuning
from runners.experiment.supernet import Decided, Supernet
from runners.task.score import Score


class Selection:
    """How a genotype is chosen: at once at the end, or with training between decisions."""

    def tuning(self, learner: Supernet) -> Tuning | None:
        """The epochs after the search's own; None where there are none."""

    def decide(self, learner: Supernet, moment: Moment) -> None:
        """The decisions before a tuning epoch (`moment.epoch`, from 0)."""

    def genotype(self, learner: Supernet, moment: Moment) -> Genotype:
        """The choice as things are, by the mixture's expected weights; at the end the result."""
        return nasir.derive(learner.space, learner.expected())


@dataclass(frozen=True)
class Argmax(Selection):
    """The best ops and edges by the expected weights of the mixture (`nasir.derive`)."""


@dataclass(frozen=True)
class Draw(Selection):
    """A genotype drawn uniformly from the space. Nothing is trained."""


@dataclass(frozen=True)
class BestOf(Selection, Ranged):
    """The best of `count` genotypes that the method draws, with the supernet's weights.

    Each is measured on `batches` held-out batches (0: all), then the best `finalists` on all of
    them. One-shot weights are measured with their batches' own statistics, since running
    statistics mix those of all architectures.
    """

    count: Count = 1000
    batches: AnyCount = 10
    finalists: Count = 10

    def genotype(self, learner: Supernet, moment: Moment) -> Genotype:
        """The best by accuracy, then by loss."""
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


@dataclass(frozen=True)
class Projection(Selection, Ranged):
    """Decides one edge of each kind of cell at a time by what its removal costs, then tunes.

    DARTS-PT, arXiv:2108.04392, section 4, with the rules of its code. A round comes every
    `interval` epochs: first ops (a random undecided edge of each kind; for each of its ops the
    held-out accuracy without it, not renormalised; the op whose removal hurts most stays), then,
    for nodes that keep fewer edges than they have, edges (those whose removal hurts least go). Of
    equals the first op stays and the last edge goes. Accuracy is measured with the batch's own
    statistics. Weights are tuned at a tenth of the learning rate, with momentum that begins empty;
    the rate is constant, since the published code makes a cosine that it never steps
    (`schedule="cosine"`).

    `epochs` of tuning in all, where it is not 0, are spread over the rounds, of which several may
    come before one epoch.

    Mended: ops that the space never selects are no candidates (`candidates="all"` makes them, as
    published), and an edge that was removed stays out while the next one is chosen.
    """

    interval: Repeats = 5
    epochs: AnyEpochs = 0
    criterion: Literal["accuracy", "loss"] = "accuracy"
    candidates: Literal["selectable", "all"] = "selectable"
    batches: AnyCount = 0
    rate_share: Number = 0.1
    schedule: Literal["constant", "cosine"] = "constant"

    def rounds(self, decided: Decided) -> int:
        """As many as the kind of cell with the most choices has, of ops and then of edges."""
        return len(_op_rounds(decided)) + len(_edge_rounds(decided))

    def length(self, rounds: int) -> int:
        """The epochs of tuning: the last round is followed by one more."""
        return self.epochs or self.interval * (rounds - 1) + 1

    def tuning(self, learner: Supernet) -> Tuning:
        """`length` epochs."""
        epochs = self.length(self.rounds(learner.decided))
        lr = learner.settings.optimizer.lr * self.rate_share
        minimum = learner.settings.schedule.minimum if self.schedule == "cosine" else lr
        return Tuning(epochs, lr, min(minimum, lr))

    def decide(self, learner: Supernet, moment: Moment) -> None:
        """The rounds that are due: one every `interval` epochs, or all spread evenly."""
        if moment.epoch == 0:
            learner.optimiser.state.clear()
        ops, edges = _op_rounds(learner.decided), _edge_rounds(learner.decided)
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
        learner.say(f"{name}: {learner.decided.option_name(name, learner.decided.fixed[name])}")

    def _thin(self, learner: Supernet, kind: str, moment: Moment) -> None:
        decided = learner.decided
        groups = [group for group in decided.groups(kind) if not decided.is_thin(group)]
        group = groups[_random(len(groups), moment, f"node {kind}")]
        while not decided.is_thin(group):
            left = decided.left(group)
            scores = [self._score(learner, dict((part,)), moment) for part in left]
            best = max(reversed(range(len(left))), key=lambda at: scores[at])
            decided.drop(*left[best])
        learner.say(f"{kind}: {group.name} keeps {group.keep}")

    def _score(
        self, learner: Supernet, without: dict[str, tuple[int, ...]], moment: Moment
    ) -> float:
        """What is compared, greater for better networks."""
        score = learner.score_without(without, moment, self.batches)
        return score.accuracy if self.criterion == "accuracy" else score.negative_loss


def _op_rounds(decided: Decided) -> list[list[str]]:
    """For each round of op projections, the kinds of cell that still have an edge to decide."""
    counts = {kind: len(decided.ops_of(kind)) for kind in decided.space.kinds}
    return _rounds(counts)


def _edge_rounds(decided: Decided) -> list[list[str]]:
    counts = {kind: len(decided.groups(kind)) for kind in decided.space.kinds}
    return _rounds(counts)


def _rounds(counts: dict[str, int]) -> list[list[str]]:
    return [
        [kind for kind, count in counts.items() if number < count]
        for number in range(max(counts.values(), default=0))
    ]


def _random(count: int, moment: Moment, label: str) -> int:
    return int(torch.randint(count, (), generator=moment.generator(label)))
