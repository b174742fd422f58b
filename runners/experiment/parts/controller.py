"""A recurrent controller that writes genotypes decision by decision. ENAS, arXiv:1802.03268."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import lowering
from nasir import Genotype, Space
from nasir.space.decisions import cell_tree, supernet_decisions
from nasir.space.tree import Choose, Pick
from runners.machine.device import entropy

HIDDEN = 32
SQUASH, TEMPERATURE = 2.5, 5.0  # logits are 2.5 · tanh(logit / 5), as in the published code


@dataclass(frozen=True, slots=True)
class Sample:
    """A genotype, the log-probability of its decisions and their entropy (nats, a constant)."""

    genotype: Genotype
    log_probability: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """An LSTM of two layers with 32 units; each decision has an embedding and a linear head.

    A node with more sources than it keeps chooses its edges one after the other, none twice, and
    then an op for each; a node that keeps all chooses ops alone (for NAS-Bench-201 these are the
    published controller's six decisions). Weights depend on the seed.
    """

    def __init__(self, space: Space, seed: int) -> None:
        super().__init__()
        self.space = space
        sizes = sorted({size for cell in space.cells for size in _sizes(cell_tree(cell))})
        self.start = nn.Parameter(torch.empty(1, 1, HIDDEN))
        self.lstm = nn.LSTM(HIDDEN, HIDDEN, num_layers=2)
        self.heads = nn.ModuleDict({str(n): nn.Linear(HIDDEN, n) for n in sizes})
        self.words = nn.ModuleDict({str(n): nn.Embedding(n, HIDDEN) for n in sizes})
        for name, weight in self.named_parameters():
            source = lowering.generator(seed, f"controller {name}")
            weight.data.uniform_(-0.1, 0.1, generator=source)

    def sample(self, generator: torch.Generator) -> Sample:
        """A genotype drawn decision by decision; gradients flow through its log-probability."""
        writer = _Writer(self, generator)
        return writer.written()

    def most_likely(self) -> Genotype:
        """The genotype of the most probable option at each decision."""
        with torch.no_grad():
            return _Writer(self, None).written().genotype


class _Writer:
    """One pass of the controller."""

    def __init__(self, controller: Controller, generator: torch.Generator | None) -> None:
        self.net = controller
        self.generator = generator
        self.input: Tensor = controller.start
        self.state: tuple[Tensor, Tensor] | None = None
        self.log_probability: list[Tensor] = []
        self.entropy: list[Tensor] = []

    def written(self) -> Sample:
        """The genotype of all cells."""
        space = self.net.space
        trees = map(supernet_decisions, space.cells)
        cells = tuple(each.cell_of([self._pick(c) for c in each.walk]) for each in trees)
        genotype = Genotype(space.name, cells, definition=space)
        return Sample(
            genotype, torch.stack(self.log_probability).sum(), torch.stack(self.entropy).sum()
        )

    def _pick(self, each: Choose) -> Pick:
        """The options that one decision keeps, and then the picks of their own decisions."""
        count = len(each.options)
        wanted = count if each.keep is None or each.most else min(each.keep, count)
        kept = [each.options[place] for place in sorted(self._several(count, wanted))]
        return tuple((o.name, tuple(map(self._pick, o.then))) for o in kept)

    def _several(self, count: int, wanted: int) -> list[int]:
        """`wanted` different options of `count`; all of them need no decision."""
        if wanted == count:
            return list(range(count))
        chosen: list[int] = []
        for _ in range(wanted):
            chosen.append(self._decide(count, tuple(chosen)))
        return chosen

    def _decide(self, count: int, taken: tuple[int, ...] = ()) -> int:
        """One of `count` options, none of those taken."""
        if count == 1:
            return 0
        output, self.state = self.net.lstm(self.input, self.state)
        logits = self.net.heads[str(count)](output[0, 0])
        logits = SQUASH * torch.tanh(logits / TEMPERATURE)
        logits = logits.index_fill(0, torch.tensor(taken, dtype=torch.int64), -torch.inf)
        logs = logits.log_softmax(0)
        shares = logs.detach().exp()
        if self.generator is None:
            index = int(shares.argmax())
        else:
            index = int(torch.multinomial(shares, 1, generator=self.generator))
        self.log_probability.append(logs[index])
        self.entropy.append(entropy(shares))
        self.input = self.net.words[str(count)](torch.tensor([[index]]))
        return index


def _sizes(tree: Sequence[Choose]) -> Iterator[int]:
    """How many options decisions have."""
    for each in tree:
        yield len(each.options)
        for option in each.options:
            yield from _sizes(option.then)
