"""Cells whose ops stand on nodes: NAS-Bench-101's modules, and the cells that a space has.

The benchmark (arXiv:1902.09635) describes a cell as a graph of vertices: the input is vertex 0, the
output the last, and the ops stand on those between. It has every module within its limits,
NAS-Bench-1Shot1 those with given numbers of parents.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from hashlib import md5
from itertools import accumulate
from random import Random

from nasir.errors import NasirError
from nasir.space.decisions import CellGenotype, Edge, SpaceCell, TreeDecisions, misfits

INPUT, OUTPUT = "input", "output"

OPS = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The benchmark's ops. Their order is part of the hash."""

VERTEX_LIMIT = 7
EDGE_LIMIT = 9
"""The benchmark's limits, input and output counted (its README swaps the two numbers)."""

KIND = "cell"


@dataclass(frozen=True, slots=True)
class Module:
    """`matrix[x][y]` is 1 where vertex x feeds vertex y > x, else 0; `ops` are the vertices'.

    The first op is `input`, the last `output`.
    """

    matrix: tuple[tuple[int, ...], ...]
    ops: tuple[str, ...]

    @property
    def edges(self) -> int:
        """The number of edges, those from the input and into the output included."""
        return sum(map(sum, self.matrix))


def module_of(cell: CellGenotype) -> Module:
    """The cell as a module: state i is vertex i, and the output the last vertex.

    Raises an error for ops on edges and for more than one input.
    """
    for reason in misfits(cell, 1, on_nodes=True):
        raise NasirError(
            "E208",
            f"nasbench101 cannot express cell '{cell.kind}': {reason}",
            hint="the format 'nasir' holds every genotype",
        )
    readers = (*cell.sources, cell.output)
    size = len(readers) + 1
    rows = [[0] * size for _ in range(size)]
    for vertex, sources in enumerate(readers, start=1):
        for source in sources:
            rows[source][vertex] = 1
    return Module(tuple(map(tuple, rows)), (INPUT, *cell.ops, OUTPUT))


def cell_of(module: Module, kind: str = KIND) -> CellGenotype:
    """The module as a cell. Every vertex but the first must read another one."""
    sources = [
        tuple(source for source in range(vertex) if module.matrix[source][vertex])
        for vertex in range(len(module.ops))
    ]
    nodes = tuple(tuple(Edge("", source) for source in row) for row in sources[1:-1])
    return CellGenotype(kind, 1, nodes, sources[-1], ops=module.ops[1:-1])


def pruned(module: Module) -> Module | None:
    """The module without vertices that no path from input to output passes.

    None where there is no such path: the benchmark calls that module invalid.
    """
    size = len(module.ops)
    reached, needed = {0}, {size - 1}
    for vertex in range(1, size):
        if any(module.matrix[source][vertex] for source in reached):
            reached.add(vertex)
    for vertex in reversed(range(size - 1)):
        if any(module.matrix[vertex][reader] for reader in needed):
            needed.add(vertex)
    kept = sorted(reached & needed)
    if len(kept) == size:
        return module
    if 0 not in kept or size - 1 not in kept:
        return None
    return _part(module, kept)


def started(module: Module) -> Module:
    """The module without vertices that the input does not reach; the output stays in any case."""
    reached = [0]
    for vertex in range(1, len(module.ops)):
        last = vertex == len(module.ops) - 1
        if last or any(module.matrix[source][vertex] for source in reached):
            reached.append(vertex)
    return _part(module, reached)


def live_cell(cell: CellGenotype) -> CellGenotype:
    """The cell after pruning: what the network of NAS-Bench-101 is built from.

    Raises an error when the input does not reach the output, and what `module_of` raises.
    """
    module = pruned(module_of(cell))
    if module is None:
        raise NasirError(
            "E202", f"the output of cell '{cell.kind}' cannot be reached from its input"
        )
    return cell_of(module, cell.kind)


def limits_broken(
    module: Module,
    ops: tuple[str, ...] = OPS,
    vertices: int = VERTEX_LIMIT,
    edges: int = EDGE_LIMIT,
) -> tuple[str, ...]:
    """Why no such module is allowed; empty where it is. Limits hold after pruning."""
    live = pruned(module)
    if live is None:
        return ("the input does not reach the output",)
    reasons = [
        f"the op '{op}' is not allowed" for op in dict.fromkeys(live.ops[1:-1]) if op not in ops
    ]
    if len(live.ops) > vertices:
        reasons.append(f"it has {len(live.ops)} vertices, and at most {vertices} are allowed")
    if live.edges > edges:
        reasons.append(f"it has {live.edges} edges, and at most {edges} are allowed")
    return tuple(reasons)


@lru_cache(maxsize=1 << 16)
def module_hash(module: Module) -> str:
    """The hash of a pruned module.

    Every vertex starts as the hash of its degrees and its label and then, as often as there are
    vertices, takes up its neighbours' hashes. The text that is hashed first has Python's integers:
    a matrix of floating-point numbers would give another hash.
    """
    size = len(module.ops)
    into = [[x for x in range(size) if module.matrix[x][y]] for y in range(size)]
    out = [[y for y in range(size) if module.matrix[x][y]] for x in range(size)]
    labels = [-1, *(OPS.index(op) for op in module.ops[1:-1]), -2]
    names = [_digest(str((len(out[v]), len(into[v]), labels[v]))) for v in range(size)]
    for _ in range(size):
        names = [
            _digest(
                "".join(sorted(names[x] for x in into[v]))
                + "|"
                + "".join(sorted(names[x] for x in out[v]))
                + "|"
                + names[v]
            )
            for v in range(size)
        ]
    return _digest(str(sorted(names)))


def _digest(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def _part(module: Module, kept: list[int]) -> Module:
    """The vertices `kept` and the edges among them."""
    matrix = tuple(tuple(module.matrix[x][y] for y in kept) for x in kept)
    return Module(matrix, tuple(module.ops[vertex] for vertex in kept))


def matrix_count(size: int, most_edges: int) -> int:
    """The number of matrices of `size` vertices that pruning leaves whole."""
    return _columns(size - 1, 0, most_edges)


def matrix_unrank(size: int, most_edges: int, index: int) -> int:
    """The number of the index-th matrix that pruning leaves whole, in the order of numbers."""
    bits, covered, left = 0, 0, most_edges
    for column in range(size - 1, 0, -1):
        for subset in range(1, 1 << column):
            ways = _ways(column, subset, covered, left)
            if index < ways:
                break
            index -= ways
        else:
            raise AssertionError("the index is past the last matrix")
        bits |= subset << _bit(0, column)
        covered, left = covered | subset, left - subset.bit_count()
    return bits


def matrix_number(matrix: tuple[tuple[int, ...], ...], most_edges: int) -> int:
    """The index of a matrix among those that pruning leaves whole: `matrix_unrank` inverts it."""
    index, covered, left = 0, 0, most_edges
    for column in range(len(matrix) - 1, 0, -1):
        own = sum(matrix[row][column] << row for row in range(column))
        index += sum(_ways(column, subset, covered, left) for subset in range(1, own))
        covered, left = covered | own, left - own.bit_count()
    return index


def module_from(bits: int, ops: tuple[str, ...]) -> Module:
    """The module of a matrix's number and the ops of its inner vertices."""
    return Module(_matrix(bits, len(ops) + 2), (INPUT, *ops, OUTPUT))


def _ways(column: int, subset: int, covered: int, left: int) -> int:
    """The ways to fill the columns before `column` when it reads `subset`."""
    count = subset.bit_count()
    covered |= subset
    if count > left or not covered >> (column - 1) & 1:
        return 0
    return _columns(column - 1, covered & ((1 << (column - 1)) - 1), left - count)


@cache
def _columns(column: int, covered: int, left: int) -> int:
    """The ways to fill columns 1 .. column: none is empty, and every vertex before the next column
    is read by one of them or is in `covered`; `left` edges are left.

    Vertex v can be read by later columns only, so that it must be covered once column v + 1 is set.
    """
    if column == 0:
        return 1
    return sum(_ways(column, subset, covered, left) for subset in range(1, 1 << column))


def _bit(x: int, y: int) -> int:
    return x + y * (y - 1) // 2


def _matrix(bits: int, size: int) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(bits >> _bit(x, y) & 1 if x < y else 0 for y in range(size)) for x in range(size)
    )


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

    def reasons(self, cell: CellGenotype) -> Iterator[str]:
        """Why a cell is not one of these."""
        own = self.cell
        limits = (own.node_ops, own.nodes + 2, own.most_edges)
        for reason in limits_broken(module_of(cell), *limits):
            yield f"cell '{cell.kind}': {reason}"

    def canonical(self, cell: CellGenotype) -> CellGenotype:
        """The cell as pruning leaves it, its sources in order."""
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
        shared = [random.choice(pair) for pair in zip(first.ops, second.ops, strict=False)]
        return replace(base, ops=(*shared, *base.ops[len(shared) :]))

    def _fits(self, cell: CellGenotype) -> bool:
        module = module_of(cell)
        return (
            len(cell.nodes) <= self.cell.nodes
            and module.edges <= self.cell.most_edges
            and pruned(module) == module
        )


CellDecisions = TreeDecisions | ModuleDecisions


def decisions(cell: SpaceCell) -> CellDecisions:
    """The numbered decisions of a kind of cell.

    Cells come in and go out in canonical form: the one in which `unrank` gives them.
    """
    return ModuleDecisions(cell) if cell.most_edges else TreeDecisions(cell)


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
    """The rest of a number whose last digits are ops, and the ops."""
    base = len(names)
    rest: int = index // base**count
    digits: list[int] = [index // base**place % base for place in reversed(range(count))]
    return rest, tuple([names[digit] for digit in digits])


def _with_ops(index: int, names: tuple[str, ...], ops: tuple[str, ...]) -> int:
    for op in ops:
        index = index * len(names) + names.index(op)
    return index


def _other_ops(cell: CellGenotype, names: tuple[str, ...]) -> Iterator[CellGenotype]:
    for place, op in enumerate(cell.ops):
        for other in names:
            if other != op:
                yield replace(cell, ops=(*cell.ops[:place], other, *cell.ops[place + 1 :]))
