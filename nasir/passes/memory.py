"""Moves nodes into bodies: recomputation for backward, and one call per cell."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal

from nasir.graph import Graph, body_of
from nasir.node import Cell, Node, default_params
from nasir.ops import Macro, OpSpec, ParamRef
from nasir.ops.fused import CALL, RECOMPUTE
from nasir.passes.rewriting import with_bodies
from nasir.template import make_attrs, meaning

MemoryLevel = Literal["none", "cells", "states"]
"""The values that training saves: all, those that cross cells, or the states of cells."""

MEMORY_LEVELS: tuple[MemoryLevel, ...] = ("none", "cells", "states")


def recompute(graph: Graph, level: MemoryLevel) -> Graph:
    """The graph whose training saves the values of a level; results are bitwise equal.

    `cells` saves the values that one cell computes and another reads, `states` the outermost sums
    in cells: the values of a cell's nodes. The nodes between saved values become bodies of
    `recompute` nodes. A node that two bodies need is in both, unless it has weights or draws: its
    value is saved then. Reductions and projections between cells belong to the cell that reads
    them; other nodes outside cells are unchanged. A body (a recurrent cell) is recomputed whole:
    the states between its applications are saved.

    Run it on primitives and before `cse`, which would merge nodes that several bodies need.
    """
    if level == "none":
        return graph
    done = {body_of(node) for node in graph if node.has("recomputed")}
    graph = with_bodies(graph, lambda body: body if body in done else _whole(body))
    homes = homes_of(graph)
    plain = {n.name for n in graph if homes[n.name] is None or _fixed(n)} | sharing_buffers(graph)
    found = crossing(graph, homes) if level == "cells" else _sums(graph)
    return sliced(graph, found, plain, homes, RECOMPUTE)


def _whole(body: Graph) -> Graph:
    """The body that saves its outputs alone."""
    plain = {node.name for node in body if _fixed(node)}
    return sliced(body, (), plain, dict.fromkeys(body.by_name), RECOMPUTE)


def _fixed(node: Node) -> bool:
    """True if the node cannot move into a body: macros have no weights yet."""
    return isinstance(node.op, Macro) or node.has("recomputed")


def _sums(graph: Graph) -> set[str]:
    """The states, and the sums and mixtures that are not terms of another."""
    states = {node.name for node in graph if node.has("state")}
    sums = {node.name for node in graph if node.has("sum") or node.has("mixture")}
    return states | {
        name for name in sums if not (len(r := graph.readers[name]) == 1 and r[0] in sums)
    }


def call_cells(graph: Graph) -> Graph:
    """The graph where each value that leaves a cell is one `call` of a body.

    Cells of one kind and size have equal bodies. Nodes outside cells and nodes with bodies are
    unchanged. Results are bitwise equal. Run it last.
    """
    return called(graph, homes_of(graph))


def called(graph: Graph, homes: Mapping[str, Cell | None]) -> Graph:
    """The same for nodes with these cells."""
    plain = {node.name for node in graph if homes[node.name] is None or _applied(node)}
    return sliced(graph, crossing(graph, homes), plain | sharing_buffers(graph), homes, CALL)


def _applied(node: Node) -> bool:
    return isinstance(node.op, Macro) or node.body is not None


def cells_of(graph: Graph) -> dict[str, Cell | None]:
    """The cell that each node belongs to itself."""
    return {node.name: node.cell for node in graph}


def homes_of(graph: Graph) -> dict[str, Cell | None]:
    """The cell of each node; a node between cells has the cell that alone reads it."""
    behind: set[str] = set()
    for node in graph:
        if node.cell or not behind.isdisjoint(node.inputs):
            behind.add(node.name)
    homes: dict[str, Cell | None] = {}
    for node in reversed(graph.nodes):
        readers = {homes[name] for name in graph.readers[node.name]}
        alone = readers.pop() if len(readers) == 1 and node.name in behind else None
        homes[node.name] = node.cell or alone
    return homes


def sharing_buffers(graph: Graph) -> set[str]:
    """The nodes that share a running statistic, which they must update in order."""
    users: dict[str, list[str]] = {}
    for node in graph:
        for ref in node.params:
            if ref.buffer:
                users.setdefault(ref.key, []).append(node.name)
    return {name for names in users.values() if len(names) > 1 for name in names}


def crossing(graph: Graph, homes: Mapping[str, Cell | None]) -> set[str]:
    """The values that a node of another cell reads."""
    return {
        name
        for name, home in homes.items()
        if any(homes[reader] != home for reader in graph.readers[name])
    }


def sliced(
    graph: Graph,
    found: Iterable[str],
    plain: Collection[str],
    homes: Mapping[str, Cell | None],
    op: OpSpec,
) -> Graph:
    """The graph where each saved value that is not `plain` is one node of `op` with a body.

    Saved values are `found`, `plain`, the outputs, and those that `_slices` adds. The body has the
    nodes between the value and the saved values that it depends on.
    """
    slices = _slices(graph, {*found, *plain, *graph.results}, plain)
    if all(len(nodes) == 1 for nodes in slices.values()):
        return graph
    nodes = (_node(graph, inner, homes[name], op) for name, inner in slices.items())
    return graph.with_nodes(nodes)


def _slices(graph: Graph, kept: set[str], plain: Collection[str]) -> dict[str, list[Node]]:
    """The nodes between each saved value and the saved values that it depends on, in order.

    Adds to the saved values the inputs of `plain` nodes, the values without readers, and the nodes
    with weights or draws that would be in two slices.
    """
    owners: dict[str, set[str]] = {name: set() for name in graph.types}
    for node in reversed(graph.nodes):
        own = owners[node.name]
        once = node.params or node.has("random")
        if node.name in kept or not own or (once and len(own) > 1):
            kept.add(node.name)
            own = owners[node.name] = {node.name}
        for name in node.inputs:
            if node.name in plain:
                kept.add(name)
            else:
                owners[name] |= own
    slices: dict[str, list[Node]] = {node.name: [] for node in graph if node.name in kept}
    for node in graph:
        for owner in owners[node.name]:
            slices[owner].append(node)
    return slices


def _node(graph: Graph, nodes: list[Node], home: Cell | None, op: OpSpec) -> Node:
    """The nodes as one node, under the name of the last; a single node is unchanged."""
    last = nodes[-1]
    if len(nodes) == 1:
        return last
    names = {node.name for node in nodes}
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name not in names)
    body, params = _body(graph, nodes, tuple(read), home)
    attrs = make_attrs(op, {"body": body})
    return replace(last, op=op, inputs=tuple(read), attrs=attrs, params=params)


def _body(
    graph: Graph, nodes: list[Node], read: tuple[str, ...], home: Cell | None
) -> tuple[Graph, tuple[ParamRef, ...]]:
    """The nodes as a graph, and the weights of its `params`.

    Names and keys say places in the cell and ops, so that equal cells have equal bodies.
    """
    names = _names(graph, nodes, read)
    formal: dict[str, ParamRef] = {}
    for node in nodes:
        specs = meaning(node.op, node.attrs, graph.types_of(node)).params
        for ref, own in zip(node.params, default_params(names[node.name], specs), strict=True):
            formal.setdefault(ref.key, own)
    inner = [
        replace(
            node.rewired(names),
            name=names[node.name],
            params=tuple(formal[ref.key] for ref in node.params),
            at=None,
        )
        for node in nodes
    ]
    body = Graph(
        nodes=tuple(inner),
        inputs=tuple((names[name], graph.types[name]) for name in read),
        outputs=(inner[-1].name,),
        choices=tuple(choice for choice in graph.choices if choice.name in read),
        meta=(("cell", home.kind),) if home else (),
    )
    return body, tuple({ref.key: ref for node in nodes for ref in node.params}.values())


def _names(graph: Graph, nodes: list[Node], read: tuple[str, ...]) -> dict[str, str]:
    """The names in a body: places and ops, `x1`, `x2` … for inputs; choices keep theirs."""
    names = {choice.name: choice.name for choice in graph.choices if choice.name in read}
    inputs = (name for name in read if name not in names)
    names |= {name: f"x{number}" for number, name in enumerate(inputs, start=1)}
    taken, counts = {*names.values()}, Counter[str]()
    for node in nodes:
        stem = name = "/".join(filter(None, (node.at and node.at.local, node.op.name)))
        while name in taken:
            counts[stem] += 1
            name = f"{stem}{counts[stem] + 1}"
        names[node.name] = name
        taken.add(name)
    return names
