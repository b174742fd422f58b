"""What training keeps for the backward pass is chosen; the rest is computed again."""

from typing import Literal

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import Macro
from nasir.ops.memory import RECOMPUTE
from nasir.passes.bodies import with_bodies
from nasir.passes.slices import crossing, homes_of, sharing_buffers, sliced

MemoryLevel = Literal["none", "cells", "states"]
"""What training keeps: everything, what crosses cells, or the states of cells."""

MEMORY_LEVELS: tuple[MemoryLevel, ...] = ("none", "cells", "states")


def recompute(graph: Graph, level: MemoryLevel) -> Graph:
    """The graph whose training keeps what the level says; the results are bitwise the same.

    `cells` keeps the values that one cell computes and another reads, `states` the sums in cells
    that no further sum takes in: the values of a cell's nodes. What leads from kept values to the
    next one becomes the body of one `recompute` node. A node that two bodies need stands in both,
    unless it has weights or draws: its value is kept then. Reductions and projections between
    cells belong to the cell that reads them; what else is outside cells stays as it is. A body (a
    recurrent cell) is recomputed whole, so that the states between its applications are kept.

    Run it on primitives and before `cse`, which would make one node of what several bodies need.
    """
    if level == "none":
        return graph
    done = {node.body for node in graph if node.has("recomputed")}
    graph = with_bodies(graph, lambda body: body if body in done else _whole(body))
    homes = homes_of(graph)
    plain = {n.name for n in graph if homes[n.name] is None or _fixed(n)} | sharing_buffers(graph)
    found = crossing(graph, homes) if level == "cells" else _sums(graph)
    return sliced(graph, found, plain, homes, RECOMPUTE)


def _whole(body: Graph) -> Graph:
    """The body, whose outputs alone are kept."""
    plain = {node.name for node in body if _fixed(node)}
    return sliced(body, (), plain, dict.fromkeys(body.by_name), RECOMPUTE)


def _fixed(node: Node) -> bool:
    """Whether no body may take the node in: macros have no weights yet."""
    return isinstance(node.op, Macro) or node.has("recomputed")


def _sums(graph: Graph) -> set[str]:
    """The states, and the sums and mixtures that are no term of another."""
    states = {node.name for node in graph if node.has("state")}
    sums = {node.name for node in graph if node.has("sum") or node.has("mixture")}
    return states | {
        name for name in sums if not (len(r := graph.readers[name]) == 1 and r[0] in sums)
    }
