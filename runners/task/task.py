"""A task: where batches come from, what is lost on them, and how well a network does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from nasir import Graph

Split = Literal["valid", "test"]
"""What networks are measured on."""

Stream = Literal["train", "valid", "test"]
"""What weights learn from, what architectures learn from or weights are chosen by, and the rest."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: what the network takes, what it should say, and from which stream it is.

    `inputs` are (image,) with image (N, C, H, W), or (tokens, hidden) with tokens (T, N) and hidden
    (N, units); `target` is (N,) or (T, N). `rate` is by how much the learning rate of the weights
    is multiplied for this batch (for language its length over the usual length).
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    stream: Stream
    rate: float = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a network did on one batch.

    `loss` is what is minimised, penalties included. `total` is the sum of the plain losses (in
    nats), `correct` the number of right answers and `count` of how many; both are detached.
    `carried` is what the next batch of the stream begins with (a language model's hidden state).
    `ranked` are, of held-out images, the classes that the network finds likeliest, the likeliest
    first, int64 (N, at most 5).
    """

    loss: Tensor
    total: Tensor
    correct: Tensor
    count: int
    carried: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    ranked: Tensor | None = None


class TrainingTask(Protocol):
    """What a network is trained and measured on: batches by (epoch, step), and losses on them.

    A batch depends on the seed, on where it is, and on what was carried.
    """

    @property
    def name(self) -> Literal["images", "language"]:
        """What kind of task it is."""
        ...

    @property
    def metric(self) -> Literal["accuracy", "perplexity"]:
        """What networks are compared by."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the data."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """What the data says of a network's size: classes and resolution, or the vocabulary."""
        ...

    @property
    def largest(self) -> int:
        """The images (or columns of text) in a batch."""
        ...

    def steps(self, epoch: int) -> int:
        """How many training batches an epoch has."""
        ...

    def prepare(self, graph: Graph) -> Graph:
        """The graph with what the task sets in it (dropout rates)."""
        ...

    def train(self, epoch: int, step: int) -> Batch:
        """A batch that weights learn from."""
        ...

    @property
    def splits(self) -> tuple[Split, ...]:
        """The held-out parts that there are."""
        ...

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """All that networks are compared on, in order; whatever was carried is left alone.

        Where batches carry on from each other, each begins where the outcome before it that was
        handed to `carry` ended; iterating again starts afresh.
        """
        ...

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """What `run(*inputs, *mixture)` does on the batch; carries nothing."""
        ...

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """Lets the stream's next batch begin where this one ended."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What is carried, by name, for a checkpoint."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a state."""
        ...


class Task(TrainingTask, Protocol):
    """What a search trains on: an architecture learns from a stream of its own."""

    def valid(self, epoch: int, step: int) -> Batch:
        """A batch that an architecture learns from."""
        ...
