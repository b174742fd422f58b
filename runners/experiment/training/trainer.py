"""A network that learns from scratch: its weights, its optimiser, its average.

This is state that changes. What is random depends on the seed and on where training stands, so that
all of it fits in a checkpoint.
"""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

import lowering
from lowering import Network
from nasir import Graph
from runners.experiment.recipe import Recipe
from runners.experiment.training.average import Average
from runners.folder.seeds import reseed
from runners.machine.arrays import backward
from runners.machine.place import Place
from runners.task.score import measures, score
from runners.task.tally import Tally, check_finite
from runners.task.task import Batch, Outcome, Split, Training


@dataclass(frozen=True, slots=True)
class Made:
    """What a trainer is made of."""

    graph: Graph
    recipe: Recipe
    task: Training
    place: Place
    seed: int


@dataclass(frozen=True, slots=True)
class Step:
    """A step of an epoch, both from 0, its learning rate, and how likely a path is dropped."""

    epoch: int
    number: int
    rate: float
    drop_path: float


class Trainer:
    """The network in training. `run` is its compiled form, which shares its weights."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.recipe, self.task, self.place = made.recipe, made.task, made.place
        module = lowering.to_torch(made.graph, made.seed, device=self.place.device)
        self.module: Network = module.to(self.place.device, self.place.dtype).train()
        run = self.recipe.run
        self.run = lowering.prepare_training(self.module, run.compile, run.layout)
        numbers = self.recipe.optimizer
        self.optimiser = torch.optim.SGD(
            self.module.parameters(),
            numbers.lr,
            momentum=numbers.momentum,
            weight_decay=numbers.weight_decay,
            nesterov=numbers.nesterov,
        )
        self.average = Average(self.module, self.recipe.train.ema)
        self.averaging = bool(self.recipe.train.ema)

    def learn(self, step: Step, batch: Batch, tally: Tally) -> None:
        """One step down the loss of a batch. Raises E741 where the loss is not a number."""
        reseed(self.made.seed, step.epoch, step.number)
        self.run.drop_path = step.drop_path
        self.optimiser.zero_grad(set_to_none=True)
        for part in _parts(batch, self.recipe.train.accumulate):
            outcome = self._outcome(self.run, part)
            check_finite(outcome, step.epoch, step.number, "optimizer.lr")
            backward(outcome.loss * (outcome.count / batch.target.numel()))
            self.task.carry(part, outcome)
            tally.add(outcome)
        self._clip()
        for group in self.optimiser.param_groups:
            group["lr"] = step.rate * batch.rate
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        if self.averaging:
            self.average.add()

    def measured(self, split: Split) -> dict[str, float]:
        """Loss and metric on held-out data, of the average where there is one.

        Raises E741 where the loss is not a number.
        """
        with self.measuring():
            found = score(self.task, self.evaluated, split=split)
        return measures(found.loss, found.accuracy, 1, self.task.metric)

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Within, the network is in evaluation mode, with its average's weights if it has one."""
        self.run.drop_path = 0.0
        with self.average.applied():
            self.module.eval()
            self.run.eval()
            try:
                yield
            finally:
                self.module.train()
                self.run.train()

    def evaluated(self, batch: Batch) -> Outcome:
        """What the network does on a batch as it is, without gradients."""
        with torch.no_grad():
            return self._outcome(self.run, batch)

    def weights(self) -> dict[str, Tensor]:
        """The state that is measured and kept: the average's where there is one."""
        return dict(self.average.values if self.average.count else self.module.state_dict())

    def saved(self) -> dict[str, Any]:
        """All that a trainer is, at the end of an epoch, by part."""
        return {
            "weights": self.module.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.values,
            "averaged": self.average.count,
            "averaging": self.averaging,
            "task": self.task.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resumes from what `saved` gave."""
        self.module.load_state_dict(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.restore(state["average"], int(state["averaged"]))
        self.averaging = bool(state["averaging"])
        self.task.restore(state["task"])

    def _outcome(self, run: Callable[..., Any], batch: Batch) -> Outcome:
        with self.place.autocast():
            return self.task.outcome(run, batch)

    def _clip(self) -> None:
        numbers = self.recipe.optimizer
        if not numbers.clip:
            return
        weights = list(self.module.parameters())
        if numbers.clipped == "all":
            torch.nn.utils.clip_grad_norm_(weights, numbers.clip)
            return
        for weight in weights:
            torch.nn.utils.clip_grad_norm_(weight, numbers.clip)


def _parts(batch: Batch, count: int) -> list[Batch]:
    """The batch in so many parts of pictures, or fewer where it has not enough."""
    if count == 1:
        return [batch]
    (images,) = batch.inputs
    pairs = zip(images.chunk(count), batch.target.chunk(count), strict=True)
    return [replace(batch, inputs=(image,), target=target) for image, target in pairs]
