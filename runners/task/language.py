"""Language: text in columns, windows of truncated back-propagation, a carried state.

The windows of an epoch depend on the seed and the epoch alone, so that a batch can be asked for in
any order.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from lowering import generator
from nasir import Graph, NasirError
from nasir.types import TokenType, VectorType
from runners.data.text import Corpus
from runners.experiment.recipe import Recipe
from runners.machine.device import Place
from runners.task.task import Batch, Outcome, Split, Stream

STATES = "cell"
"""The node of a language model's graph whose value is the states of all steps (T, N, units)."""

DROPPED = "decoder/masked"
"""The node whose value is the same states after dropout."""


@dataclass(frozen=True, slots=True)
class Dropout:
    """Rates of a language model's masks: the search of DARTS on the Penn treebank.

    Rates for the `output` before the decoder, of a `state` and an `input` of the cell before their
    products, of `embedded` words' units, and of whole `words`.
    """

    output: float = 0.75
    state: float = 0.25
    input: float = 0.75
    embedded: float = 0.2
    words: float = 0.0

    @property
    def nodes(self) -> Mapping[str, float]:
        """The rates by node of the graph."""
        return {
            "embedding/drop": self.words,
            "embedding/mask": self.embedded,
            "cell/mask_x": self.input,
            "cell/mask_h": self.state,
            "decoder/mask": self.output,
        }


LEAST_ROWS = 3
"""The fewest rows of a stream: as published, no window begins at its last two rows."""


@dataclass(frozen=True, slots=True)
class Window:
    """`drawn` is the length that was drawn; where the stream ends first, the window is shorter."""

    start: int
    drawn: int


@dataclass(frozen=True, slots=True)
class FixedWindows:
    """`bptt` with probability `full`, else half of it. The search of DARTS, arXiv:1806.09055."""

    bptt: int = 35
    full: float = 0.95

    @property
    def shortest(self) -> int:
        """Half the usual length."""
        return self.bptt // 2

    def lengths(self, count: int, source: Generator) -> Tensor:
        """`count` lengths, int64 (count,)."""
        return torch.where(_whole(self.full, count, source), self.bptt, self.bptt // 2)


@dataclass(frozen=True, slots=True)
class VariedWindows:
    """Normal around `bptt` with probability `full`, else around half of it, cut at both ends.

    The evaluation of DARTS: max(shortest, int(N(mean, deviation))), at most bptt + `beyond`.
    """

    bptt: int = 35
    full: float = 0.95
    deviation: float = 5.0
    shortest: int = 5
    beyond: int = 20

    def lengths(self, count: int, source: Generator) -> Tensor:
        """`count` lengths, int64 (count,)."""
        mean = torch.where(_whole(self.full, count, source), float(self.bptt), self.bptt / 2)
        drawn = mean + self.deviation * torch.randn(count, generator=source)
        return drawn.long().clamp(self.shortest, self.bptt + self.beyond)


Windows = FixedWindows | VariedWindows


@lru_cache(maxsize=8)
def cut(windows: Windows, rows: int, seed: int, epoch: int) -> tuple[Window, ...]:
    """The windows of an epoch over a stream of `rows`; each reads one row more as its target."""
    source = generator(seed, f"windows {epoch}")
    lengths = windows.lengths(max(rows, 1) // windows.shortest + 1, source)
    starts = (lengths.cumsum(0) - lengths).numpy().tolist()
    drawn = lengths.numpy().tolist()
    return tuple(
        Window(start, length)
        for start, length in zip(starts, drawn, strict=True)
        if start <= rows - LEAST_ROWS
    )


def _whole(full: float, count: int, source: Generator) -> Tensor:
    """Which windows are whole, by draws."""
    return torch.rand(count, generator=source) < full


@dataclass(frozen=True, slots=True)
class LanguageOptions:
    """How text is cut, and what is added to the loss: the search of DARTS.

    `batch`, `held_out` and `test` are numbers of columns; 0 reads no test text. `slowness`
    weighs the mean squared change of the states from step to step, `activation` the mean square of
    the output after dropout.
    """

    batch: int = 256
    seed: int = 0
    held_out: int = 10
    test: int = 0
    windows: Windows = field(default_factory=FixedWindows)
    dropout: Dropout = field(default_factory=Dropout)
    slowness: float = 1e-3
    activation: float = 0.0


@dataclass(frozen=True, slots=True)
class _HeldOut(Batch):
    """A held-out batch; `carried` belongs to the one pass over the held-out text that made it."""

    carried: dict[str, Tensor] = field(default_factory=dict[str, Tensor])


class Language:
    """The language task of a search: weights learn on the training text, logits on the validation.

    As published, the validation window of a step begins where the training window begins (modulo
    the validation text) and has the usual length whatever that of the training window; both states
    are zeros when an epoch begins. Held out is the validation text in fewer columns, and the test
    text where it is asked for and there is one. The training
    loss has the penalties, that of the validation stream has not; perplexity is without.

    Raises E714 for a text that is too short.
    """

    name: Literal["images", "language"] = "language"
    metric: Literal["accuracy", "perplexity"] = "perplexity"

    def __init__(self, corpus: Corpus, options: LanguageOptions, place: Place) -> None:
        self.corpus, self.options, self.place = corpus, options, place
        train = columns(corpus.train, options.batch, LEAST_ROWS, "train")
        valid = columns(corpus.valid, options.batch, 2, "valid")
        held = {"valid": columns(corpus.valid, options.held_out, 2, "valid")}
        if options.test and corpus.test is not None:
            held["test"] = columns(corpus.test, options.test, 2, "test")
        self._train = train.to(place.device)
        self._valid = valid.to(place.device)
        self._held = {name: text.to(place.device) for name, text in held.items()}
        self._hidden: int | None = None
        self._carried: dict[Stream, Tensor] = {}

    @property
    def fingerprint(self) -> str:
        """The hash of the corpus."""
        return self.corpus.fingerprint

    @property
    def sizes(self) -> Mapping[str, int]:
        """The vocabulary."""
        return {"vocabulary": len(self.corpus.vocabulary)}

    @property
    def classes(self) -> tuple[str, ...]:
        """Empty: words are no classes."""
        return ()

    def steps(self, epoch: int) -> int:
        """The number of windows of the epoch."""
        return len(cut(self.options.windows, len(self._train), self.options.seed, epoch))

    def prepare(self, graph: Graph) -> Graph:
        """The graph with the rates of dropout, which in training gives what penalties read too.

        From here on the task knows how wide the state is. Raises E505 for a graph that takes no
        text, or one of another vocabulary.
        """
        self._hidden = _width(graph, len(self.corpus.vocabulary))
        for name, rate in self.options.dropout.nodes.items():
            if dict(graph[name].attrs)["rate"] != rate:
                graph = graph.with_attrs(name, rate=rate)
        wanted = {STATES: self.options.slowness, DROPPED: self.options.activation}
        auxiliary = tuple(name for name, weight in wanted.items() if weight)
        return graph.with_nodes(graph.nodes, auxiliary=auxiliary)

    def train(self, epoch: int, step: int) -> Batch:
        """A window that weights learn from, and by how much the learning rate is multiplied."""
        windows = self.options.windows
        window = cut(windows, len(self._train), self.options.seed, epoch)[step]
        tokens, target = part(self._train, window.start, window.drawn)
        hidden = self._state("train", step, tokens)
        return Batch((tokens, hidden), target, "train", window.drawn / windows.bptt)

    def valid(self, epoch: int, step: int) -> Batch:
        """A window that an architecture learns from, of the usual length."""
        windows = self.options.windows
        window = cut(windows, len(self._train), self.options.seed, epoch)[step]
        start = window.start % (len(self._valid) - 1)
        tokens, target = part(self._valid, start, windows.bptt)
        return Batch((tokens, self._state("valid", step, tokens)), target, "valid")

    @property
    def splits(self) -> tuple[Split, ...]:
        """The validation text, and perhaps the test text."""
        return ("valid", "test") if "test" in self._held else ("valid",)

    def held_out(self, split: Split = "valid") -> Iterator[Batch]:
        """The text in windows of the usual length; each pass carries its own state."""
        text, carried = self._held[split], dict[str, Tensor]()
        for start in range(0, len(text) - 1, self.options.windows.bptt):
            tokens, target = part(text, start, self.options.windows.bptt)
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
        options = self.options
        given = iter(states)
        penalty = states[0].new_zeros(())
        if options.slowness:
            steps = next(given)
            if len(steps) > 1:
                penalty = penalty + options.slowness * (steps[1:] - steps[:-1]).square().mean()
        if options.activation:
            penalty = penalty + options.activation * next(given).square().mean()
        return penalty


def training_options(recipe: Recipe, seed: int) -> LanguageOptions:
    """The options that a recipe names."""
    text, train = recipe.text, recipe.train
    return LanguageOptions(
        train.batch,
        seed,
        text.columns,
        text.test_columns,
        VariedWindows(text.bptt),
        Dropout(text.output, text.state, text.input, text.embedded, text.words),
        train.slowness,
        train.activation,
    )


def columns(text: Tensor, count: int, rows: int, role: str) -> Tensor:
    """The text (tokens,) in so many columns (rows, count), each a part of it; the rest is left.

    Raises E714 where they have fewer than `rows` rows.
    """
    if len(text) < count * rows:
        raise NasirError(
            "E714",
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
    """The width of a language model's state. Raises E505."""
    inputs = dict(graph.inputs)
    tokens, hidden = inputs.get("tokens"), inputs.get("hidden")
    if not isinstance(tokens, TokenType) or not isinstance(hidden, VectorType):
        message = "the data is text, and the network takes none"
        raise NasirError("E505", message, hint="darts_rnn is a space of language models")
    if tokens.vocabulary != vocabulary:
        message = f"the network has {tokens.vocabulary} words, and the data {vocabulary}"
        raise NasirError("E505", message, hint=f"a vocabulary of {vocabulary}")
    return hidden.c
