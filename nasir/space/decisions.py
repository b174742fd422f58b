"""The decisions of one kind of cell, numbered: how many cells there are, and which is the n-th."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations_with_replacement, pairwise
from math import comb, prod
from operator import attrgetter
from random import Random
from typing import Protocol

from nasir.genotype import CellGenotype, Edge
from nasir.space.node_decisions import ModuleDecisions, ParentDecisions, Subsets
from nasir.space.space import SpaceCell, SpaceEdge

_LISTED = 4096
"""Up to this many, the ways to decide a node are written out, which makes drawing fast."""

NodeEdges = tuple[Edge, ...]


class CellDecisions(Protocol):
    """What a space needs to know of a kind of cell; a space multiplies its kinds.

    Cells come in and go out in canonical form: the one in which `unrank` gives them.
    """

    def canonical(self, cell: CellGenotype) -> CellGenotype:
        """The canonical form of a cell that the space contains."""
        ...

    @property
    def size(self) -> int:
        """The number of cells."""
        ...

    def unrank(self, index: int) -> CellGenotype:
        """The cell of that number, 0 .. size-1."""
        ...

    def rank(self, cell: CellGenotype) -> int:
        """The number of a cell of the space."""
        ...

    def neighbours(self, cell: CellGenotype) -> Iterator[CellGenotype]:
        """Every cell that differs in one decision."""
        ...

    def cross(self, first: CellGenotype, second: CellGenotype, random: Random) -> CellGenotype:
        """A cell each of whose decisions is one of the two cells'."""
        ...


def decisions(cell: SpaceCell) -> CellDecisions:
    """The numbered decisions of a kind of cell."""
    if not cell.node_ops:
        return EdgeCellDecisions(cell)
    return ParentDecisions(cell) if cell.parents else ModuleDecisions(cell)


class EdgeCellDecisions:
    """Cells whose ops sit on edges: each node keeps some edges and selects one op on each.

    A node's edges are a set, or a multiset where the space has repeats; the canonical form has them
    by source. Numbers are digits in a mixed radix, one a node, the last node varying fastest, and
    before them, where the space leaves the output open, which nodes leave the cell. Within a node
    the kept sources go in lexicographic order, then the ops in the space's order, the last edge
    varying fastest. NAS-Bench-201 is so numbered as its code enumerates it (not as its benchmark
    file is).
    """

    def __init__(self, cell: SpaceCell) -> None:
        self.cell = cell
        self.nodes = tuple(
            _node_decisions(
                tuple(
                    replace(edge, ops=cell.selectable(edge)) for edge in cell.into(cell.inputs + i)
                ),
                cell,
            )
            for i in range(cell.nodes)
        )
        counts = tuple(range(1, len(cell.output) + 1))
        self.outputs = Subsets(cell.output, counts) if cell.any_output else None
        outputs = self.outputs.size if self.outputs else 1
        self.size = prod(node.size for node in self.nodes) * outputs

    def canonical(self, cell: CellGenotype) -> CellGenotype:
        """The cell with the edges of each node in order, and its output as the space has it."""
        nodes = tuple(
            node.canonical(edges) for node, edges in zip(self.nodes, cell.nodes, strict=True)
        )
        output = tuple(sorted(cell.output)) if self.cell.any_output else self.cell.output
        return self._cell(nodes, output)

    def unrank(self, index: int) -> CellGenotype:
        """The cell of that number."""
        parts: list[NodeEdges] = []
        for node in reversed(self.nodes):
            index, digit = divmod(index, node.size)
            parts.append(node.listed[digit] if node.listed else node.unrank(digit))
        parts.reverse()
        output = self.outputs.unrank(index) if self.outputs else self.cell.output
        return self._cell(tuple(parts), output)

    def rank(self, cell: CellGenotype) -> int:
        """The number of a cell."""
        index = self.outputs.rank(cell.output) if self.outputs else 0
        for node, edges in zip(self.nodes, cell.nodes, strict=True):
            index = index * node.size + node.rank(edges)
        return index

    def neighbours(self, cell: CellGenotype) -> Iterator[CellGenotype]:
        """Every cell that differs in one edge (`NodeDecisions.neighbours`) or one output."""
        for place, (node, edges) in enumerate(zip(self.nodes, cell.nodes, strict=True)):
            for other in node.neighbours(edges):
                nodes = (*cell.nodes[:place], other, *cell.nodes[place + 1 :])
                yield self._cell(nodes, cell.output)
        for output in self.outputs.near(cell.output) if self.outputs else ():
            yield self._cell(cell.nodes, output)

    def cross(self, first: CellGenotype, second: CellGenotype, random: Random) -> CellGenotype:
        """Each node from either cell; where both keep the same sources, each edge from either."""
        nodes = tuple(
            _cross_node(one, other, random)
            for one, other in zip(first.nodes, second.nodes, strict=True)
        )
        same = first.output == second.output
        return self._cell(
            nodes, first.output if same else random.choice((first.output, second.output))
        )

    def _cell(self, nodes: tuple[NodeEdges, ...], output: tuple[int, ...]) -> CellGenotype:
        cell = self.cell
        return CellGenotype(
            cell.kind, cell.inputs, nodes, output, combine=cell.combine, join=cell.join
        )


def _node_decisions(edges: tuple[SpaceEdge, ...], cell: SpaceCell) -> "AnyNodeDecisions":
    if cell.repeats and cell.keep is not None:
        return RepeatedDecisions(edges, cell.keep)
    return NodeDecisions(edges, cell.keep)


class NodeDecisions:
    """The ways to decide one node: `keep` of its edges (None: all), and one op on each."""

    def __init__(self, edges: tuple[SpaceEdge, ...], keep: int | None) -> None:
        self.edges = edges
        self.keep = len(edges) if keep is None else min(keep, len(edges))
        self.ways = _ways(tuple(len(edge.ops) for edge in edges), self.keep)
        self.size = self.ways[self.keep][0]
        self.place = {edge.source: place for place, edge in enumerate(edges)}
        self.listed: tuple[NodeEdges, ...] = ()
        if self.size <= _LISTED:
            self.listed = tuple(self.unrank(index) for index in range(self.size))

    def canonical(self, edges: NodeEdges) -> NodeEdges:
        """The edges by source."""
        return tuple(sorted(edges, key=attrgetter("source")))

    def unrank(self, index: int) -> NodeEdges:
        """The edges of that number, by source."""
        kept: list[SpaceEdge] = []
        scale, place = 1, 0
        for left in range(self.keep - 1, -1, -1):
            while index >= (block := scale * self.block(place, left)):
                index -= block
                place += 1
            kept.append(self.edges[place])
            scale *= len(self.edges[place].ops)
            place += 1
        found: list[Edge] = []
        for edge in reversed(kept):
            index, digit = divmod(index, len(edge.ops))
            found.append(Edge(edge.ops[digit], edge.source))
        return tuple(reversed(found))

    def rank(self, edges: NodeEdges) -> int:
        """The number of a node's edges, which go by source."""
        places = [self.place[edge.source] for edge in edges]
        index, scale = 0, 1
        for left, (before, place) in zip(
            range(self.keep - 1, -1, -1), pairwise((-1, *places)), strict=True
        ):
            index += scale * sum(self.block(skipped, left) for skipped in range(before + 1, place))
            scale *= len(self.edges[place].ops)
        digits = 0
        for place, edge in zip(places, edges, strict=True):
            ops = self.edges[place].ops
            digits = digits * len(ops) + ops.index(edge.op)
        return index + digits

    def block(self, place: int, left: int) -> int:
        """The ways to keep the edge at `place` and `left` of those after it."""
        return len(self.edges[place].ops) * self.ways[left][place + 1]

    def neighbours(self, edges: NodeEdges) -> Iterator[NodeEdges]:
        """Every way that differs in one edge: in its op, or in its source.

        An edge that moves to another source keeps its op; between two edges that have no op in
        common it takes any. That makes the relation symmetric, and every way reachable.
        """
        kept = {edge.source for edge in edges}
        free = [edge for edge in self.edges if edge.source not in kept]
        for slot, edge in enumerate(edges):
            rest = (*edges[:slot], *edges[slot + 1 :])
            own = self.edges[self.place[edge.source]].ops
            moves = [Edge(op, edge.source) for op in own if op != edge.op]
            for other in free:
                ops = other.ops if set(own).isdisjoint(other.ops) else (edge.op,)
                moves += [Edge(op, other.source) for op in ops if op in other.ops]
            for move in moves:
                yield tuple(sorted((*rest, move), key=attrgetter("source")))


class RepeatedDecisions:
    """The ways to decide one node that may read one state several times: a multiset of edges.

    The edges with their ops are in one order, by source and then by op; multisets of them go in
    lexicographic order.
    """

    def __init__(self, edges: tuple[SpaceEdge, ...], keep: int) -> None:
        self.choices = tuple(Edge(op, edge.source) for edge in edges for op in edge.ops)
        self.place = {edge: place for place, edge in enumerate(self.choices)}
        self.keep = keep
        self.size = comb(len(self.choices) + keep - 1, keep)
        self.listed: tuple[NodeEdges, ...] = ()
        if self.size <= _LISTED:
            self.listed = tuple(combinations_with_replacement(self.choices, keep))

    def canonical(self, edges: NodeEdges) -> NodeEdges:
        """The edges by source and op."""
        return tuple(sorted(edges, key=self.place.__getitem__))

    def unrank(self, index: int) -> NodeEdges:
        """The edges of that number."""
        found: list[Edge] = []
        place = 0
        for left in range(self.keep - 1, -1, -1):
            while index >= (block := self.block(place, left)):
                index -= block
                place += 1
            found.append(self.choices[place])
        return tuple(found)

    def rank(self, edges: NodeEdges) -> int:
        """The number of a node's edges, which are in order."""
        index, before = 0, 0
        for left, edge in zip(range(self.keep - 1, -1, -1), edges, strict=True):
            place = self.place[edge]
            index += sum(self.block(skipped, left) for skipped in range(before, place))
            before = place
        return index

    def block(self, place: int, left: int) -> int:
        """The ways to keep the choice at `place` and `left` of those from it on."""
        return comb(len(self.choices) - place + left - 1, left)

    def neighbours(self, edges: NodeEdges) -> Iterator[NodeEdges]:
        """Every way with one edge that has another op, or another source and the same op."""
        seen = {edges}
        for slot, edge in enumerate(edges):
            rest = (*edges[:slot], *edges[slot + 1 :])
            for other in self.choices:
                if other.source == edge.source or other.op == edge.op:
                    found = self.canonical((*rest, other))
                    if found not in seen:
                        seen.add(found)
                        yield found


AnyNodeDecisions = NodeDecisions | RepeatedDecisions


def _ways(counts: tuple[int, ...], keep: int) -> list[list[int]]:
    """`ways[k][p]`: how many ways there are to keep k of the edges from place p on, ops included.

    The elementary symmetric polynomials of the numbers of ops.
    """
    ways = [[1] * (len(counts) + 1)]
    for _ in range(keep):
        row = [0] * (len(counts) + 1)
        for place in range(len(counts) - 1, -1, -1):
            row[place] = row[place + 1] + counts[place] * ways[-1][place + 1]
        ways.append(row)
    return ways


def _cross_node(first: NodeEdges, second: NodeEdges, random: Random) -> NodeEdges:
    if [edge.source for edge in first] != [edge.source for edge in second]:
        return random.choice((first, second))
    return tuple(random.choice(pair) for pair in zip(first, second, strict=True))
