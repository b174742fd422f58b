"""The numbered decisions of cells whose ops stand on nodes: parents by number, or modules."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from math import comb, prod
from random import Random

from nasir.genotype import CellGenotype, Edge
from nasir.nasbench101 import cell_of, live_cell, module_of, pruned
from nasir.space.node_cells import matrix_count, matrix_number, matrix_unrank, module_from
from nasir.space.space import SpaceCell

Row = tuple[int, ...]


class Subsets:
    """The subsets of some states with these numbers of members, numbered without being listed.

    They go by the numbers in the order given, and those of one number in lexicographic order.
    """

    def __init__(self, states: Row, counts: Row) -> None:
        self.states = states
        self.place = {state: place for place, state in enumerate(states)}
        self.counts = counts
        self.size = sum(comb(len(states), count) for count in counts)

    def unrank(self, index: int) -> Row:
        """The subset of that number, in the order of the states."""
        for count in self.counts:
            ways = comb(len(self.states), count)
            if index < ways:
                return self._of(count, index)
            index -= ways
        raise AssertionError("the index is past the last subset")

    def rank(self, row: Row) -> int:
        """The number of a subset in the order of the states: `unrank` inverts it."""
        size = len(self.states)
        before = self.counts[: self.counts.index(len(row))]
        index = sum(comb(size, count) for count in before)
        start = 0
        for left, state in zip(range(len(row) - 1, -1, -1), row, strict=True):
            place = self.place[state]
            index += sum(comb(size - other - 1, left) for other in range(start, place))
            start = place + 1
        return index

    def near(self, row: Row) -> list[Row]:
        """The subsets with one member other, more or less, where their number allows; by number."""
        others = [state for state in self.states if state not in row]
        less = [tuple(state for state in row if state != gone) for gone in row]
        found = [*less, *((*row, new) for new in others)] if len(self.counts) > 1 else []
        if len(self.counts) == 1:
            found = [(*rest, new) for rest in less for new in others]
        ordered = (tuple(sorted(each, key=self.place.__getitem__)) for each in found)
        return sorted((each for each in ordered if len(each) in self.counts), key=self.rank)

    def _of(self, count: int, index: int) -> Row:
        found: list[int] = []
        place = 0
        for left in range(count - 1, -1, -1):
            while index >= (block := comb(len(self.states) - place - 1, left)):
                index -= block
                place += 1
            found.append(self.states[place])
            place += 1
        return tuple(found)


class ParentDecisions:
    """Cells of NAS-Bench-1Shot1: each node and the output reads a given number of earlier states.

    Numbers are digits in a mixed radix: what each node and then the output reads (combinations in
    lexicographic order), then the nodes' ops, the last one varying fastest.
    """

    def __init__(self, cell: SpaceCell) -> None:
        self.cell = cell
        self.rows = tuple(
            Subsets(tuple(range(node)), (keep,)) for node, keep in enumerate(cell.parents, start=1)
        )
        self.size = prod(choices.size for choices in self.rows) * len(cell.node_ops) ** cell.nodes

    def canonical(self, cell: CellGenotype) -> CellGenotype:
        """The cell with the sources of each node and of the output in order."""
        rows = [tuple(sorted(row)) for row in (*cell.sources, cell.output)]
        return self._cell(rows, cell.ops)

    def unrank(self, index: int) -> CellGenotype:
        """The cell of that number."""
        index, ops = _ops(index, self.cell.node_ops, self.cell.nodes)
        rows: list[Row] = []
        for choices in reversed(self.rows):
            index, digit = divmod(index, choices.size)
            rows.append(choices.unrank(digit))
        return self._cell(rows[::-1], ops)

    def rank(self, cell: CellGenotype) -> int:
        """The number of a cell."""
        index = 0
        for choices, row in zip(self.rows, (*cell.sources, cell.output), strict=True):
            index = index * choices.size + choices.rank(row)
        return _with_ops(index, self.cell.node_ops, cell.ops)

    def neighbours(self, cell: CellGenotype) -> Iterator[CellGenotype]:
        """Every cell that differs in one op, or in one thing that a node or the output reads."""
        yield from _other_ops(cell, self.cell.node_ops)
        rows = [*cell.sources, cell.output]
        for place, row in enumerate(rows):
            for other in self.rows[place].near(row):
                yield self._cell([*rows[:place], other, *rows[place + 1 :]], cell.ops)

    def cross(self, first: CellGenotype, second: CellGenotype, random: Random) -> CellGenotype:
        """What each node reads, and its op, from either cell."""
        pairs = zip((*first.sources, first.output), (*second.sources, second.output), strict=True)
        rows = [random.choice(pair) for pair in pairs]
        return self._cell(rows, _cross_ops(first.ops, second.ops, random))

    def _cell(self, rows: list[Row], ops: tuple[str, ...]) -> CellGenotype:
        nodes = tuple(tuple(Edge("", source) for source in row) for row in rows[:-1])
        return CellGenotype(self.cell.kind, 1, nodes, tuple(rows[-1]), ops=ops)


class ModuleDecisions:
    """NAS-Bench-101's modules, those that pruning leaves as they are, within the space's limits.

    Numbers go by the number of vertices, then by the matrix (edge x to y is bit x + y (y - 1) / 2
    of its number), then by the ops, the last one varying fastest. The canonical form of a cell is
    what pruning leaves of it; isomorphic modules count apart.
    """

    def __init__(self, cell: SpaceCell) -> None:
        self.cell = cell
        sizes = [
            matrix_count(nodes + 2, cell.most_edges) * len(cell.node_ops) ** nodes
            for nodes in range(cell.nodes + 1)
        ]
        self.starts = (0, *accumulate(sizes))
        self.size = self.starts[-1]

    def canonical(self, cell: CellGenotype) -> CellGenotype:
        """What pruning leaves of the cell, its sources in order."""
        return live_cell(cell)

    def unrank(self, index: int) -> CellGenotype:
        """The cell of that number."""
        nodes = bisect_right(self.starts, index) - 1
        number, ops = _ops(index - self.starts[nodes], self.cell.node_ops, nodes)
        bits = matrix_unrank(nodes + 2, self.cell.most_edges, number)
        return cell_of(module_from(bits, ops), self.cell.kind)

    def rank(self, cell: CellGenotype) -> int:
        """The number of a cell in canonical form."""
        module = module_of(cell)
        number = matrix_number(module.matrix, self.cell.most_edges)
        return self.starts[len(cell.nodes)] + _with_ops(number, self.cell.node_ops, cell.ops)

    def neighbours(self, cell: CellGenotype) -> Iterator[CellGenotype]:
        """Every cell with one other op, one edge more or less, or one node more or less.

        An edge comes or goes where no other vertex is pruned by it; a node comes onto an edge, or
        goes from between the only vertex it reads and the only one that reads it.
        """
        yield from _other_ops(cell, self.cell.node_ops)
        seen: set[CellGenotype] = set()
        for rows in (*_flipped(cell), *_with_a_node(cell, self.cell), *_without_a_node(cell)):
            if rows not in seen and self._fits(rows):
                seen.add(rows)
                yield rows

    def cross(self, first: CellGenotype, second: CellGenotype, random: Random) -> CellGenotype:
        """The edges of either cell; the op of each node from either that has such a node."""
        base = random.choice((first, second))
        shared = _cross_ops(first.ops, second.ops, random)
        return replace(base, ops=(*shared, *base.ops[len(shared) :]))

    def _fits(self, cell: CellGenotype) -> bool:
        module = module_of(cell)
        return (
            len(cell.nodes) <= self.cell.nodes
            and module.edges <= self.cell.most_edges
            and pruned(module) == module
        )


def _flipped(cell: CellGenotype) -> Iterator[CellGenotype]:
    """The cell with each possible edge there or not there the other way round."""
    rows = [set(row) for row in (*cell.sources, cell.output)]
    for vertex in range(1, len(rows) + 1):
        for source in range(vertex):
            other = [row if v != vertex else row ^ {source} for v, row in enumerate(rows, start=1)]
            if all(other):
                yield _from_rows(cell, other, cell.ops)


def _with_a_node(cell: CellGenotype, space: SpaceCell) -> Iterator[CellGenotype]:
    """The cell with a new node on each edge, at every place in the order between its ends."""
    rows = [set(row) for row in (*cell.sources, cell.output)]
    for reader, row in enumerate(rows, start=1):
        for source in row:
            for place in range(source + 1, reader + 1):
                moved = [{s + (s >= place) for s in r} for r in rows]
                moved[reader - 1] = moved[reader - 1] - {source} | {place}
                moved.insert(place - 1, {source})
                for op in space.node_ops:
                    ops = (*cell.ops[: place - 1], op, *cell.ops[place - 1 :])
                    yield _from_rows(cell, moved, ops)


def _without_a_node(cell: CellGenotype) -> Iterator[CellGenotype]:
    """The cell without each node that only joins one vertex to one other that it does not feed."""
    rows = [set(row) for row in (*cell.sources, cell.output)]
    for place in range(1, len(rows)):
        readers = [v for v, row in enumerate(rows, start=1) if place in row]
        if len(rows[place - 1]) != 1 or len(readers) != 1:
            continue
        (source,) = rows[place - 1]
        row = rows[readers[0] - 1]
        if source in row:
            continue
        left = [r if v != readers[0] else row - {place} | {source} for v, r in enumerate(rows, 1)]
        del left[place - 1]
        shrunk = [{s - (s > place) for s in r} for r in left]
        yield _from_rows(cell, shrunk, (*cell.ops[: place - 1], *cell.ops[place:]))


def _from_rows(cell: CellGenotype, rows: list[set[int]], ops: tuple[str, ...]) -> CellGenotype:
    *inner, output = (tuple(sorted(row)) for row in rows)
    nodes = tuple(tuple(Edge("", source) for source in row) for row in inner)
    return replace(cell, nodes=nodes, output=output, ops=ops)


def _ops(index: int, names: tuple[str, ...], count: int) -> tuple[int, tuple[str, ...]]:
    """What is left of a number whose last digits are ops, and the ops."""
    ops: list[str] = []
    for _ in range(count):
        index, digit = divmod(index, len(names))
        ops.append(names[digit])
    return index, tuple(reversed(ops))


def _with_ops(index: int, names: tuple[str, ...], ops: tuple[str, ...]) -> int:
    for op in ops:
        index = index * len(names) + names.index(op)
    return index


def _other_ops(cell: CellGenotype, names: tuple[str, ...]) -> Iterator[CellGenotype]:
    for place, op in enumerate(cell.ops):
        for other in names:
            if other != op:
                yield replace(cell, ops=(*cell.ops[:place], other, *cell.ops[place + 1 :]))


def _cross_ops(first: tuple[str, ...], second: tuple[str, ...], random: Random) -> tuple[str, ...]:
    return tuple(random.choice(pair) for pair in zip(first, second, strict=False))
