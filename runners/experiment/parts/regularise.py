"""What pulls logits back: terms of the architect's loss, or decay in its optimiser."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from runners.fields import Number, Ranged


class Regulariser(Protocol):
    """A pull on logits, as decay in Adam or as a term of the loss."""

    @property
    def decay(self) -> float:
        """The weight decay of the architect's Adam (L2 in the gradient, not decoupled)."""
        ...

    def term(self, live: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> Tensor | None:
        """What is added to the architect's loss; None for nothing.

        `live` are the logits of options that were not pruned, `logits` all of them.
        """
        ...


@dataclass(frozen=True, slots=True)
class L2(Ranged):
    """Decay inside Adam, 1e-3 in all published code. For DrNAS it pulls concentrations to 1."""

    decay: Number = 1e-3

    def term(self, live: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> Tensor | None:
        """Nothing."""
        del live, logits
        return None


@dataclass(frozen=True, slots=True)
class KullbackLeibler(Ranged):
    """scale · Σ KL(Dir(elu(logit) + 1) ‖ Dir(1)). DrNAS, arXiv:2006.10355, equation 5.

    It belongs to the architect's loss alone, not to the weights'. After pruning it is that of the
    distribution over live options, which is what is drawn; the published code counts pruned ones
    too (`options="all"`), with their logits of 0.
    """

    scale: Number = 1e-3
    options: Literal["live", "all"] = "live"

    @property
    def decay(self) -> float:
        """None."""
        return 0.0

    def term(self, live: Mapping[str, Tensor], logits: Mapping[str, Tensor]) -> Tensor | None:
        """The sum over choices."""
        rows = live if self.options == "live" else logits
        return self.scale * torch.stack([_divergence(row) for row in rows.values()]).sum()


def _divergence(row: Tensor) -> Tensor:
    """lnΓ(Σβ) − Σ lnΓ(β) − lnΓ(n) + Σ (β − 1)(ψ(β) − ψ(Σβ))."""
    beta = F.elu(row) + 1.0
    total = beta.sum()
    count = torch.tensor(float(len(row)), dtype=row.dtype, device=row.device)
    away = (beta - 1.0) * (torch.digamma(beta) - torch.digamma(total))
    return torch.lgamma(total) - torch.lgamma(beta).sum() - torch.lgamma(count) + away.sum()
