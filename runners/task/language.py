"""Language: text in columns, windows of truncated back-propagation, a carried state.

The windows of an epoch depend on the seed and the epoch alone, so that a batch can be asked for in
any order.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lowering import generator
from nasir import Graph, NasirError
from nasir.types import TokenType, VectorType
from runners.data.text import Corpus
from runners.experiment.recipe import Text, Train
from runners.machine.device import Place
from runners.task.task import Batch, Outcome, Split, Stream, Task

STATES = "cell"
"""The node of a language model's graph whose value is the states of all steps (T, N, units)."""

DROPPED = "decoder/masked"
"""The node whose value is the same states after dropout."""


_RATES = {
    "embedding/drop": "words",
    "embedding/mask": "embedded",
    "cell/mask_x": "input",
    "cell/mask_h": "state",
    "decoder/mask": "output",
}
"""The fields of `Text` with the rates of dropout, by node of the graph."""

LEAST_ROWS = 3
"""The fewest rows of a stream: as published, no window begins at its last two rows."""

FULL = 0.95
"""The share of windows of about the usual length `bptt`; others have half of it."""

SHORTEST, BEYOND, DEVIATION = 5, 20, 5.0

Lengths = Callable[[int, int, Generator], Tensor]
"""Draws lengths of windows around `bptt`, int64, more than cover so many rows."""


def fixed(bptt: int, rows: int, source: Generator) -> Tensor:
    """`bptt` or half of it: the search of DARTS, arXiv:1806.09055."""
    return torch.where(_whole(rows // (bptt // 2), source), bptt, bptt // 2)


def varied(bptt: int, rows: int, source: Generator) -> Tensor:
    """max(SHORTEST, int(N(mean, DEVIATION))), at most bptt + BEYOND: the evaluation of DARTS."""
    whole = _whole(rows // SHORTEST, source)
    mean = torch.where(whole, float(bptt), bptt / 2)
    drawn = mean + DEVIATION * torch.randn(len(whole), generator=source)
    return drawn.long().clamp(SHORTEST, bptt + BEYOND)


def _whole(count: int, source: Generator) -> Tensor:
    """Which of `count` + 1 windows have the usual length."""
    return torch.rand(count + 1, generator=source) < FULL


@lru_cache(maxsize=8)
def cut(
    lengths: Lengths, bptt: int, rows: int, seed: int, epoch: int
) -> tuple[tuple[int, int], ...]:
    """The windows of an epoch over a stream of `rows`: starts, and lengths as they were drawn.

    The last one may be cut off by the stream's end. Each reads one row more as its target.
    """
    drawn = lengths(bptt, max(rows, 1), generator(seed, f"windows {epoch}"))
    starts = (drawn.cumsum(0) - drawn).numpy().tolist()
    pairs = zip(starts, drawn.numpy().tolist(), strict=True)
    return tuple((start, length) for start, length in pairs if start <= rows - LEAST_ROWS)


@dataclass(frozen=True, slots=True)
class _HeldOut(Batch):
    """A held-out batch; `carried` belongs to the one pass over the held-out text that made it."""

    carried: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class Language(Task):
    """The language task: weights learn on the training text, logits on the validation text.

    As published, the validation window of a step begins where the training window begins (modulo
    the validation text) and has the usual length whatever that of the training window; both states
    are zeros when an epoch begins. Held out are the validation text and the test text, if there is
    one, in columns of their own. The training loss has the penalties, that of the validation stream
    has not; perplexity is without.

    Raises an error for a text that is too short.
    """

    name = "language"
    metric = "perplexity"

    def __init__(
        self,
        corpus: Corpus,
        text: Text,
        train: Train,
        place: Place,
        seed: int,
        lengths: Lengths = varied,
    ) -> None:
        self.text, self.numbers, self.place = text, train, place
        self.fingerprint, self.sizes = corpus.fingerprint, {"vocabulary": len(corpus.vocabulary)}
        self._train = columns(corpus.train, train.batch, LEAST_ROWS, "train").to(place.device)
        self._valid = columns(corpus.valid, train.batch, 2, "valid").to(place.device)
        self._held = {"valid": columns(corpus.valid, text.columns, 2, "valid").to(place.device)}
        self.splits = ("valid",)
        if corpus.test is not None:
            self.splits = ("valid", "test")
            test = columns(corpus.test, text.test_columns, 2, "test")
            self._held["test"] = test.to(place.device)
        self._windows = partial(cut, lengths, text.bptt, len(self._train), seed)
        self._hidden: int | None = None
        self._carried: dict[Stream, Tensor] = {}

    def steps(self, epoch: int) -> int:
        """The number of windows of the epoch."""
        return len(self._windows(epoch))

    def prepare(self, graph: Graph) -> Graph:
        """The graph with the rates of dropout, which in training gives what penalties read too.

        From here on the task knows how wide the state is. Raises an error for a graph that takes no
        text, or one of another vocabulary.
        """
        self._hidden = _width(graph, self.sizes["vocabulary"])
        for name, word in _RATES.items():
            rate = getattr(self.text, word)
            if dict(graph[name].attrs)["rate"] != rate:
                graph = graph.with_attrs(name, rate=rate)
        wanted = {STATES: self.numbers.slowness, DROPPED: self.numbers.activation}
        auxiliary = tuple(name for name, weight in wanted.items() if weight)
        return graph.with_nodes(graph.nodes, auxiliary=auxiliary)

    def train(self, epoch: int, step: int) -> Batch:
        """A window that weights learn from, and by how much the learning rate is multiplied."""
        start, length = self._windows(epoch)[step]
        tokens, target = part(self._train, start, length)
        hidden = self._state("train", step, tokens)
        return Batch((tokens, hidden), target, "train", length / self.text.bptt)

    def valid(self, epoch: int, step: int) -> Batch:
        """A window that an architecture learns from, of the usual length."""
        start, _ = self._windows(epoch)[step]
        tokens, target = part(self._valid, start % (len(self._valid) - 1), self.text.bptt)
        return Batch((tokens, self._state("valid", step, tokens)), target, "valid")

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """The text in windows of the usual length; each pass carries its own state."""
        text, carried = self._held[split], dict[str, Tensor]()
        for start in range(0, len(text) - 1, self.text.bptt):
            tokens, target = part(text, start, self.text.bptt)
            hidden = carried.get("hidden", self._zeros(tokens))
            yield _HeldOut((tokens, hidden), target, split, carried=carried)

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Negative log-likelihood per token, with penalties for the training stream in training.

        `run` gives (log-probabilities, state), and in training also what `prepare` asked for.
        """
        log_probabilities, hidden, *states = run(*batch.inputs, *mixture)
        target = batch.target
        loss = F.nll_loss(log_probabilities.flatten(0, 1), target.flatten())
        total = loss.detach() * target.numel()
        with torch.no_grad():
            of_target = log_probabilities.gather(-1, target[..., None])[..., 0]
            correct = (of_target == log_probabilities.amax(-1)).sum()
        if batch.stream == "train" and states:
            loss = loss + self._penalty(states)
        return Outcome(loss, total, correct, target.numel(), {"hidden": hidden.detach()})

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """The stream's next window, or that of the batch's held-out pass, begins with the state."""
        hidden = outcome.carried["hidden"].detach().to(self.place.dtype, copy=True)
        if isinstance(batch, _HeldOut):
            batch.carried["hidden"] = hidden
        else:
            self._carried[batch.stream] = hidden

    def state(self) -> dict[str, Tensor]:
        """The states of both streams, (N, units), where there are any yet."""
        return {stream: hidden.clone() for stream, hidden in self._carried.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Resumes from these states, and from zeros where there is none."""
        streams: tuple[Stream, ...] = ("train", "valid")
        self._carried = {
            stream: state[stream].to(self.place.device, self.place.dtype, copy=True)
            for stream in streams
            if stream in state
        }

    def _state(self, stream: Stream, step: int, tokens: Tensor) -> Tensor:
        """The state at a window's start: zeros in an epoch's first and before any was carried."""
        if step == 0 or stream not in self._carried:
            return self._zeros(tokens)
        return self._carried[stream]

    def _zeros(self, tokens: Tensor) -> Tensor:
        assert self._hidden is not None, "prepare(graph) says how wide the state is"
        return torch.zeros(
            tokens.shape[1], self._hidden, dtype=self.place.dtype, device=tokens.device
        )

    def _penalty(self, states: list[Tensor]) -> Tensor:
        """The term added to the training loss, from the values that `prepare` asked for."""
        numbers = self.numbers
        given = iter(states)
        penalty = states[0].new_zeros(())
        if numbers.slowness:
            steps = next(given)
            if len(steps) > 1:
                penalty = penalty + numbers.slowness * (steps[1:] - steps[:-1]).square().mean()
        if numbers.activation:
            penalty = penalty + numbers.activation * next(given).square().mean()
        return penalty


def search_language(corpus: Corpus, batch: int, seed: int, place: Place) -> Language:
    """The task of a search, with the numbers of DARTS; no test text is read."""
    train, text = Train(batch=batch, slowness=1e-3), Text(words=0.0)
    return Language(replace(corpus, test=None), text, train, place, seed, fixed)


def columns(text: Tensor, count: int, rows: int, role: str) -> Tensor:
    """The text (tokens,) in so many columns (rows, count), each a part of it; the rest is left.

    Raises an error where they have fewer than `rows` rows.
    """
    if len(text) < count * rows:
        raise NasirError(
            "E702",
            f"the {role} text has {len(text)} tokens, too few for {count} columns of {rows}",
            hint=f"at most {len(text) // rows} columns, or a longer text",
        )
    length = len(text) // count
    return text[: length * count].view(count, length).t().contiguous()


def part(stream: Tensor, start: int, length: int) -> tuple[Tensor, Tensor]:
    """At most `length` rows from `start`, and for each the row after it."""
    length = min(length, len(stream) - 1 - start)
    return stream[start : start + length], stream[start + 1 : start + 1 + length]


def _width(graph: Graph, vocabulary: int) -> int:
    """The width of a language model's state."""
    inputs = dict(graph.inputs)
    tokens, hidden = inputs.get("tokens"), inputs.get("hidden")
    if not isinstance(tokens, TokenType) or not isinstance(hidden, VectorType):
        message = "the data is text, but the network is not a language model"
        raise NasirError("E505", message, hint="darts_rnn is a space of language models")
    if tokens.vocabulary != vocabulary:
        message = f"the network has {tokens.vocabulary} words, and the data {vocabulary}"
        raise NasirError("E505", message, hint=f"a vocabulary of {vocabulary}")
    return hidden.c
