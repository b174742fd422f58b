"""What pulls logits back: terms of the architect's loss, or decay in its optimiser."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from runners.experiment.parts.mixture import Rows
from runners.experiment.parts.moment import Moment
from runners.fields import Number, Ranged


class Regulariser:
    """A pull on logits, as decay in Adam or as a term of the loss; by default none."""

    decay: float = 0.0
    """The weight decay of the architect's Adam (L2 in the gradient, not decoupled)."""

    def term(self, live: Rows, logits: Rows, moment: Moment) -> Tensor | None:
        """The term of the architect's loss at a moment.

        `live` are the logits of options that were not pruned, `logits` all of them.
        """


@dataclass(frozen=True)
class L2(Ranged, Regulariser):
    """Decay inside Adam, 1e-3 in all published code. For DrNAS it pulls concentrations to 1."""

    decay: Number = 1e-3


@dataclass(frozen=True)
class KullbackLeibler(Regulariser, Ranged):
    """scale · Σ KL(Dir(elu(logit) + 1) ‖ Dir(1)). DrNAS, arXiv:2006.10355, equation 5.

    It belongs to the architect's loss alone, not to the weights'. After pruning it is that of the
    distribution over live options, which is what is drawn; the published code counts pruned ones
    too (`options="all"`), with their logits of 0.
    """

    scale: Number = 1e-3
    options: Literal["live", "all"] = "live"

    def term(self, live: Rows, logits: Rows, moment: Moment) -> Tensor:
        """The sum over choices."""
        rows = live if self.options == "live" else logits
        return self.scale * torch.stack([_divergence(row) for row in rows.values()]).sum()


@dataclass(frozen=True)
class BetaDecay(Ranged, Regulariser):
    """scale · e/E · the mean over choices of log Σ exp(logit). β-DARTS, arXiv:2203.01665.

    e counts epochs from 0 of E, so that `scale` is never reached, as in the published code, which
    keeps the decay inside Adam beside it.
    """

    scale: Number = 50.0
    decay: Number = 1e-3

    def term(self, live: Rows, logits: Rows, moment: Moment) -> Tensor:
        """The mean over choices, with live options alone."""
        rows = torch.stack([row.logsumexp(0) for row in live.values()])
        return self.scale * moment.share * rows.mean()


def _divergence(row: Tensor) -> Tensor:
    """lnΓ(Σβ) − Σ lnΓ(β) − lnΓ(n) + Σ (β − 1)(ψ(β) − ψ(Σβ))."""
    beta = F.elu(row) + 1.0
    total = beta.sum()
    count = torch.tensor(float(len(row)), dtype=row.dtype, device=row.device)
    away = (beta - 1.0) * (torch.digamma(beta) - torch.digamma(total))
    return torch.lgamma(total) - torch.lgamma(beta).sum() - torch.lgamma(count) + away.sum()
