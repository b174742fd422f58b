"""A task: where batches come from, and the loss of a network on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from torch import Tensor

from nasir import Graph, NasirError
from runners.data.load import load_images
from runners.data.text import load_text
from runners.machine.device import Place

if TYPE_CHECKING:
    from runners.experiment.recipe import Recipe

Split = Literal["valid", "test"]
"""Held-out data."""

Stream = Literal["train", "valid", "test"]
"""`valid` is what architectures learn from, or what weights are chosen by."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: inputs, targets, and the stream it is from.

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
    """The result of a network on one batch.

    `loss` is what is minimised, penalties included. `total` is the sum of the plain losses (in
    nats), `correct` the number of right answers and `count` of how many; both are detached.
    `carried` is what the next batch of the stream begins with (a language model's hidden state).
    `logits` are those of images, detached, (N, classes).
    """

    loss: Tensor
    total: Tensor
    correct: Tensor
    count: int
    carried: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    logits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The data's name, the seed of all draws, and the most images (tokens) of each part.

    The others are a search's: its batch, the share of the training data that weights learn from,
    whether the seed shuffles the split, and the side of cutout in pixels. A training's recipe has
    its own.
    """

    data: str
    seed: int = 0
    limit: int | None = None
    batch: int = 64
    split: float = 0.5
    shuffled: bool = False
    cutout: int = 0


class Task(Protocol):
    """Batches by (epoch, step), and losses on them.

    A batch depends on the seed, on the epoch and step, and on what was carried.
    """

    @property
    def name(self) -> Literal["images", "language"]:
        """The kind of task."""
        ...

    @property
    def metric(self) -> Literal["accuracy", "perplexity"]:
        """The measure by which networks are compared."""
        ...

    @property
    def fingerprint(self) -> str:
        """A hash of the data."""
        ...

    @property
    def sizes(self) -> Mapping[str, int]:
        """Sizes that the data determines: classes and resolution, or the vocabulary."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty for text."""
        ...

    def steps(self, epoch: int) -> int:
        """The number of training batches in an epoch."""
        ...

    def prepare(self, graph: Graph) -> Graph:
        """The graph with what the task sets in it (dropout rates)."""
        ...

    def train(self, epoch: int, step: int) -> Batch:
        """A batch that weights learn from."""
        ...

    def valid(self, epoch: int, step: int) -> Batch:
        """A batch that an architecture learns from, in a search."""
        ...

    @property
    def splits(self) -> tuple[Split, ...]:
        """The held-out parts that there are."""
        ...

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """Iterates a held-out split; does not modify carried state.

        Where batches carry on from each other, each begins where the outcome before it that was
        handed to `carry` ended; iterating again starts afresh.
        """
        ...

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """The outcome of `run(*inputs, *mixture)` on the batch; carries nothing."""
        ...

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """Lets the stream's next batch begin where this one ended."""
        ...

    def state(self) -> dict[str, Tensor]:
        """The carried state by name, for a checkpoint."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resumes from a state."""
        ...


def search_task(skeleton: str, options: TaskOptions, place: Place) -> Task:
    """Text for recurrent networks, images for all others. Raises what reading the data raises."""
    if skeleton == "rnn":
        from runners.task.language import Language, LanguageOptions

        corpus = load_text(options.data, options.limit)
        return Language(corpus, LanguageOptions(options.batch, options.seed), place)
    from runners.task.images import search_images

    return search_images(load_images(options.data), options, place)


def training_task(skeleton: str, recipe: "Recipe", options: TaskOptions, place: Place) -> Task:
    """Text for recurrent networks, images for all others.

    Raises what reading the data raises, and E753 where the recipe accumulates text.
    """
    if skeleton != "rnn":
        from runners.task.images import training_images

        return training_images(load_images(options.data), recipe, options, place)
    if recipe.train.accumulate > 1:
        message = f"text is not accumulated, and train.accumulate is {recipe.train.accumulate}"
        raise NasirError("E753", message, hint="a smaller train.batch")
    from runners.task.language import Language, training_options

    corpus = load_text(options.data, options.limit)
    return Language(corpus, training_options(recipe, options.seed), place)
