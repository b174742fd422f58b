"""One numbering for all cells with ops on nodes that are the same module."""

from collections.abc import Iterator
from hashlib import sha256
from itertools import groupby, permutations, product
from math import factorial, prod

from nasir.canonical.labelling import Labelling
from nasir.genotype import CellGenotype
from nasir.limits import LABEL_STEPS, Budget
from nasir.nasbench101 import Module, module_of, pruned

_MOST_ORDERS = 5040
"""Up to this many orders of a module's vertices are tried."""

Order = tuple[int, ...]


def label_module(cell: CellGenotype) -> Labelling:
    """The canonical numbering of what pruning leaves of a cell with ops on nodes.

    Vertices may be renamed, but those that the output reads keep their order among themselves: in
    NAS-Bench-101 the first of them get the channels that the division leaves over, so that
    isomorphic modules, which share the benchmark's hash, can compute different functions. All that
    a vertex reads and its op count, poolings too: no two vertices are one. Of a module with very
    many vertices that look alike only some orders are tried, which tells equal ones apart but never
    makes different ones equal. Raises an error for more than 128 vertices.

    `edges` has the live nodes, each as (its state, 0).
    """
    Budget(LABEL_STEPS, "the id", "steps").spend((len(cell.nodes) + 2) ** 3)  # of the colours
    module = module_of(cell)
    live = pruned(module)
    if live is None:
        return Labelling(sha256(b"unreachable").digest(), (), ())
    states = _live_states(module)
    code, order = min((_code(live, order), order) for order in _orders(live))
    outputs = sum(row[-1] for row in live.matrix)
    digest = sha256(repr(("module", code)).encode()).digest()
    return Labelling(
        digest, tuple((states[vertex], 0) for vertex in order[1:-1]), tuple(range(outputs))
    )


def _live_states(module: Module) -> list[int]:
    """The vertices that pruning keeps, by their place among them."""
    size = len(module.ops)
    marked = Module(module.matrix, tuple(str(vertex) for vertex in range(size)))
    live = pruned(marked)
    assert live is not None
    return [int(name) for name in live.ops]


def _code(module: Module, order: Order) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """The module with its vertices in that order, as text and numbers that can be compared."""
    ops = tuple(module.ops[vertex] for vertex in order)
    place = {vertex: number for number, vertex in enumerate(order)}
    reads = tuple(
        tuple(sorted(place[x] for x in range(len(order)) if module.matrix[x][vertex]))
        for vertex in order
    )
    return ops, reads


def _orders(module: Module) -> Iterator[Order]:
    """Orders of the vertices that isomorphic modules have in common; at least one.

    Vertices that differ in colour go by colour; those of one colour in every order.
    """
    colours = _colours(module)
    ranked = sorted(range(1, len(module.ops) - 1), key=lambda v: colours[v])
    classes = [tuple(same) for _, same in groupby(ranked, key=lambda v: colours[v])]
    last = len(module.ops) - 1
    orders = prod(factorial(len(same)) for same in classes)
    if orders > _MOST_ORDERS or orders * last**2 > LABEL_STEPS:
        yield (0, *ranked, last)
        return
    for parts in product(*(permutations(same) for same in classes)):
        yield (0, *(vertex for part in parts for vertex in part), last)


def _colours(module: Module) -> list[bytes]:
    """A colour for each vertex that does not depend on its number, refined by its neighbours'.

    It starts with the op and, for what the output reads, the place among those.
    """
    size = len(module.ops)
    feeding = [vertex for vertex in range(size) if module.matrix[vertex][-1]]
    places = {vertex: place for place, vertex in enumerate(feeding)}
    colours = [
        repr((vertex in (0, size - 1), op, places.get(vertex, -1))).encode()
        for vertex, op in enumerate(module.ops)
    ]
    for _ in range(size):
        colours = [
            sha256(
                b"|".join(
                    (
                        colours[v],
                        b",".join(sorted(colours[x] for x in range(size) if module.matrix[x][v])),
                        b",".join(sorted(colours[y] for y in range(size) if module.matrix[v][y])),
                    )
                )
            ).digest()
            for v in range(size)
        ]
    return colours
