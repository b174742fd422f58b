"""Nodes that lead to chosen values become single nodes, whose bodies are graphs of them."""

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Cell, Node
from nasir.ops import OpSpec, ParamRef
from nasir.template import make_attrs
from nasir.types import WeightsType


def homes_of(graph: Graph) -> dict[str, Cell | None]:
    """For each node its cell; outside of cells, the cell after another that alone needs it."""
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
    """The nodes that move one running statistic, which they must do in their order."""
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
    """The graph where each kept value that is not `plain` is computed from kept values at once.

    Kept are the values that are `found`, `plain` or outputs, and those that `_slices` adds. What
    leads to one is the body of one node of that op, which has a body and one value.
    """
    slices = _slices(graph, {*found, *plain, *graph.outputs, *graph.auxiliary}, plain)
    if all(len(nodes) == 1 for nodes in slices.values()):
        return graph
    nodes = (_node(graph, inner, homes[name], op) for name, inner in slices.items())
    return graph.with_nodes(nodes)


def _slices(graph: Graph, kept: set[str], plain: Collection[str]) -> dict[str, list[Node]]:
    """For each kept value, in order, the nodes that lead to it from other kept ones, and its own.

    Adds to the kept values what `plain` nodes read, what nothing reads, and the nodes with weights
    or draws that would stand in two slices.
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
    """The last of the nodes as one that computes them all; one alone as it is."""
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

    Names and keys are relative to the cell, so that equal cells have equal bodies.
    """
    prefix = f"{home.name}/" if home else ""
    names = _names(graph, nodes, read, prefix)
    refs = tuple({ref.key: ref for node in nodes for ref in node.params}.values())
    keys = _relative([ref.key for ref in refs], prefix)
    formal = {ref.key: replace(ref, key=keys[ref.key]) for ref in refs}
    inner = [
        replace(
            node.rewired(names),
            name=names[node.name],
            params=tuple(formal[ref.key] for ref in node.params),
            cell=None,
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
    return body, refs


def _names(graph: Graph, nodes: list[Node], read: tuple[str, ...], prefix: str) -> dict[str, str]:
    """The names in a body: relative, numbers for others, and those of choices as they are."""
    every = (*read, *(node.name for node in nodes))
    choices = {name for name in read if isinstance(graph.types[name], WeightsType)}
    near = [name for name in every if name in choices or name.startswith(prefix)]
    names = _relative(near, prefix)
    taken = {*names.values()}
    fresh = (f"x{number}" for number in itertools.count(1) if f"x{number}" not in taken)
    return names | {name: next(fresh) for name in every if name not in names}


def _relative(names: Collection[str], prefix: str) -> dict[str, str]:
    """The names without the prefix, where that keeps them apart."""
    short = {name: name.removeprefix(prefix) for name in names}
    return short if len({*short.values()}) == len(names) else {name: name for name in names}
