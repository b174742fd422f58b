"""The interface of tasks: batches, and losses of a network on them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from lowering import BatchPart
from nasir import Graph, NasirError
from nasir.table import brought
from runners.data.load import load_images
from runners.data.name import parse_data
from runners.data.text import load_text
from runners.machine.device import Place

if TYPE_CHECKING:
    from runners.experiment.experiment import Experiment
    from runners.experiment.recipe import Recipe, Settings
    from runners.task.score import Tally

Split = Literal["valid", "test"]
"""Held-out splits."""

WHOLE = slice(None)
"""All batches of a split."""

Stream = Literal["train", "valid", "test"]
"""`valid` is for training architectures, or for selecting weights."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs, targets and the stream of a batch.

    `inputs` are (image,) with image (N, C, H, W), or (tokens, hidden) with tokens (T, N) and hidden
    (N, units); `target` is (N,) or (T, N). `rate` multiplies the weights' learning rate (for
    language, the length over the usual length). `part` says which examples of the batch these are,
    if other processes have the rest.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    stream: Stream
    rate: float = 1.0
    part: BatchPart | None = None

    @property
    def count(self) -> int:
        """The number of values that the loss is a mean over."""
        return self.target.numel()

    @property
    def share(self) -> float:
        """The part of the batch that is here, from 0 to 1: what its mean loss counts for."""
        return 1.0 if self.part is None else self.part.share


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a network on one batch.

    `loss` is minimised and includes penalties. `total` is the detached sum of plain losses (nats),
    `correct` the detached number of right predictions among `count`. `carried` is the state for the
    next batch of the stream (a language model's hidden state). `logits` are the outputs, detached:
    of images (N, classes). `target` is for metrics of own tasks.
    """

    loss: Tensor
    total: Tensor
    correct: Tensor
    count: int
    carried: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    logits: Tensor | None = None
    target: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """The run that a task of objects, or an extension's, is for.

    `share` is that of the training data for the weights: the rest trains the architecture of a
    search, or is held out by an evaluation. `limit` bounds each split.
    """

    seed: int
    place: Place
    batch: int
    share: float
    limit: int | None = None
    searching: bool = False
    auxiliary: float = 0.0
    """The weight of the auxiliary head's loss."""


class Task:
    """Batches by (epoch, step), and losses on them.

    A batch depends on the seed, the epoch, the step and the carried state.
    """

    name: str
    metric: str
    """The measure by which networks are compared: accuracy, perplexity, or an own task's."""
    repeats: bool = True
    """True if batches depend on seed, epoch and step alone, so that a run can be replayed."""
    fingerprint: str
    """A hash of the data."""
    sizes: Mapping[str, int]
    """Sizes that the data determines: classes and resolution, or the vocabulary."""
    classes: tuple[str, ...] = ()
    """The names of the classes; empty for other tasks than classification."""
    splits: tuple[Split, ...]
    """The held-out splits of the data."""
    chained: bool = False
    """True if each held-out batch depends on the one before it."""

    def steps(self, epoch: int) -> int:
        """Returns the number of training batches in an epoch."""
        raise NotImplementedError

    def tally(self) -> "Tally":
        """Returns new sums of outcomes."""
        from runners.task.score import Tally  # not at the top: it imports this module

        return Tally(self.metric)

    def prepare(self, graph: Graph) -> Graph:
        """Returns the graph with the task's settings (dropout probabilities).

        Raises an error if its sizes differ from the data's.
        """
        about = graph.about
        for name, value in self.sizes.items():
            if name in about and int(about[name]) != value:
                message = f"the network has {name} {about[name]}, the data has {value}"
                hint = f"leave --{name.replace('_', '-')} out, or name data of that size"
                raise NasirError("E505", message, hint=hint)
        return graph

    def train(self, epoch: int, step: int) -> Batch:
        """Returns a training batch for the weights."""
        raise NotImplementedError

    def valid(self, epoch: int, step: int) -> Batch:
        """Returns a training batch for the architecture of a search."""
        raise NotImplementedError

    def held_out(self, split: Split = "valid", steps: slice = WHOLE) -> Iterator[Batch]:
        """Iterates those batches of a held-out split; does not modify carried state.

        If batches depend on each other, each starts from the last outcome passed to `carry`; a new
        iteration starts afresh.
        """
        raise NotImplementedError

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Returns the outcome of `run(*inputs, *mixture)` on the batch; carries nothing."""
        raise NotImplementedError

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """Sets the state from which the stream's next batch starts."""

    def state(self) -> dict[str, Tensor]:
        """Returns the carried state by name, for a checkpoint: that of all processes."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Restores a state."""


def search_task(
    skeleton: str, data: str, experiment: "Experiment", settings: "Settings", place: Place
) -> Task:
    """Returns the task of a search on a skeleton. Raises errors of reading the data."""
    own, search = own_task(data), experiment.searching
    if own is not None:
        batch, limit = settings.train.batch, experiment.run.limit
        return own(Request(experiment.seed, place, batch, search.split, limit, searching=True))
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
    """Returns a text task for recurrent networks, else an image task; `limit` bounds each split.

    Raises errors of reading the data, and one for a recipe that accumulates text.
    """
    own, train = own_task(data), recipe.train
    if own is not None:
        share, auxiliary = 1 - train.validation, train.auxiliary
        return own(Request(seed, place, train.batch, share, limit, auxiliary=auxiliary))
    if skeleton != "rnn":
        from runners.task.images import training_images

        return training_images(load_images(data), recipe, place, seed, limit)
    if recipe.train.accumulate > 1:
        message = f"text is not accumulated, and train.accumulate is {recipe.train.accumulate}"
        raise NasirError("E505", message, hint="a smaller train.batch")
    from runners.task.language import Language

    return Language(load_text(data, limit), recipe.text, recipe.train, place, seed)


Maker = Callable[[Request], Task]
"""Makes the task of one run."""


def own_task(data: str) -> Maker | None:
    """Returns the maker of an extension's task that `data` names (`NAME` or `NAME:REST`), if any.

    The extension's row is a function of the rest that returns a maker, such as `DataTask`.
    """
    name = parse_data(data)
    own = brought("task").get(name.kind)
    return None if own is None else own(name.argument)
