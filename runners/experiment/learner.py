"""A network that learns: its weights, their optimiser, its task.

This is state that changes: the loop and its hooks work on it. Random numbers come from a `Moment`,
so that all of it fits in a checkpoint.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import lowering
from lowering import Network
from runners.experiment.recipe import Optimizer, Sgd
from runners.experiment.schedule import Moment
from runners.machine.device import Place, reseed
from runners.task.score import Tally, check_finite, score
from runners.task.task import Batch, Outcome, Split, Task

PROBE = 2
BACKWARD = 1.6
"""The peak of a step's memory, as a multiple of what forward keeps (measured: 1.2 to 1.5)."""


class Learner:
    """A network, its SGD and its task.

    `run` is the network as training calls it, compiled where that pays; it shares the weights of
    `module`. `lr` is the learning rate of the current step. Within `averaged()` the module has
    the weights that are measured and kept.
    """

    def __init__(
        self, task: Task, place: Place, seed: int, numbers: Sgd, accumulate: int = 1
    ) -> None:
        self.task, self.place, self.seed = task, place, seed
        self.numbers, self.accumulate = numbers, accumulate
        self.lr = numbers.lr
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

    def inputs(self, at: Moment) -> tuple[Any, ...]:
        """Inputs of the network at a moment, beside the batch."""
        return ()

    def outcome(self, run: Callable[..., Any], batch: Batch, *inputs: Any) -> Outcome:
        """The outcome of a run of the network on a batch, in the place's precision."""
        with self.place.autocast():
            return self.task.outcome(run, batch, *inputs)

    def learn(self, batch: Batch, inputs: Sequence[Any], at: Moment, tally: Tally) -> None:
        """One step of the weights. Raises E741 where the loss is not a number."""
        self.optimiser.zero_grad(set_to_none=True)
        for part in _parts(batch, self.accumulate):
            outcome = self.outcome(self.run, part, *inputs)
            check_finite(outcome, at.number, at.step)
            torch.autograd.backward(outcome.loss * (outcome.count / batch.target.numel()))
            self.task.carry(part, outcome)
            tally.add(outcome)
        self.clip_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * batch.rate
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]

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

    def measured(self, split: Split, at: Moment) -> dict[str, float]:
        """Loss and metric on held-out data. Raises E741 where the loss is not a number."""
        inputs = self.inputs(at)
        with self.measuring(), torch.no_grad():
            found = score(self.task, lambda b: self.outcome(self.run, b, *inputs), split=split)
        return found.facts(self.task.metric)

    def largest_batch(self) -> int | None:
        """The largest batch, a power of two, that should fit by what a small step keeps; None where
        that cannot be found.
        """
        try:
            free = free_bytes(self.place.device)
            if free is None:
                return None
            batch = self.task.train(0, 0)
            axis = 1 if self.task.name == "language" else 0
            inputs = tuple(
                value.narrow(axis if value.dim() > 1 and number == 0 else 0, 0, PROBE)
                for number, value in enumerate(batch.inputs)
            )
            at = Moment(self.seed, 0, 1, 0, purpose="planner")
            kept = lowering.saved_bytes(self.module, *inputs, *self.inputs(at)).bytes
            fits = int(free / (kept / PROBE * BACKWARD)) if kept else 0
            return 1 << (fits.bit_length() - 1) if fits else 0
        except (RuntimeError, MemoryError):
            return None

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


def free_bytes(device: torch.device) -> int | None:
    """Free memory of the device in bytes; None where the system does not report it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = {line.partition(":")[0]: line.split()[1] for line in lines}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that memory is not enough."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )
