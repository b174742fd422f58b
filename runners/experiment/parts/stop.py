"""When a search ends early: the greatest eigenvalue of the architecture's Hessian has grown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import lowering
from runners.experiment.parts.moment import Moment
from runners.experiment.supernet import Supernet
from runners.fields import AnyEpochs, Epochs, Number, Ranged, Repeats
from runners.machine.arrays import eigenvalues, length

Product = Callable[[Tensor], Tensor]
"""A matrix times a vector."""


@dataclass(frozen=True, slots=True)
class EigenvalueStop(Ranged):
    """RobustDARTS, arXiv:1909.09656, section 4.3, with the constants of its code.

    Every `every` epochs the greatest eigenvalue of the Hessian of the validation loss (and its L2
    term) by the logits is measured on the epoch's last validation batch, in training mode. With
    means over `window` values, the search stops when a mean is more than `factor` times the one
    `apart` values earlier, and ends with the genotype of that earlier epoch, which must be at least
    `earliest`. The eigenvalue comes from Lanczos' method on exact Hessian-vector products, where
    the published code builds the whole matrix.
    """

    every: Epochs = 2
    window: Epochs = 5
    apart: Epochs = 4
    factor: Number = 1.3
    earliest: AnyEpochs = 10
    products: Repeats = 24

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
        return greatest_eigenvalue(product, start.to(flat), self.products)

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


def greatest_eigenvalue(product: Product, start: Tensor, steps: int) -> float:
    """The greatest eigenvalue of a symmetric matrix, from products with it (Lanczos).

    Every new direction is made orthogonal to all before, twice, so that no eigenvalue comes back.
    """
    basis: list[Tensor] = []
    diagonal: list[Tensor] = []
    off: list[Tensor] = []
    vector = start / length(start)
    for _ in range(min(steps, len(start))):
        basis.append(vector)
        image = product(vector)
        diagonal.append(image.dot(vector))
        known = torch.stack(basis)
        for _ in range(2):
            image = image - known.T @ (known @ image)
        size = length(image)
        if float(size) <= 1e-9 * max(1.0, abs(float(diagonal[0]))):
            break
        off.append(size)
        vector = image / size
    count = len(diagonal)
    matrix = torch.diag(torch.stack(diagonal))
    if count > 1:
        sides = torch.stack(off[: count - 1])
        matrix = matrix + torch.diag(sides, 1) + torch.diag(sides, -1)
    return float(eigenvalues(matrix)[-1])
