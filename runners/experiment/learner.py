"""A network that learns: its weights, their optimiser, its task.

This is state that changes: the loop and its hooks work on it. Random numbers come from a `Moment`,
so that all of it fits in a checkpoint.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch

from lowering import Network
from runners.experiment.parts.moment import Moment
from runners.experiment.recipe import Optimizer, Sgd
from runners.machine.device import Place, reseed
from runners.task import Batch, Outcome
from runners.task.score import measures, score
from runners.task.tally import Tally, check_finite
from runners.task.task import Split, TrainingTask


class Learner:
    """A network, its SGD and its task.

    `run` is the network as training calls it, compiled where that pays; it shares the weights of
    `module`. `rate` is the learning rate of the current step. Within `averaged()` the module has
    the weights that are measured and kept.
    """

    def __init__(
        self, task: TrainingTask, place: Place, seed: int, numbers: Sgd, accumulate: int = 1
    ) -> None:
        self.task, self.place, self.seed = task, place, seed
        self.numbers, self.accumulate = numbers, accumulate
        self.rate = numbers.lr
        self.averaged: Callable[[], AbstractContextManager[None]] = nullcontext

    def use(self, module: Network, run: Network) -> None:
        """Trains this network from now on, with a new optimiser."""
        numbers = self.numbers
        self.module, self.run = module, run
        self.weights = list(module.parameters())
        self.optimiser = torch.optim.SGD(
            self.weights,
            numbers.lr,
            momentum=numbers.momentum,
            weight_decay=numbers.weight_decay,
            nesterov=numbers.nesterov,
        )

    def reseed(self, at: Moment) -> None:
        """Seeds torch's generators, from which the network draws in this step."""
        reseed(self.seed, at.number, at.step)

    def example(self) -> tuple[Any, ...]:
        """Inputs of the network beside the batch, to measure memory with."""
        return ()

    def outcome(self, run: Callable[..., Any], batch: Batch, *inputs: Any) -> Outcome:
        """The outcome of a run of the network on a batch, in the place's precision."""
        with self.place.autocast():
            return self.task.outcome(run, batch, *inputs)

    def learn(self, batch: Batch, inputs: Sequence[Any], at: Moment, tally: Tally) -> None:
        """One step of the weights. Raises E741 where the loss is not a number."""
        self.clear_gradients()
        for part in _parts(batch, self.accumulate):
            outcome = self.outcome(self.run, part, *inputs)
            check_finite(outcome, at.number, at.step)
            torch.autograd.backward(outcome.loss * (outcome.count / batch.target.numel()))
            self.task.carry(part, outcome)
            tally.add(outcome)
        self.clip_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * batch.rate
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]

    def clear_gradients(self) -> None:
        """Before a step."""
        self.optimiser.zero_grad(set_to_none=True)

    def clip_gradients(self) -> None:
        """Bounds the norm of all gradients, or of each tensor's."""
        numbers = self.numbers
        apart = isinstance(numbers, Optimizer) and numbers.clipped == "tensor"
        for weights in (self.weights if apart else [self.weights]) if numbers.clip else ():
            torch.nn.utils.clip_grad_norm_(weights, numbers.clip)

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Within, the network is in evaluation mode and drops no paths, with averaged weights."""
        self.run.drop_path = 0.0
        with self.averaged():
            self.module.eval()
            self.run.eval()
            try:
                yield
            finally:
                self.module.train()
                self.run.train()

    def evaluated(self, batch: Batch, *inputs: Any) -> Outcome:
        """The outcome of the network as it is, without gradients."""
        with torch.no_grad():
            return self.outcome(self.run, batch, *inputs)

    def measured(self, split: Split, *inputs: Any) -> dict[str, float]:
        """Loss and metric on held-out data. Raises E741 where the loss is not a number."""
        with self.measuring():
            found = score(self.task, lambda batch: self.evaluated(batch, *inputs), split=split)
        return measures(found.loss, found.accuracy, 1, self.task.metric)

    def state_dict(self) -> dict[str, Any]:
        """The state at the end of an epoch, by part."""
        return {
            "weights": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "task": self.task.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from a `state_dict` of the same network."""
        self.module.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.task.restore(state["task"])


def _parts(batch: Batch, count: int) -> list[Batch]:
    """The batch in so many parts of images, or fewer where it has not enough."""
    if count == 1:
        return [batch]
    (images,) = batch.inputs
    pairs = zip(images.chunk(count), batch.target.chunk(count), strict=True)
    return [replace(batch, inputs=(image,), target=target) for image, target in pairs]
