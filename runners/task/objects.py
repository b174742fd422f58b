"""Tasks made of Python objects: data sets or loaders, a loss and a metric."""

import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils import data as torch_data
from torch.utils.data import DataLoader

import lowering
from nasir import Graph, NasirError
from runners.machine.device import to_list
from runners.machine.ranks import Ranks
from runners.task.score import Score, Tally
from runners.task.task import WHOLE, Batch, Outcome, Request, Split, Stream, Task

Loss = Callable[[Any, Any], Tensor]
"""(outputs, targets) -> the mean loss, a scalar."""

Data = Any
"""A torch Dataset (or any sequence) of (input, target), or a DataLoader of batches of them."""


def stacked(pairs: list[Any]) -> Any:
    """Makes a batch of a list of pairs, as torch's loaders do."""
    untyped: Any = torch_data
    return untyped.default_collate(pairs)


@dataclass(frozen=True)
class DataTask:
    """A task of data, a loss and a metric, for `runners.search` and `runners.evaluate`.

    `train`, `valid` and `test` are data sets of pairs (input, target) with equal shapes, inputs
    (C, H, W), or (C, T) for signals, and targets of any shape, or loaders of batches of such pairs.
    Without `valid`, a share of the set `train` is held out; loaders cannot be split.
    `loss(outputs, targets)` is a mean, by default cross-entropy; a network with several outputs
    gives it a tuple of them. `metric` is a torchmetrics metric or a function (outputs, targets) ->
    number, by default accuracy for classes, (N,), and masks of them, (N, H, W), and otherwise the
    loss; `greater`: whether more is better. `classes` are the names of classes, or the number of
    outputs; by default `train.classes`. `collate` makes a batch of a list of pairs.

    Batches of data sets depend on (seed, epoch, step): each item is read with torch's, NumPy's and
    Python's generators seeded for its step. The order of a loader is its own: such runs resume, but
    may not repeat, and `run.json` says so.
    """

    train: Data
    valid: Data = None
    test: Data = None
    loss: Loss = F.cross_entropy
    metric: Any = None
    greater: bool = True
    classes: Sequence[str] | int | None = None
    collate: Callable[[list[Any]], Any] = stacked

    def __call__(self, request: Request) -> Task:
        """Returns the task of one run. Raises an error for data that it cannot use."""
        return _Objects(self, request)


class _Stream:
    """Batches by (epoch, step), of items of a data set or in a loader's order."""

    def __init__(
        self, name: str, data: Data, given: DataTask, request: Request, ordered: bool = False
    ) -> None:
        self.name, self.data, self.request, self.collate = name, data, request, given.collate
        self.batch = request.batch
        self.ordered = ordered
        self.is_loader = _is_loader(data)
        self._reading: tuple[int, int, Iterator[Any]] | None = None

    def __len__(self) -> int:
        count = len(self.data)
        if self.is_loader:
            return count
        return (count + (self.batch - 1) * self.ordered) // self.batch

    def at(self, epoch: int, step: int) -> tuple[Any, Any]:
        """Returns the inputs and targets of a step."""
        return self._next(epoch, step) if self.is_loader else self._items(epoch, step)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self.some(WHOLE)

    def some(self, steps: slice) -> Iterator[tuple[Any, Any]]:
        """Yields those batches of epoch 0."""
        if self.is_loader:
            yield from islice(self.data, steps.start, steps.stop, steps.step)
        else:
            yield from (self._items(0, step) for step in range(*steps.indices(len(self))))

    def _items(self, epoch: int, step: int) -> tuple[Any, Any]:
        source = lowering.generator(self.request.seed, f"objects {self.name} {epoch}")
        count = len(self.data)
        places: Any = range(count)
        if not self.ordered:
            places = torch.randperm(count, generator=source)
        chosen = places[step * self.batch : (step + 1) * self.batch]
        seeds = lowering.generator(self.request.seed, f"items {self.name} {epoch} {step}")
        with _seeded(int(torch.randint(2**31 - 1, (), generator=seeds))):
            return self.collate([self.data[int(place)] for place in chosen])

    def _next(self, epoch: int, step: int) -> tuple[Any, Any]:
        """Returns the loader's next batch; in another epoch, that many from its start."""
        if self._reading is None or self._reading[:2] != (epoch, step):
            self._reading = (epoch, step, islice(iter(self.data), step, None))
        _, _, batches = self._reading
        found = next(batches, None)
        if found is None:  # the architecture's batches may be fewer than the weights'
            batches = iter(self.data)
            found = next(batches)
        self._reading = (epoch, step + 1, batches)
        return found


@contextmanager
def _seeded(seed: int) -> Generator[None]:
    """Seeds all generators that data sets draw from, and restores them."""
    state = (torch.get_rng_state(), np.random.get_state(), random.getstate())
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])
        random.setstate(state[2])


@dataclass(slots=True)
class _LossTally(Tally):
    """Sums of losses, the only measure."""

    def score(self) -> Score:
        """Returns the score."""
        return Score(self.quality, -self.loss, self.facts())

    @property
    def quality(self) -> float:
        """The negative loss."""
        return -self.loss

    def facts(self) -> dict[str, float]:
        """Returns the mean loss."""
        return {"loss": self.loss}


@dataclass(slots=True)
class _MetricTally(_LossTally):
    """Sums of losses, and an own metric over all batches."""

    own: Any = None
    greater: bool = True
    values: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Adds one batch; a function's value counts by its examples."""
        Tally.add(self, outcome)
        pair = (outcome.logits, outcome.target)
        if hasattr(self.own, "update"):
            self.own.update(*pair)
        else:
            self.values += float(self.own(*pair)) * outcome.count

    def gather(self, ranks: Ranks) -> None:
        """Adds the other processes' sums; torchmetrics' metrics do so themselves."""
        Tally.gather(self, ranks)
        (self.values,) = ranks.totals(self.values)

    @property
    def value(self) -> float:
        """The metric so far."""
        if hasattr(self.own, "compute"):
            return float(self.own.compute())
        return self.values / max(self.count, 1)

    @property
    def quality(self) -> float:
        """The metric, negative where less is better."""
        return self.value if self.greater else -self.value

    def facts(self) -> dict[str, float]:
        """Returns mean loss and the metric."""
        return {"loss": self.loss, self.metric: self.value}


class _Objects(Task):
    """The task of one run."""

    name = "objects"
    results = 1
    """The number of the network's outputs, without the auxiliary one."""

    def __init__(self, given: DataTask, request: Request) -> None:
        self.given, self.place = given, request.place
        self.auxiliary = request.auxiliary
        train, valid = _split(given, request)
        limit = request.limit
        learn = _Stream("train", _first(train, limit), given, request)
        self.streams = {"train": learn}
        self.held: dict[Split, _Stream] = {}
        if valid is not None:
            valid = _first(valid, limit)
            self.streams["valid"] = _Stream("valid", valid, given, request)
            self.held["valid"] = _Stream("held out", valid, given, request, ordered=True)
        if given.test is not None and not request.searching:
            test = _first(given.test, limit)
            self.held["test"] = _Stream("test", test, given, request, ordered=True)
        for name, stream in self.streams.items():
            if not len(stream):
                message = f"an epoch of the split '{name}' has no batch of {request.batch}"
                raise NasirError("E702", message, hint="a smaller train.batch")
        self.splits = tuple(self.held)
        self.repeats = not any(s.is_loader for s in (*self.streams.values(), *self.held.values()))
        first = next(iter(self.streams["train"]))
        self.sizes = self._sizes(first)
        self.metric = self._metric(first)
        self.fingerprint = _fingerprint(self.streams.values(), first)

    def steps(self, epoch: int) -> int:
        """Returns the number of steps, equal in every epoch."""
        return len(self.streams["train"])

    def tally(self) -> Tally:
        """Returns sums with the task's own metric."""
        own = self.given.metric
        if own is None:
            return Tally() if self.metric == "accuracy" else _LossTally(self.metric)
        if hasattr(own, "clone") and hasattr(own, "reset"):  # torchmetrics' are stateful
            own = own.clone().to(self.place.device)
            own.reset()
        return _MetricTally(self.metric, own=own, greater=self.given.greater)

    def train(self, epoch: int, step: int) -> Batch:
        """Returns this process's part of a batch for the weights."""
        return self._part(self._batch(self.streams["train"].at(epoch, step), "train"))

    def valid(self, epoch: int, step: int) -> Batch:
        """Returns a batch for the architecture."""
        stream = self.streams["valid"]
        step = step if stream.is_loader else step % len(stream)
        return self._part(self._batch(stream.at(epoch, step), "valid"))

    def _part(self, batch: Batch) -> Batch:
        """Returns this process's part: all processes read the whole batch, in the same order."""
        part = self.place.ranks.part(len(batch.target))
        if part is None:
            return batch
        inputs = tuple(value[part.span] for value in batch.inputs)
        return replace(batch, inputs=inputs, target=batch.target[part.span], part=part)

    def plain(self) -> Iterator[Batch]:
        """Yields the weights' training batches."""
        for pair in self.streams["train"]:
            yield self._batch(pair, "train")

    def held_out(self, split: Split = "valid", steps: slice = WHOLE) -> Iterator[Batch]:
        """Yields the held-out batches."""
        for pair in self.held[split].some(steps):
            yield self._batch(pair, split)

    def prepare(self, graph: Graph) -> Graph:
        """Returns the graph. Raises an error for one that reads images where these are signals."""
        graph = Task.prepare(self, graph)
        _, type_ = graph.inputs[0]
        if len(type_.shape) != len(self.shape):
            message = f"the network reads {type_}, and the data has inputs of {list(self.shape)}"
            raise NasirError("E505", message, hint="`input: signal` in a space's own skeleton")
        self.results = len(graph.outputs)
        return graph

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Returns the loss; in training also the auxiliary head's, weighted."""
        found = cast("Tensor | tuple[Tensor, ...]", run(*batch.inputs, *mixture))
        results = (found,) if isinstance(found, Tensor) else found
        others = results[self.results :]
        output: Any = results[0] if self.results == 1 else results[: self.results]
        loss = plain = self.given.loss(output, batch.target)
        if batch.stream == "train":
            for other in others:
                loss = loss + self.auxiliary * self.given.loss(other, batch.target)
        several = tuple(result.detach() for result in results[: self.results])
        output, count = several[0] if self.results == 1 else several, batch.count
        correct = torch.zeros(())
        if self.metric == "accuracy" and self.given.metric is None:
            correct = (output.argmax(1) == batch.target).sum()
        return Outcome(
            loss, plain.detach() * count, correct, count, logits=output, target=batch.target
        )

    def _batch(self, pair: Any, stream: Stream) -> Batch:
        image, target = pair
        device, dtype = self.place.device, self.place.dtype
        image = image.to(device, dtype if image.is_floating_point() else image.dtype)
        return Batch((image,), target.to(device), stream)

    def _sizes(self, first: Any) -> Mapping[str, int]:
        """Returns what the first batch and the classes determine."""
        image, target = first
        if not isinstance(image, Tensor) or not isinstance(target, Tensor):
            message = f"a batch is ({type(image).__name__}, {type(target).__name__})"
            raise NasirError("E702", message, hint="it must be a pair of tensors: see `collate`")
        if image.dim() not in (3, 4):
            message = f"a batch of inputs has shape {list(image.shape)}"
            hint = "images are (N, C, H, W), signals (N, C, T)"
            raise NasirError("E702", message, hint=hint)
        sizes = {"in_channels": image.shape[1], "resolution": image.shape[2]}
        if image.dim() == 4:
            sizes["columns"] = image.shape[3]
        self.shape = tuple(image.shape[1:])
        named = self.given.classes
        if named is None:
            named = getattr(self.given.train, "classes", None)
        if isinstance(named, int):
            sizes["classes"] = named
        elif named is not None:
            self.classes = () if target.dim() > 1 else tuple(map(str, named))
            sizes["classes"] = len(named)
        return sizes

    def _metric(self, first: Any) -> str:
        own, target = self.given.metric, first[1]
        if own is not None:
            name = getattr(own, "__name__", type(own).__name__).lower()
            return "metric" if name in ("loss", "<lambda>") else name
        classes = target.dim() in (1, 3) and not target.is_floating_point()
        return "accuracy" if classes else "loss"


def _is_loader(data: Data) -> bool:
    return isinstance(data, DataLoader)


def _split(given: DataTask, request: Request) -> tuple[Data, Data]:
    """Returns the data for the weights, and what is held out or trains the architecture."""
    if given.valid is not None:
        return given.train, given.valid
    count = round(request.share * len(given.train))
    if _is_loader(given.train):
        if request.searching:
            message = "a loader cannot be split, and a search needs data for the architecture"
            raise NasirError("E702", message, hint="DataTask(train=..., valid=...)")
        return given.train, None
    if count == len(given.train):
        return given.train, None
    source = lowering.generator(request.seed, "objects split")
    places: list[int] = to_list(torch.randperm(len(given.train), generator=source))
    return _Part(given.train, places[:count]), _Part(given.train, places[count:])


@dataclass(frozen=True)
class _Part:
    """Items of a data set."""

    data: Data
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, place: int) -> Any:
        return self.data[self.places[place]]


def _first(data: Data, limit: int | None) -> Data:
    if limit is None or _is_loader(data) or len(data) <= limit:
        return data
    return _Part(data, range(limit))


def _fingerprint(streams: Any, first: Any) -> str:
    """Returns a hash of the numbers of batches and of the first batch."""
    digest = sha256(str([len(stream) for stream in streams]).encode())
    for value in first:
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
