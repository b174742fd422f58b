"""From logits to the weights of options: how a method relaxes or draws decisions.

A part sees the logits of live options alone, one row for each choice, and gives weights for the
same options. `expected` is what it gives on average, for selection and for the record.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

import nasir
from nasir import Choice, Graph, Space
from runners.experiment.parts.controller import Controller
from runners.experiment.parts.moment import Moment
from runners.fields import Positive, Ranged

Rows = Mapping[str, Tensor]
"""Choice name -> one number for each of its live options, shape (options,)."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is decided: the space, its supernet and the choices; a controller where there is one."""

    space: Space
    graph: Graph
    controller: Controller | None = None

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The supernet's choices, in its order."""
        return self.graph.choices


@dataclass(frozen=True, slots=True)
class Drawn:
    """Weights for the live options of each choice; which of these run, where not all do."""

    weights: Rows
    live: Mapping[str, tuple[int, ...]] = field(default_factory=dict[str, tuple[int, ...]])


class MixturePart(Protocol):
    """How weights follow from logits."""

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """The weights at one forward pass; a draw is made from the moment's random numbers."""
        ...

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """The mean of the weights, on the simplex, without gradients."""
        ...


@dataclass(frozen=True, slots=True)
class Softmax:
    """Softmax of each row. DARTS, arXiv:1806.09055, equation 2."""

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """Weights that sum to 1 over the options of a choice."""
        del decisions, moment
        return Drawn({name: row.softmax(0) for name, row in rows.items()})

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """The same."""
        del moment
        return _softmax(rows)


@dataclass(frozen=True, slots=True)
class Dirichlet:
    """One reparameterised draw per choice from Dir(elu(logit) + 1).

    DrNAS, arXiv:2006.10355. The +1 keeps every concentration positive; elu rather than exp keeps
    the gradient bounded. Pruned options are left out of the draw, which is the distribution of the
    published code's masking and division. As published, weights are drawn in evaluation too, and
    selection goes by the softmax of the logits, not by the mean of the distribution.
    """

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """Weights that sum to 1 over the options of a choice."""
        del decisions
        moment.reseed("dirichlet")
        return Drawn({name: _dirichlet(row).rsample() for name, row in rows.items()})

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """The softmax of the logits, as in the published selection."""
        del moment
        return _softmax(rows)


@dataclass(frozen=True, slots=True)
class SoftGumbel(Ranged):
    """A draw of the concrete distribution per choice; its temperature falls linearly.

    SNAS, arXiv:1812.09926, equation 5: softmax((log softmax(logits) + g) / τ), g Gumbel(0, 1).
    As in the published code τ falls by e/E, so that `end` is reached in projections only.
    """

    start: Positive = 10.0
    end: Positive = 1.0

    def temperature(self, moment: Moment) -> float:
        """τ in this epoch."""
        return _falling(self.start, self.end, moment.share, moment)

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """Weights that sum to 1 over the options of a choice."""
        del decisions
        return Drawn(_concrete(rows, self.temperature(moment), moment))

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """The probability of each option to win, which is the softmax of the logits."""
        del moment
        return _softmax(rows)


@dataclass(frozen=True, slots=True)
class HardGumbel(Ranged):
    """One option per choice by Gumbel's maximum; the gradient is the concrete distribution's.

    GDAS, arXiv:1910.04465, equations 3 to 5: forward is one-hot, backward as if it were
    softmax((log softmax(logits) + g) / τ). Only drawn branches run. The published NAS-Bench-201
    code also adds the zero weights of the other options to the sum, which gives them the gradient
    of an op whose value is 1; here, as in its NASNet code, they have none of their own. τ falls by
    e/(E − 1), so that the last epoch has `end`.
    """

    start: Positive = 10.0
    end: Positive = 0.1

    def temperature(self, moment: Moment) -> float:
        """τ in this epoch."""
        return _falling(self.start, self.end, moment.progress, moment)

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """One-hot weights, of which one option is live."""
        del decisions
        soft = _concrete(rows, self.temperature(moment), moment)
        # One transfer from the device, not one for each choice.
        best = torch.stack([row.detach().argmax() for row in soft.values()]).cpu()
        drawn = [int(index) for index in best]
        weights: dict[str, Tensor] = {}
        for (name, row), index in zip(soft.items(), drawn, strict=True):
            hard = torch.zeros_like(row)
            hard[index] = 1.0
            weights[name] = hard - row.detach() + row
        return Drawn(weights, {name: (i,) for name, i in zip(soft, drawn, strict=True)})

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """The probability of each option to be drawn."""
        del moment
        return _softmax(rows)


@dataclass(frozen=True, slots=True)
class Uniform:
    """A genotype of the space, drawn uniformly decision by decision; nothing else runs.

    Random search with weight sharing, Li and Talwalkar, arXiv:1902.07638. Ops that the space never
    selects are never drawn (the published sampler draws `none` too, which is never selected).
    """

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """One-hot weights, and zeros for edges that the genotype does not have."""
        genotype = nasir.sample(decisions.space, moment.seed_of("genotype"))
        return of_genotype(genotype, rows, decisions)

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """Equal weights."""
        del moment
        return {name: torch.full_like(row.detach(), 1 / len(row)) for name, row in rows.items()}


@dataclass(frozen=True, slots=True)
class Sampled:
    """A genotype drawn by the controller. ENAS, arXiv:1802.03268."""

    def mix(self, rows: Rows, decisions: Decisions, moment: Moment) -> Drawn:
        """One-hot weights, and zeros for edges that the genotype does not have."""
        controller = decisions.controller
        assert controller is not None, "the method table pairs this part with a controller"
        with torch.no_grad():
            sample = controller.sample(moment.generator("controller"))
        return of_genotype(sample.genotype, rows, decisions)

    def expected(self, rows: Rows, moment: Moment) -> Rows:
        """Equal weights: what the controller prefers depends on what it chose before."""
        return Uniform().expected(rows, moment)


def of_genotype(genotype: nasir.Genotype, rows: Rows, decisions: Decisions) -> Drawn:
    """One-hot weights of a genotype's options (several ones where a choice keeps several)."""
    found = nasir.picks(decisions.graph, genotype)
    weights: dict[str, Tensor] = {}
    for name, row in rows.items():
        hot = torch.zeros_like(row.detach())
        hot[list(found[name])] = 1.0
        weights[name] = hot
    return Drawn(weights, {name: found[name] for name in rows})


def _falling(start: float, end: float, done: float, moment: Moment) -> float:
    """Linearly by the part that is done; `end` while decisions are made one by one."""
    return end if moment.phase == "projection" else start + (end - start) * done


def _softmax(rows: Rows) -> Rows:
    return {name: row.detach().softmax(0) for name, row in rows.items()}


def _dirichlet(row: Tensor) -> torch.distributions.Dirichlet:
    return torch.distributions.Dirichlet(F.elu(row) + 1.0, validate_args=False)


def _concrete(rows: Rows, temperature: float, moment: Moment) -> dict[str, Tensor]:
    """softmax((log softmax(row) + g) / temperature) with Gumbel noise g = -log(Exp(1))."""
    generator = moment.generator("gumbel")
    found: dict[str, Tensor] = {}
    for name, row in rows.items():
        noise = torch.empty(row.shape).exponential_(generator=generator).log_().neg_()
        noise = noise.to(device=row.device, dtype=row.dtype)
        found[name] = ((row.log_softmax(0) + noise) / temperature).softmax(0)
    return found
