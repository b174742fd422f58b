"""From the weights of a supernet's choices to a genotype: what is kept, or a draw."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from nasir.errors import NasirError
from nasir.genotype import CellGenotype, Edge, Genotype
from nasir.space.adopt import adopt
from nasir.space.space import Space, SpaceCell, SpaceEdge

Weights = Mapping[str, Sequence[float]]
"""Of each choice of a supernet, by name, the weight of each option."""


def derive(space: Space, weights: Weights, name: str = "") -> Genotype:
    """The genotype that the weights of a supernet's choices prefer, by the published rules.

    An edge scores the greatest weight among the ops that the space selects (`exclude` is left out),
    times the weight of the edge into its node where the supernet has one (PC-DARTS,
    arXiv:1907.05737); a node keeps the best `keep` edges, written by falling score, ties by source.
    Each takes its best op, ties to the first. Where a node may read a state twice (NASNet), its
    pairs of edge and op are ranked together. With ops on nodes each node takes its best op, and
    nodes and output the best inputs. Raises E401 where a choice is missing.
    """
    return _built(space, weights, name, _best)


def draw_genotype(space: Space, weights: Weights, seed: int, name: str = "") -> Genotype:
    """A genotype drawn from the weights, which need not sum to 1; it depends on the seed alone.

    Each edge draws an op in proportion to the weights of those that the space selects, and a node
    draws the edges that it keeps one after the other in proportion to the greatest such weight of
    each, times the edge's own weight where there is one. Inputs and outputs of cells with ops on
    nodes are drawn likewise. Where all weights are 0, all are equal. Raises E401 as `derive`.
    """
    random = Random(seed)

    def drawn(scores: Sequence[float], count: int) -> list[int]:
        left = list(range(len(scores)))
        chosen: list[int] = []
        for _ in range(count):
            shares = [max(scores[i], 0.0) for i in left]
            shares = shares if sum(shares) > 0 else [1.0] * len(left)
            chosen.append(random.choices(left, shares)[0])
            left.remove(chosen[-1])
        return chosen

    return _built(space, weights, name, drawn)


Pick = Callable[[Sequence[float], int], list[int]]
"""Of scores, the places of so many that are taken."""


def _best(scores: Sequence[float], count: int) -> list[int]:
    """The greatest in falling order, ties by place."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])[:count]


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes cells by picking among scores."""

    weights: Weights
    pick: Pick

    def row(self, choice: str) -> Sequence[float]:
        """The weights of a choice. Raises E401."""
        if choice not in self.weights:
            raise NasirError(
                "E401",
                f"the choice '{choice}' has no weights",
                hint="give those of every choice of the supernet",
            )
        return self.weights[choice]

    def cell(self, cell: SpaceCell) -> CellGenotype:
        """A cell of that kind."""
        if cell.on_nodes:
            return self._node_cell(cell)
        nodes = range(cell.inputs, cell.inputs + cell.nodes)
        edges = tuple(tuple(self._edges(cell, node)) for node in nodes)
        return CellGenotype(cell.kind, cell.inputs, edges, cell.output)

    def _edges(self, cell: SpaceCell, node: int) -> list[Edge]:
        edges = cell.into(node)
        if cell.repeats and cell.keep is not None:
            return self._pairs(cell, node, cell.keep)
        best = [max(self._selectable(cell, edge).values()) for edge in edges]
        into = self.weights.get(f"{cell.kind}/n{node}")
        if into is not None:
            best = [score * weight for score, weight in zip(best, into, strict=True)]
        places = range(len(edges))
        if cell.keep is not None:
            places = self.pick(best, min(cell.keep, len(edges)))
        return [Edge(self._op(cell, edges[place]), edges[place].source) for place in places]

    def _pairs(self, cell: SpaceCell, node: int, keep: int) -> list[Edge]:
        """The best pairs of edge and op, two of which may read one state."""
        pairs = [
            (Edge(op, edge.source), weight)
            for edge in cell.into(node)
            for op, weight in self._selectable(cell, edge).items()
        ]
        return [pairs[place][0] for place in self.pick([weight for _, weight in pairs], keep)]

    def _selectable(self, cell: SpaceCell, edge: SpaceEdge) -> dict[str, float]:
        row = self.row(f"{cell.kind}/n{edge.node}.e{edge.source}")
        allowed = set(cell.selectable(edge))
        return {op: w for op, w in zip(edge.ops, row, strict=True) if op in allowed}

    def _op(self, cell: SpaceCell, edge: SpaceEdge) -> str:
        scores = self._selectable(cell, edge)
        return list(scores)[self.pick(list(scores.values()), 1)[0]]

    def _node_cell(self, cell: SpaceCell) -> CellGenotype:
        ops = [
            cell.node_ops[self.pick(self.row(f"{cell.kind}/n{node}"), 1)[0]]
            for node in range(cell.inputs, cell.inputs + cell.nodes)
        ]
        nodes: list[tuple[Edge, ...]] = []
        for place in range(cell.nodes):
            states = range(cell.inputs + place)
            read = self._several(
                f"{cell.kind}/n{cell.inputs + place}.in", states, cell.parents[place]
            )
            nodes.append(tuple(Edge("", source) for source in read))
        output = self._several(f"{cell.kind}/out", cell.output, cell.parents[-1])
        return CellGenotype(cell.kind, cell.inputs, tuple(nodes), output, tuple(ops))

    def _several(self, choice: str, states: Sequence[int], wanted: int) -> tuple[int, ...]:
        """The states that are read, in order; no choice where all are."""
        if wanted >= len(states):
            return tuple(states)
        return tuple(sorted(states[i] for i in self.pick(self.row(choice), wanted)))


def _built(space: Space, weights: Weights, name: str, pick: Pick) -> Genotype:
    maker = _Maker(weights, pick)
    cells = tuple(maker.cell(cell) for cell in space.cells)
    return adopt(Genotype(space.name, cells, name=name, definition=space), space)
