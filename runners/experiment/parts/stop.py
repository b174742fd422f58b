"""When a search ends early: the greatest eigenvalue of the architecture's Hessian has grown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import lowering
from runners.experiment.parts.moment import Moment
from runners.experiment.supernet import Supernet
from runners.fields import AnyEpochs, Epochs, Number, Ranged
from runners.machine.device import length

Product = Callable[[Tensor], Tensor]
"""A matrix times a vector."""

_TOLERANCE = 0.01
"""The relative error at which products end; it bounds the error, which is mostly far less."""


@dataclass(frozen=True, slots=True)
class EigenvalueStop(Ranged):
    """RobustDARTS, arXiv:1909.09656, section 4.3, with the constants of its code.

    Every `every` epochs the greatest eigenvalue of the Hessian of the validation loss (and its L2
    term) by the logits is measured on the epoch's last validation batch, in training mode. With
    means over `window` values, the search stops when a mean is more than `factor` times the one
    `apart` values earlier, and ends with the genotype of that earlier epoch, which must be at least
    `earliest`. The eigenvalue comes from exact Hessian-vector products, where the published code
    builds the whole matrix.
    """

    every: Epochs = 2
    window: Epochs = 5
    apart: Epochs = 4
    factor: Number = 1.3
    earliest: AnyEpochs = 10

    def due(self, epoch: int) -> bool:
        """Whether this epoch (from 0) is measured."""
        return epoch % self.every == 0

    def measure(self, learner: Supernet, moment: Moment) -> float:
        """The greatest eigenvalue now."""
        batch = learner.task.valid(moment.number, moment.step)
        exact = lowering.to_torch(learner.graph, optimise=False).to(learner.place.device)
        exact.load_state_dict(learner.module.state_dict())
        exact.train()
        rows = [row.detach().requires_grad_() for row in learner.leaves]
        given = dict(zip(learner.logits, rows, strict=True))
        weights = [weight.detach() for weight in exact.parameters()]
        loss = learner.outcome(
            lambda *inputs: exact.call_apart(weights, *inputs), batch, learner.draw(moment, given)
        ).loss
        loss = loss + learner.decay / 2 * sum(row.square().sum() for row in rows)
        gradients = torch.autograd.grad(loss, rows, create_graph=True, materialize_grads=True)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])

        def product(vector: Tensor) -> Tensor:
            if not flat.requires_grad:
                return torch.zeros_like(vector)
            parts = torch.autograd.grad(
                flat, rows, vector, retain_graph=True, materialize_grads=True
            )
            return torch.cat([part.reshape(-1) for part in parts])

        start = torch.randn(flat.shape, generator=moment.generator("lanczos"))
        return greatest_eigenvalue(product, start.to(flat))

    def stops(self, values: Sequence[float]) -> int | None:
        """The epoch whose genotype is taken, if these values (one in `every` epochs) say stop."""
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
    """The greatest eigenvalue of a symmetric matrix, from some 20 products with it (ARPACK)."""
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
    except linalg.ArpackError:  # all products are 0, or they are no numbers
        return float(length(product(start)))
    return float(found[0])
