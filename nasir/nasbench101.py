"""NAS-Bench-101's modules: a matrix and its ops, what pruning leaves of them, limits, and the hash.

The benchmark (arXiv:1902.09635) describes a cell as a graph of vertices: the input is vertex 0,
the output the last, and the ops stand on those between.
"""

from dataclasses import dataclass
from functools import lru_cache
from hashlib import md5

from nasir.errors import NasirError
from nasir.genotype import CellGenotype, Edge

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
    if cell.inputs != 1 or (cell.nodes and not cell.ops):
        what = "its ops stand on edges" if cell.inputs == 1 else f"{cell.inputs} inputs, not 1"
        raise NasirError(
            "E208",
            f"nasbench101 cannot express cell '{cell.kind}': {what}",
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


def one_shot_module(cell: CellGenotype) -> Module:
    """The cell of NAS-Bench-1Shot1 as its code asks NAS-Bench-101 for it.

    Nodes that the output does not need have no edges. Cells of four nodes get a fifth one, a 1x1
    convolution without edges, so that every matrix is 7x7. Pruning removes all of these.
    """
    module = module_of(cell)
    size = len(module.ops)
    needed = {size - 1}
    for vertex in reversed(range(size - 1)):
        if any(module.matrix[vertex][reader] for reader in needed):
            needed.add(vertex)
    rows = [
        [x in needed and y in needed and edge for y, edge in enumerate(row)]
        for x, row in enumerate(module.matrix)
    ]
    ops = list(module.ops)
    if len(cell.nodes) == VERTEX_LIMIT - 3:
        rows = [[*row[:-1], 0, row[-1]] for row in (*rows[:-1], [0] * size, rows[-1])]
        ops.insert(-1, "conv1x1-bn-relu")
    return Module(tuple(tuple(map(int, row)) for row in rows), tuple(ops))


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
