"""A recurrent controller that writes genotypes decision by decision. ENAS, arXiv:1802.03268."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import lowering
from nasir import CellGenotype, Edge, Genotype, Space
from nasir.space.adoption import adopt
from nasir.space.space import SpaceCell
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
        sizes = sorted({size for cell in space.cells for size in _sizes(cell)})
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
        cells = tuple(self._cell(cell) for cell in space.cells)
        genotype = adopt(Genotype(space.name, cells, definition=space), space)
        return Sample(
            genotype, torch.stack(self.log_probability).sum(), torch.stack(self.entropy).sum()
        )

    def _cell(self, cell: SpaceCell) -> CellGenotype:
        if cell.on_nodes:
            return self._node_cell(cell)
        nodes = range(cell.inputs, cell.inputs + cell.nodes)
        written = tuple(tuple(self._edges(cell, node)) for node in nodes)
        return CellGenotype(cell.kind, cell.inputs, written, cell.output)

    def _edges(self, cell: SpaceCell, node: int) -> Iterator[Edge]:
        possible = cell.into(node)
        keep = len(possible) if cell.keep is None else min(cell.keep, len(possible))
        chosen = range(len(possible))
        if keep < len(possible):
            chosen = sorted(self._several(len(possible), keep))
        for index in chosen:
            edge = possible[index]
            ops = cell.selectable(edge)
            yield Edge(ops[self._decide(len(ops))], edge.source)

    def _node_cell(self, cell: SpaceCell) -> CellGenotype:
        written: list[tuple[Edge, ...]] = []
        ops: list[str] = []
        for place in range(cell.nodes):
            states = cell.inputs + place
            parents = self._several(states, min(cell.parents[place], states))
            written.append(tuple(Edge("", source) for source in sorted(parents)))
            ops.append(cell.node_ops[self._decide(len(cell.node_ops))])
        last = self._several(len(cell.output), min(cell.parents[-1], len(cell.output)))
        output = tuple(sorted(cell.output[index] for index in last))
        return CellGenotype(cell.kind, cell.inputs, tuple(written), output, tuple(ops))

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


def _sizes(cell: SpaceCell) -> Iterator[int]:
    """How many options its decisions have."""
    if cell.on_nodes:
        yield len(cell.node_ops)
        yield from range(2, cell.inputs + cell.nodes)
        yield len(cell.output)
        return
    for edge in cell.edges:
        yield len(cell.selectable(edge))
        possible = len(cell.into(edge.node))
        if cell.keep is not None and cell.keep < possible:
            yield possible
