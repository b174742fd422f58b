"""Language modelling: columns of text, windows of truncated back-propagation, hidden state.

The windows depend only on the seed and the epoch, so batches can be read in any order.
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
from runners.task.task import WHOLE, Batch, Outcome, Split, Stream, Task

STATES = "cell"
"""The node of a language model's graph with the states of all steps, (T, N, units)."""

DROPPED = "decoder/masked"
"""The node with the same states after dropout."""


_RATES = {
    "embedding/drop": "words",
    "embedding/mask": "embedded",
    "cell/mask_x": "input",
    "cell/mask_h": "state",
    "decoder/mask": "output",
}
"""The fields of `Text` with dropout probabilities, by node of the graph."""

LEAST_ROWS = 3
"""Minimum rows of a stream: as published, no window starts at its last two rows."""

FULL = 0.95
"""The share of windows with mean length `bptt`; others have half of it."""

SHORTEST, BEYOND, DEVIATION = 5, 20, 5.0

Lengths = Callable[[int, int, Generator], Tensor]
"""Samples window lengths around `bptt`, int64, enough to cover `rows`."""


def two_lengths(bptt: int, rows: int, source: Generator) -> Tensor:
    """Samples `bptt` or half of it: the search of DARTS, arXiv:1806.09055."""
    return torch.where(_is_usual(rows // (bptt // 2), source), bptt, bptt // 2)


def gaussian(bptt: int, rows: int, source: Generator) -> Tensor:
    """Samples max(SHORTEST, int(N(mean, DEVIATION))), at most bptt + BEYOND: DARTS' evaluation."""
    whole = _is_usual(rows // SHORTEST, source)
    mean = torch.where(whole, float(bptt), bptt / 2)
    drawn = mean + DEVIATION * torch.randn(len(whole), generator=source)
    return drawn.long().clamp(SHORTEST, bptt + BEYOND)


def _is_usual(count: int, source: Generator) -> Tensor:
    """Samples which of `count` + 1 windows have the usual length."""
    return torch.rand(count + 1, generator=source) < FULL


@lru_cache(maxsize=8)
def windows_of(
    lengths: Lengths, bptt: int, rows: int, seed: int, epoch: int
) -> tuple[tuple[int, int], ...]:
    """Returns the windows of an epoch over `rows`: starts and sampled lengths.

    The stream's end may cut the last one. The target of a window needs one more row.
    """
    drawn = lengths(bptt, max(rows, 1), generator(seed, f"windows {epoch}"))
    starts = (drawn.cumsum(0) - drawn).numpy().tolist()
    pairs = zip(starts, drawn.numpy().tolist(), strict=True)
    return tuple((start, length) for start, length in pairs if start <= rows - LEAST_ROWS)


@dataclass(frozen=True, slots=True)
class _HeldOut(Batch):
    """A held-out batch; `carried` is the hidden state of one pass over the held-out text."""

    carried: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class Language(Task):
    """Language modelling: weights are trained on the training text, logits on the validation text.

    As published, the validation window of a step starts where the training window starts (modulo
    the validation text) and always has the usual length; both hidden states are reset at the start
    of an epoch. Validation and test text (if any) are held out, in columns of their own. Only the
    training loss has penalties; perplexity has none.

    Raises an error for a text that is too short.
    """

    name = "language"
    metric = "perplexity"
    chained = True

    def __init__(
        self,
        corpus: Corpus,
        text: Text,
        train: Train,
        place: Place,
        seed: int,
        lengths: Lengths = gaussian,
    ) -> None:
        self.text, self.numbers, self.place = text, train, place
        self.fingerprint, self.sizes = corpus.fingerprint, {"vocabulary": len(corpus.vocabulary)}
        self._part = place.ranks.part(train.batch)
        self._span = span = WHOLE if self._part is None else self._part.span
        learned = columns(corpus.train, train.batch, LEAST_ROWS, "train")
        selected = columns(corpus.valid, train.batch, 2, "valid")
        self._train = learned[:, span].contiguous().to(place.device)
        self._valid = selected[:, span].contiguous().to(place.device)
        self._held = {"valid": columns(corpus.valid, text.columns, 2, "valid").to(place.device)}
        self.splits = ("valid",)
        if corpus.test is not None:
            self.splits = ("valid", "test")
            test = columns(corpus.test, text.test_columns, 2, "test")
            self._held["test"] = test.to(place.device)
        self._windows = partial(windows_of, lengths, text.bptt, len(self._train), seed)
        self._hidden: int | None = None
        self._carried: dict[Stream, Tensor] = {}

    def steps(self, epoch: int) -> int:
        """Returns the number of windows in an epoch."""
        return len(self._windows(epoch))

    def prepare(self, graph: Graph) -> Graph:
        """Sets dropout probabilities, and outputs for the penalties in training.

        Also sets the width of the hidden state. Raises an error for a graph without text input, or
        with another vocabulary.
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
        """Returns a training window; its `rate` scales the learning rate by the length."""
        start, length = self._windows(epoch)[step]
        tokens, target = rows_at(self._train, start, length)
        hidden = self._state("train", step, tokens)
        return Batch((tokens, hidden), target, "train", length / self.text.bptt, self._part)

    def valid(self, epoch: int, step: int) -> Batch:
        """Returns a window for the architecture, of the usual length."""
        start, _ = self._windows(epoch)[step]
        tokens, target = rows_at(self._valid, start % (len(self._valid) - 1), self.text.bptt)
        inputs = (tokens, self._state("valid", step, tokens))
        return Batch(inputs, target, "valid", part=self._part)

    def held_out(self, split: Split = "valid", steps: slice = WHOLE) -> Iterator[Batch]:
        """Yields all windows, of the usual length; each pass has its own hidden state."""
        assert steps == WHOLE, "a window follows the one before it"
        text, carried = self._held[split], dict[str, Tensor]()
        for start in range(0, len(text) - 1, self.text.bptt):
            tokens, target = rows_at(text, start, self.text.bptt)
            hidden = carried.get("hidden", self._zeros(tokens))
            yield _HeldOut((tokens, hidden), target, split, carried=carried)

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Returns the negative log-likelihood per token; the training stream's with penalties.

        `run` returns (log-probabilities, state), and in training also the penalties' inputs.
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
        """Sets the hidden state for the next window of the stream, or of the held-out pass."""
        hidden = outcome.carried["hidden"].detach().to(self.place.dtype, copy=True)
        if isinstance(batch, _HeldOut):
            batch.carried["hidden"] = hidden
        else:
            self._carried[batch.stream] = hidden

    def state(self) -> dict[str, Tensor]:
        """Returns the hidden states of both streams, (N, units), as far as they are set."""
        ranks = self.place.ranks
        return {stream: ranks.joined(hidden, 0).clone() for stream, hidden in self._carried.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Sets the hidden states; missing ones are reset."""
        streams: tuple[Stream, ...] = ("train", "valid")
        self._carried = {
            stream: state[stream][self._span].to(self.place.device, self.place.dtype, copy=True)
            for stream in streams
            if stream in state
        }

    def _state(self, stream: Stream, step: int, tokens: Tensor) -> Tensor:
        """Returns a window's hidden state: zeros in an epoch's first, or if none was carried."""
        if step == 0 or stream not in self._carried:
            return self._zeros(tokens)
        return self._carried[stream]

    def _zeros(self, tokens: Tensor) -> Tensor:
        assert self._hidden is not None, "prepare(graph) sets the width"
        return torch.zeros(
            tokens.shape[1], self._hidden, dtype=self.place.dtype, device=tokens.device
        )

    def _penalty(self, states: list[Tensor]) -> Tensor:
        """Returns the penalties of the training loss."""
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
    """Returns the task of a search, with DARTS' settings and without the test text."""
    train, text = Train(batch=batch, slowness=1e-3), Text(words=0.0)
    return Language(replace(corpus, test=None), text, train, place, seed, two_lengths)


def columns(text: Tensor, count: int, rows: int, role: str) -> Tensor:
    """Splits a text (tokens,) into columns (rows, count); drops the remainder.

    Raises an error for fewer than `rows` rows.
    """
    if len(text) < count * rows:
        raise NasirError(
            "E702",
            f"the {role} text has {len(text)} tokens, too few for {count} columns of {rows}",
            hint=f"at most {len(text) // rows} columns, or a longer text",
        )
    length = len(text) // count
    return text[: length * count].view(count, length).t().contiguous()


def rows_at(stream: Tensor, start: int, length: int) -> tuple[Tensor, Tensor]:
    """Returns at most `length` rows from `start`, and for each the next row."""
    length = min(length, len(stream) - 1 - start)
    return stream[start : start + length], stream[start + 1 : start + 1 + length]


def _width(graph: Graph, vocabulary: int) -> int:
    """Returns the width of a language model's hidden state."""
    inputs = dict(graph.inputs)
    tokens, hidden = inputs.get("tokens"), inputs.get("hidden")
    if not isinstance(tokens, TokenType) or not isinstance(hidden, VectorType):
        message = "the data is text, but the network is not a language model"
        raise NasirError("E505", message, hint="darts_rnn is a space of language models")
    if tokens.vocabulary != vocabulary:
        message = f"the network has {tokens.vocabulary} words, the data has {vocabulary}"
        raise NasirError("E505", message, hint=f"a vocabulary of {vocabulary}")
    return hidden.c
