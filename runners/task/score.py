"""Scores and predictions on held-out data, sums over batches, and latencies."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

import lowering
from nasir import Graph, NasirError, Type, run_passes
from nasir.passes import EVALUATION
from nasir.passes.rewriting import given_inputs, is_draw
from nasir.types import TokenType
from runners.machine.ranks import ALONE, Ranks
from runners.task.task import Batch, Outcome, Split, Task

FLIPPED = 0.005
"""The maximum share of predictions that rounding may change."""

TOP = 5
"""The k of top-k accuracy."""


@dataclass(slots=True)
class Tally:
    """Sums over batches, and their loading time in seconds. Mutable."""

    metric: str = "accuracy"
    total: float = 0.0
    correct: float = 0.0
    count: int = 0
    loading: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Adds one batch."""
        self.total += float(outcome.total)
        self.correct += float(outcome.correct)
        self.count += outcome.count

    def gather(self, ranks: Ranks) -> None:
        """Adds the other processes' sums."""
        self.total, self.correct, count = ranks.totals(self.total, self.correct, self.count)
        self.count = int(count)

    @property
    def loss(self) -> float:
        """The mean loss."""
        return self.total / max(self.count, 1)

    @property
    def quality(self) -> float:
        """What networks are ranked by, greater is better: accuracy from 0 to 1."""
        return self.correct / max(self.count, 1)

    def score(self) -> "Score":
        """Returns the score; its accuracy is the rounded share times 100."""
        mean = Tally(self.metric, self.loss, self.quality, 1)
        return Score(self.quality, -self.loss, mean.facts())

    def facts(self) -> dict[str, float]:
        """Returns mean loss (nats) and the metric: accuracy in percent, or perplexity."""
        if self.metric == "accuracy":
            return {"loss": self.loss, "accuracy": 100.0 * self.correct / max(self.count, 1)}
        return {"loss": self.loss, "perplexity": math.exp(min(self.loss, 700.0))}


@dataclass(frozen=True, slots=True, order=True)
class Score:
    """Quality and negative loss (nats) on held-out data, compared in this order.

    `measures` are the mean loss and the metric, as `Tally.facts`.
    """

    quality: float
    negative_loss: float
    measures: Mapping[str, float] = field(default_factory=dict[str, float], compare=False)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Results of a network on `count` held-out images (or words) of `split`.

    `measures` are the loss and the metric (accuracy and top5 in percent, or perplexity). `changed`
    counts predictions that differ from those in eager torch; None for text.
    """

    split: Split
    count: int
    measures: Mapping[str, float]
    changed: int | None = None


@dataclass(frozen=True)
class Answers:
    """An accuracy with predicted and true classes, (N,); empty for text."""

    accuracy: Accuracy
    predicted: Tensor
    true: Tensor

    def confusion(self, classes: int) -> Tensor:
        """Returns the number of images by true and predicted class, int64 (true, predicted)."""
        pairs = self.true * classes + self.predicted
        return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


Network = Callable[..., Any]
"""A network as a function of tensors: a module, or an ONNX Runtime session."""


def check_finite(loss: float, epoch: int, step: int) -> None:
    """Raises an error if the loss is not finite."""
    if not math.isfinite(loss):
        raise NasirError(
            "E741",
            f"the loss is {loss:g} in step {step} of epoch {epoch}",
            hint="a smaller learning rate (--set optimizer.lr=…) or gradient clipping; "
            "the last checkpoint is valid: use --resume",
        )


def score(
    task: Task,
    measure: Callable[[Batch], Outcome],
    batches: int = 0,
    split: Split = "valid",
    ranks: Ranks = ALONE,
) -> Score:
    """Returns accuracy and mean loss on the first held-out batches, or on all of them (0).

    Processes take whole batches in turns, so that a batch's statistics do not depend on their
    number. Raises an error if the loss is not finite.
    """
    tally = task.tally()
    if ranks.count == 1 or task.chained:
        found = islice(task.held_out(split), batches or None)
    else:
        found = task.held_out(split, slice(ranks.rank, batches or None, ranks.count))
    with lowering.apart():
        for batch in found:
            outcome = measure(batch)
            task.carry(batch, outcome)
            tally.add(outcome)
    if not task.chained:
        tally.gather(ranks)
    if not math.isfinite(tally.total):
        raise NasirError("E741", "the loss on held-out data is not a number")
    return tally.score()


def answers(task: Task, split: Split, run: Network, most: int = 0) -> Answers:
    """Returns the predictions on held-out data: full batches up to `most` images (0: all)."""
    tally, near = task.tally(), 0
    predicted, true = [torch.zeros(0, dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)]
    with torch.no_grad():
        for batch in task.held_out(split):
            if most and tally.count >= most:
                break
            outcome = task.outcome(run, batch)
            task.carry(batch, outcome)
            tally.add(outcome)
            if outcome.logits is not None and task.classes:
                ranked = outcome.logits.topk(min(TOP, outcome.logits.shape[1]), 1).indices
                near += int((ranked == batch.target[:, None]).any(1).sum())
                predicted.append(outcome.logits.argmax(1).cpu())
                true.append(batch.target.cpu())
    found = tally.facts()
    if task.classes:
        found["top5"] = 100.0 * near / max(tally.count, 1)
    accuracy = Accuracy(split, tally.count, found)
    return Answers(accuracy, torch.cat(predicted), torch.cat(true))


def compared(first: Answers, other: Answers) -> Accuracy:
    """Returns the other's accuracy, with the number of predictions that differ."""
    same = first.predicted == other.predicted
    return replace(other.accuracy, changed=int((~same).sum()) if len(same) else None)


def require(name: str, first: Answers, other: Accuracy) -> Accuracy:
    """Returns the accuracy of the form `name`. Raises an error beyond rounding differences."""
    allowed = max(1, int(FLIPPED * other.count))
    loss = first.accuracy.measures["loss"]
    apart = abs(loss - other.measures["loss"])
    if (other.changed or 0) <= allowed and apart <= 1e-2 * max(1.0, loss):
        return other
    changed = "" if other.changed is None else f"{other.changed} of {other.count} predictions, "
    raise NasirError(
        "E504",
        f"'{name}' predicts differently from eager torch on the {other.split} data: "
        f"{changed}a loss of {other.measures['loss']:.4g} instead of "
        f"{loss:.4g}",
        hint="this exceeds rounding: please report it",
    )


WARM_UP = 3
MOST_RUNS = 50
LEAST_RUNS = 5
SECONDS = 3.0

STEPS = 5
"""Sequence length of measured calls."""

Inputs = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds per call: median and minimum of interleaved runs after a warm-up."""

    seconds: float
    lowest: float
    runs: int


def example(graph: Graph, batch: int) -> Inputs:
    """Returns reproducible inputs of the network.

    Images (batch, C, H, W) and states (batch, c) are N(0, 1), tokens (STEPS, batch) uniform over
    the vocabulary.
    """
    generator = torch.Generator().manual_seed(0)
    return tuple(_draw(type_, batch, generator) for _, type_ in given_inputs(graph))


def _draw(type_: Type, batch: int, generator: torch.Generator) -> Tensor:
    if isinstance(type_, TokenType):
        return torch.randint(type_.vocabulary, (STEPS, batch), generator=generator)
    return torch.randn((batch, *type_.shape), generator=generator)


def evaluate(module: Callable[..., Any], inputs: Inputs | Tensor) -> Inputs:
    """Returns all outputs, without gradients; the first are logits or log-probabilities."""
    inputs = (inputs,) if isinstance(inputs, Tensor) else inputs
    with torch.inference_mode():
        outputs: Any = module(*inputs)
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)


def draws_noise(module: nn.Module) -> bool:
    """Whether two calls with one input differ in evaluation: the genotype has the op `noise`."""
    graph: Any = getattr(module, "graph", None)
    if not isinstance(graph, Graph):
        return False
    left = run_passes(graph, EVALUATION)[0]
    given = any(is_draw(name) and left.readers[name] for name, _ in left.inputs)
    return given or any(node.has("random") for node in left)


def measure(modules: Mapping[str, Callable[..., Any]], inputs: Inputs) -> dict[str, Latency]:
    """Measures the latencies, interleaved so that other load affects all networks alike.

    WARM_UP rounds, then as many as fit into SECONDS, between LEAST_RUNS and MOST_RUNS.
    """
    for _ in range(WARM_UP):
        for module in modules.values():
            _time(module, inputs)
    times: dict[str, list[float]] = {name: [] for name in modules}
    start = time.perf_counter()
    for number in range(MOST_RUNS):
        if number >= LEAST_RUNS and time.perf_counter() - start > SECONDS:
            break
        for name, module in modules.items():
            times[name].append(_time(module, inputs))
    return {
        name: Latency(statistics.median(found), min(found), len(found))
        for name, found in times.items()
    }


def _time(module: Callable[..., Any], inputs: Inputs) -> float:
    """Measures the seconds of one call, synchronising the device."""
    _wait(inputs[0])
    start = time.perf_counter()
    evaluate(module, inputs)
    _wait(inputs[0])
    return time.perf_counter() - start


def _wait(value: Tensor) -> None:
    if value.is_cuda:
        torch.cuda.synchronize(value.device)
