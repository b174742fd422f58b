"""A task: where batches come from, and the loss of a network on them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from nasir import Graph, NasirError
from runners.data.load import load_images
from runners.data.text import load_text
from runners.machine.device import Place

if TYPE_CHECKING:
    from runners.experiment.experiment import Experiment
    from runners.experiment.recipe import Recipe, Settings

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


class Task:
    """Batches by (epoch, step), and losses on them.

    A batch depends on the seed, on the epoch and step, and on what was carried.
    """

    name: Literal["images", "language"]
    metric: Literal["accuracy", "perplexity"]
    """The measure by which networks are compared."""
    fingerprint: str
    """A hash of the data."""
    sizes: Mapping[str, int]
    """Sizes that the data determines: classes and resolution, or the vocabulary."""
    classes: tuple[str, ...] = ()
    """The names of the classes; empty for text."""
    splits: tuple[Split, ...]
    """The held-out parts that there are."""

    def steps(self, epoch: int) -> int:
        """The number of training batches in an epoch."""
        raise NotImplementedError

    def prepare(self, graph: Graph) -> Graph:
        """The graph with what the task sets in it (dropout rates)."""
        raise NotImplementedError

    def train(self, epoch: int, step: int) -> Batch:
        """A batch that weights learn from."""
        raise NotImplementedError

    def valid(self, epoch: int, step: int) -> Batch:
        """A batch that an architecture learns from, in a search."""
        raise NotImplementedError

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """Iterates a held-out split; does not modify carried state.

        Where batches carry on from each other, each begins where the outcome before it that was
        handed to `carry` ended; iterating again starts afresh.
        """
        raise NotImplementedError

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """The outcome of `run(*inputs, *mixture)` on the batch; carries nothing."""
        raise NotImplementedError

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """Lets the stream's next batch begin where this one ended."""

    def state(self) -> dict[str, Tensor]:
        """The carried state by name, for a checkpoint."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resumes from a state."""


def search_task(
    skeleton: str, data: str, experiment: "Experiment", settings: "Settings", place: Place
) -> Task:
    """The task of a search on that skeleton. Raises what reading the data raises."""
    if skeleton == "rnn":
        from runners.task.language import search_language

        corpus = load_text(data, experiment.run.limit)
        return search_language(corpus, settings.train.batch, experiment.seed, place)
    from runners.task.images import search_images

    return search_images(load_images(data), experiment, settings, place)


def training_task(
    skeleton: str,
    recipe: "Recipe",
    data: str,
    place: Place,
    seed: int = 0,
    limit: int | None = None,
) -> Task:
    """Text for recurrent networks, images for all others; `limit` bounds each part.

    Raises what reading the data raises, and an error where the recipe accumulates text.
    """
    if skeleton != "rnn":
        from runners.task.images import training_images

        return training_images(load_images(data), recipe, place, seed, limit)
    if recipe.train.accumulate > 1:
        message = f"text is not accumulated, and train.accumulate is {recipe.train.accumulate}"
        raise NasirError("E505", message, hint="a smaller train.batch")
    from runners.task.language import Language

    return Language(load_text(data, limit), recipe.text, recipe.train, place, seed)
