"""Words that follow words: windows of text with a carried state, and negative log-likelihood."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import lowering
from nasir import Graph, NasirError
from runners.data.text import Corpus, load_text
from runners.place import Place
from runners.task.options import TaskOptions
from runners.task.task import Batch, Outcome, Stream

BPTT = 35
SHORT, SHORT_SHARE = BPTT // 2, 0.05
"""A window has 35 steps, or 17 with probability .05; its learning rate goes by its length."""
SLOWNESS = 1e-3
"""How much the squared change of the state from step to step adds to the weights' loss."""
HELD_COLUMNS = 10


class Language:
    """The recurrent search of DARTS (its rnn/train_search.py): weights learn from the training
    text, the architecture from the validation text, each with a state of its own.

    A text lies in columns, one for each example of a batch. States begin at zero in every epoch and
    are carried, detached, from window to window. Dropout stands in the graph. The penalty on the
    state's change belongs to the weights' loss; second order sees it in its inner step too, which
    the published code leaves out there.
    """

    name: Literal["language"] = "language"
    metric: Literal["perplexity"] = "perplexity"

    def __init__(self, corpus: Corpus, options: TaskOptions, place: Place) -> None:
        self.corpus, self.options, self.place = corpus, options, place
        self._columns: dict[str, Tensor] = {
            "train": self._laid(corpus.train, options.batch, "training"),
            "valid": self._laid(corpus.valid, options.batch, "validation"),
            "held": self._laid(corpus.valid, HELD_COLUMNS, "validation"),
        }
        self._hidden: dict[str, Tensor] = {}
        self._units = 0
        self._windows: tuple[int, list[tuple[int, int]]] = (-1, [])

    @property
    def fingerprint(self) -> str:
        """The text's."""
        return self.corpus.fingerprint

    @property
    def sizes(self) -> Mapping[str, int]:
        """The vocabulary."""
        return {"vocabulary": len(self.corpus.vocabulary)}

    @property
    def largest(self) -> int:
        """Columns."""
        return self.options.batch

    def steps(self, epoch: int) -> int:
        """The windows of that epoch, whose lengths are drawn."""
        return len(self._of(epoch))

    def prepare(self, graph: Graph) -> Graph:
        """Unchanged: a supernet's dropout has the search's rates. Notes how wide states are."""
        self._units = graph.types["hidden"].shape[0]
        return graph

    def train(self, epoch: int, step: int) -> Batch:
        """The window of that step."""
        start, length = self._of(epoch)[step]
        return self._batch("train", start, length, step)

    def valid(self, epoch: int, step: int) -> Batch:
        """A window of the validation text, at the place of the training window."""
        start, length = self._of(epoch)[step % self.steps(epoch)]
        return self._batch("valid", start % (len(self._columns["valid"]) - 1), length, step)

    def held_out(self) -> Iterator[Batch]:
        """The validation text in ten columns, in windows of 35."""
        columns = self._columns["held"]
        for step, start in enumerate(range(0, len(columns) - 1, BPTT)):
            yield self._window(columns, "held", "valid", start, BPTT, step)

    def outcome(self, run: Any, batch: Batch, *mixture: Any) -> Outcome:
        """Mean negative log-likelihood of the next words, and for weights the state's slowness."""
        found: tuple[Tensor, ...] = run(*batch.inputs, *mixture)
        logs, hidden, *states = found
        target = batch.target.reshape(-1)
        plain = F.nll_loss(logs.reshape(len(target), -1), target)
        loss = plain
        if states and batch.stream == "train" and len(states[0]) > 1:
            loss = loss + SLOWNESS * (states[0][1:] - states[0][:-1]).square().mean()
        correct = (logs.detach().argmax(-1).reshape(-1) == target).sum()
        key = "held" if batch.inputs[1].shape[0] == HELD_COLUMNS else batch.stream
        count = len(target)
        return Outcome(loss, plain.detach() * count, correct, count, {key: hidden.detach()})

    def carry(self, batch: Batch, outcome: Outcome) -> None:
        """The stream's next window begins with this state."""
        del batch
        self._hidden.update(outcome.carried)

    def state(self) -> dict[str, Tensor]:
        """The states by stream."""
        return dict(self._hidden)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes on with these."""
        self._hidden = {name: value.to(self.place.device) for name, value in state.items()}

    def _laid(self, text: Tensor, columns: int, what: str) -> Tensor:
        """(T, columns): the text cut into as many pieces, what is left over dropped. E714."""
        text = text[: self.options.limit]
        length = len(text) // columns
        if length < 3:
            raise NasirError(
                "E714",
                f"the {what} text has {len(text)} words, too few for {columns} columns",
                hint="a smaller --batch",
            )
        laid = text[: length * columns].view(columns, length).t().contiguous()
        return laid.to(self.place.device)

    def _of(self, epoch: int) -> list[tuple[int, int]]:
        """Start and length of every window of an epoch."""
        if self._windows[0] != epoch:
            generator = lowering.generator(self.options.seed, f"windows {epoch}")
            rows, start = len(self._columns["train"]), 0
            found: list[tuple[int, int]] = []
            while start < rows - 2 or not found:
                short = float(torch.rand((), generator=generator)) < SHORT_SHARE
                length = min(SHORT if short else BPTT, rows - 1 - start)
                found.append((start, length))
                start += length
            self._windows = (epoch, found)
        return self._windows[1]

    def _batch(self, stream: Stream, start: int, length: int, step: int) -> Batch:
        return self._window(self._columns[stream], stream, stream, start, length, step)

    def _window(
        self,
        columns: Tensor,
        key: str,
        stream: Stream,
        start: int,
        length: int,
        step: int,
    ) -> Batch:
        length = min(length, len(columns) - 1 - start)
        count = columns.shape[1]
        hidden = self._hidden.get(key)
        if step == 0 or hidden is None:
            size = (count, self._units)
            hidden = torch.zeros(size, dtype=self.place.dtype, device=self.place.device)
        tokens = columns[start : start + length]
        target = columns[start + 1 : start + 1 + length]
        return Batch((tokens, hidden), target, stream, length / BPTT)


def search_language(options: TaskOptions, place: Place) -> Language:
    """The language task on the text that the options name. Raises E711 to E714."""
    return Language(load_text(options.data), options, place)
