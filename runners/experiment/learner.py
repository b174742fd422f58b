"""A network with its optimiser and task, and the epochs of its training.

The training loop and its hooks change this state. Random numbers come from a `Moment`, so a
checkpoint holds all of it.
"""

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import lowering
from lowering import BatchPart, Network
from runners.experiment.recipe import Optimizer, Recipe, Settings, Sgd
from runners.machine.device import Place, reseed, set_generators
from runners.task.score import Tally, check_finite, score
from runners.task.task import Batch, Outcome, Split, Task

Phase = Literal["search", "projection", "train"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A step of an epoch, of `epochs` in its phase; `number` counts epochs over all phases.

    Random numbers depend on the seed, the position, the purpose (one step has several) and a label
    only, so no generator state is stored: the same call returns the same numbers.
    """

    seed: int
    epoch: int
    epochs: int
    number: int
    step: int = 0
    phase: Phase = "search"
    purpose: str = ""

    @property
    def share(self) -> float:
        """The epoch as a fraction of all, from 0; never 1."""
        return self.epoch / self.epochs

    @property
    def progress(self) -> float:
        """0 in the first epoch to 1 in the last."""
        return self.epoch / max(self.epochs - 1, 1)

    def generator(self, label: str) -> torch.Generator:
        """Returns a generator on the CPU."""
        return lowering.generator(self.seed, f"{label} {self.number} {self.step} {self.purpose}")

    def seed_of(self, label: str) -> int:
        """Returns a seed from 0 to 2**31 - 1."""
        return int(torch.randint(2**31 - 1, (), generator=self.generator(label)))

    def reseed(self, label: str) -> None:
        """Seeds torch's global generators on every device."""
        set_generators(self.seed_of(label))


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch: its position, its stage, the learning rate of its first step.

    `within` maps the fraction of steps done to the learning rate, if it varies. During `warming`
    the architecture is not updated; warm-ups count within a stage, as in DrNAS.
    """

    at: Moment
    lr: float
    stage: int = 0
    warming: bool = False
    within: Callable[[float], float] | None = None

    def lr_at(self, share: float) -> float:
        """Returns the learning rate after a fraction of the steps."""
        return self.lr if self.within is None else self.within(share)


@dataclass(frozen=True, slots=True)
class Tuning:
    """Epochs between a search's decisions, and the weights' learning rate there."""

    epochs: int
    lr: float
    minimum: float


def search_epochs(
    settings: Settings, tuning: Tuning | None, *, restarts: bool, seed: int = 0
) -> tuple[Epoch, ...]:
    """Returns all epochs of a search.

    The lr follows a cosine over all epochs of the search, across stages. The published code of
    DrNAS resets it to its initial value at each stage and continues with the cosine's ratios
    (`restarts`): after half of the epochs, the part above the minimum is doubled.
    """
    found: list[Epoch] = []
    for number, stage in enumerate(settings.stages):
        start = len(found) if restarts else 0
        for place in range(stage.epochs):
            at = Moment(seed, len(found), settings.epochs, len(found))
            lr = _search_lr(settings, at.number, start)
            found.append(Epoch(at, lr, number, place < stage.warm_up))
    last = max(len(settings.stages) - 1, 0)
    for place in range(tuning.epochs if tuning else 0):
        assert tuning is not None
        at = Moment(seed, place, tuning.epochs, len(found), phase="projection")
        lr = _cosine(tuning.lr, tuning.minimum, place, tuning.epochs)
        found.append(Epoch(at, lr, last))
    return tuple(found)


def _search_lr(settings: Settings, epoch: int, start: int) -> float:
    """Returns the lr of an epoch; the cosine has its initial value at epoch `start`."""
    lr, warm_up = settings.optimizer.lr, settings.schedule.warm_up
    if epoch < warm_up:
        return lr * (epoch + 1) / warm_up
    minimum = settings.schedule.minimum
    full = minimum + (lr - minimum) / _cosine(1.0, 0.0, start, settings.epochs)
    return _cosine(full, minimum, epoch, settings.epochs)


def training_epochs(recipe: Recipe, seed: int) -> tuple[Epoch, ...]:
    """Returns all epochs of a training. See `recipe.Schedule`."""

    def epoch(number: int) -> Epoch:
        at = Moment(seed, number, recipe.train.epochs, number, phase="train")
        lr = partial(_training_lr, recipe, number)
        return Epoch(at, lr(0.0), within=lr if recipe.schedule.by == "batch" else None)

    return tuple(map(epoch, range(recipe.train.epochs)))


def _training_lr(recipe: Recipe, epoch: int, share: float) -> float:
    """Returns the learning rate after a fraction of an epoch's steps; epochs count from 0."""
    schedule, epochs, base = recipe.schedule, recipe.train.epochs, recipe.optimizer.lr
    if epoch < schedule.warm_up:
        return base * (epoch + 1) / schedule.warm_up
    place = epoch + share
    if schedule.name == "cosine":
        return _cosine(base, schedule.minimum, place, epochs)
    if schedule.name == "exponential":
        return base * schedule.gamma**place
    if schedule.name == "linear":
        return base * _linear(place, epochs, min(schedule.tail, epochs - 1))
    return base


def _cosine(start: float, end: float, epoch: float, epochs: int) -> float:
    """minimum + (start − minimum)/2 · (1 + cos(π e/E))."""
    return end + (start - end) * (1 + math.cos(math.pi * epoch / epochs)) / 2


def _linear(place: float, epochs: int, tail: int) -> float:
    """PC-DARTS' code: falls to 0, then from a little above 0 once more in the tail."""
    long = epochs - tail
    if place < long or not tail:
        return (long - place) / long
    return (epochs - place) / (long * tail)


PROBE = 2
BACKWARD = 1.6
"""A step's peak memory as a multiple of what forward keeps (measured: 1.2 to 1.5)."""


class Learner:
    """A network, its SGD and its task.

    `run` is the network as called in training, compiled where that is faster; it shares the weights
    of `module`. `lr` is the learning rate of the current step. Within `averaged()` the module has
    the weights that are measured and saved.
    """

    def __init__(
        self, task: Task, place: Place, seed: int, numbers: Sgd, accumulate: int = 1
    ) -> None:
        self.task, self.place, self.seed = task, place, seed
        self.numbers, self.accumulate = numbers, accumulate
        self.lr = numbers.lr
        self.averaged: Callable[[], AbstractContextManager[None]] = nullcontext

    def use(self, module: Network, run: Network) -> None:
        """Sets the network to train, with a new optimiser."""
        numbers = self.numbers
        self.module, self.run = module, run
        # another form of the network reads the module's own parameters
        self.weights = module.flatten_parameters() if module is run else module.leaves
        self.buffers = [value for value in module.buffers() if value.is_floating_point()]
        self.optimiser = torch.optim.SGD(
            self.weights,
            numbers.lr,
            momentum=numbers.momentum,
            weight_decay=numbers.weight_decay,
            nesterov=numbers.nesterov,
            # the same bits in two thirds of the time; `fused` takes gradients to lie like weights
            foreach=True,
        )

    def reseed(self, at: Moment) -> None:
        """Seeds torch's generators for the random ops of this step."""
        reseed(self.seed, at.number, at.step)

    def inputs(self, at: Moment) -> tuple[Any, ...]:
        """Returns further inputs of the network, after the batch."""
        return ()

    def outcome(self, run: Callable[..., Any], batch: Batch, *inputs: Any) -> Outcome:
        """Runs the network on a batch in the device's precision."""
        self.module.part = batch.part
        with self.place.autocast():
            return self.task.outcome(run, batch, *inputs)

    def learn(self, batch: Batch, inputs: Sequence[Any], at: Moment, tally: Tally) -> None:
        """Takes one step of the weights. Raises an error if the loss is not finite.

        Of several processes each has a part of the batch's loss, and all sum their gradients.
        """
        self.optimiser.zero_grad(set_to_none=True)
        ranks = self.place.ranks
        for part in _parts(batch, self.accumulate):
            outcome = self.outcome(self.run, part, *inputs)
            loss = outcome.loss * (outcome.count / batch.count * batch.share)
            (total,) = ranks.totals(float(loss.detach()))
            check_finite(total, at.number, at.step)
            torch.autograd.backward(loss)
            self.task.carry(part, outcome)
            tally.add(outcome)
        self.reduce_gradients(self.weights)
        self.clip_gradients()
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr * batch.rate
        self.optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        ranks.follow(self.buffers)

    def reduce_gradients(self, values: Sequence[Tensor]) -> None:
        """Sums gradients over processes, where there are any."""
        if self.place.ranks.count == 1:
            return
        given = [value for value in values if value.grad is not None]
        sums = self.place.ranks.summed([value.grad for value in given if value.grad is not None])
        for value, total in zip(given, sums, strict=True):
            value.grad = total

    def clip_gradients(self) -> None:
        """Clips the norm of all gradients together, or of each tensor."""
        numbers = self.numbers
        apart = isinstance(numbers, Optimizer) and numbers.clipped == "tensor"
        for weights in (self.weights if apart else [self.weights]) if numbers.clip else ():
            torch.nn.utils.clip_grad_norm_(weights, numbers.clip)

    @contextmanager
    def measuring(self) -> Generator[None]:
        """Switches to evaluation mode without drop path, with averaged weights."""
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
        """Returns loss and metric on held-out data. Raises an error if the loss is not finite."""
        inputs = self.inputs(at)
        with self.measuring(), torch.no_grad():
            measure = partial(self.outcome, self.run)
            ranks = self.place.ranks
            found = score(self.task, lambda b: measure(b, *inputs), split=split, ranks=ranks)
        return dict(found.measures)

    def largest_batch(self) -> int | None:
        """Estimates the largest batch, a power of two, from the memory of a small step.

        None if unknown.
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

    def named_values(self) -> dict[str, Tensor]:
        """Returns what has to be equal in all processes after a step, by name."""
        return dict(self.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Returns the state at the end of an epoch."""
        return {
            "weights": self.module.state_dict(),
            "optimiser": self._optimiser_state(),
            "task": self.task.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from a `state_dict` of the same network."""
        self.module.load_state_dict(state["weights"])
        self._load_optimiser(state["optimiser"])
        self.task.restore(state["task"])

    def momentum(self) -> dict[str, Tensor]:
        """Returns the momentum buffers of the weights by key, if any."""
        found = [self.optimiser.state.get(w, {}).get("momentum_buffer") for w in self.weights]
        if all(value is None for value in found):
            return {}
        pairs = zip(found, self.weights, strict=True)
        filled = [torch.zeros_like(w) if value is None else value for value, w in pairs]
        return self.module.by_key(filled)

    def set_momentum(self, buffers: Mapping[str, Tensor]) -> None:
        """Sets momentum buffers by key, those of others to zero; none where none is given."""
        self.optimiser.state.clear()
        if not buffers:
            return
        made = [torch.zeros_like(weight) for weight in self.weights]
        with torch.no_grad():
            for key, value in self.module.by_key(made).items():
                if key in buffers:
                    value.copy_(buffers[key])
        for weight, value in zip(self.weights, made, strict=True):
            self.optimiser.state[weight] = {"momentum_buffer": value}

    def _optimiser_state(self) -> dict[str, Any]:
        """Returns the optimiser's state as one of the module's parameters, in their order."""
        found, keys = self.momentum(), self.module.keys
        state = {at: {"momentum_buffer": found[key]} for at, key in enumerate(keys) if found}
        return {"state": state}

    def _load_optimiser(self, state: Mapping[str, Any]) -> None:
        keys = self.module.keys
        states: Mapping[int, Mapping[str, Tensor | None]] = state["state"]
        found = {keys[at]: each.get("momentum_buffer") for at, each in states.items()}
        self.set_momentum({key: value for key, value in found.items() if value is not None})


def _parts(batch: Batch, count: int) -> list[Batch]:
    """Splits a batch of images into `count` parts, fewer if it is too small."""
    if count == 1:
        return [batch]
    (images,) = batch.inputs
    found: list[Batch] = []
    first = 0
    for image, target in zip(images.chunk(count), batch.target.chunk(count), strict=True):
        part = batch.part and BatchPart(batch.part.first + first, len(image), batch.part.total)
        found.append(replace(batch, inputs=(image,), target=target, part=part))
        first += len(image)
    return found


def free_bytes(device: torch.device) -> int | None:
    """Returns the device's free memory in bytes; None where the system does not report it."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = {line.partition(":")[0]: line.split()[1] for line in lines}
    return int(found["MemAvailable"]) * 1024 if "MemAvailable" in found else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error reports too little memory."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "out of memory" in text
    )
