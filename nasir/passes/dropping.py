"""Paths are dropped in training: whole edges of some examples, with a probability that changes."""

import re
from collections.abc import Iterator
from dataclasses import replace

from nasir.errors import NasirError, quoted
from nasir.graph import Graph, place_of
from nasir.node import Node
from nasir.ops import Macro
from nasir.ops.choice import DROP_PATH
from nasir.ops.spec import NoAttrs
from nasir.template import template
from nasir.types import ImageType, Type, WeightsType
from nasir.wanted import checked

PROBABILITY = "drop_path"
"""The input that says how likely a path is dropped, of shape (1,)."""

_OP_OF_EDGE = re.compile(r"n\d+\.e\d+/[^/]+")
_OP_OF_NODE = re.compile(r"n\d+/[^/]+")


@checked
def drop_path(graph: Graph) -> Graph:
    """The graph in which training drops paths, with the probability that is its input `drop_path`.

    In a supernet that is the mixture of ops of every edge, whatever the ops are (RobustDARTS,
    arXiv:1909.09656); in a network without choices the result of every op on an edge but the
    identities, as the DARTS family evaluates: a skip at stride 2 is none. Zeros have nothing to
    drop. Each example is dropped by itself, and what stays is divided by the share that is kept.
    The dropped value of `x` is `x.drop`; nodes and weights keep their names and keys.

    It takes graphs before passes that share values, `partial_channels` and `edge_weights` before or
    after it. Raises E402 where the name of the input is taken, and E505 where no path is found
    (ops that stand on nodes are none) or paths are dropped already.
    """
    if PROBABILITY in graph.types:
        if any(node.op is DROP_PATH for node in graph):
            raise NasirError("E505", "the graph drops paths already")
        raise NasirError("E402", f"the name {quoted(PROBABILITY)} is taken")
    found = frozenset(_mixtures(graph) if graph.choices else _results(graph))
    if not found:
        raise NasirError(
            "E505",
            "the graph has no path that could be dropped",
            hint="drop path takes cells of images with ops on edges, before passes",
        )
    names = {name: f"{name}.drop" for name in found}
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node.rewired(names))
        if node.name in names:
            nodes.append(_dropped(node, names[node.name]))
    given = replace(graph, inputs=(*graph.inputs, (PROBABILITY, WeightsType(1))))
    return given.aliased(nodes, names)


def given_inputs(graph: Graph) -> tuple[tuple[str, Type], ...]:
    """The inputs that a call gives; the probability is an attribute of a network instead."""
    return tuple(row for row in graph.inputs if row[0] != PROBABILITY)


def _dropped(node: Node, name: str) -> Node:
    return Node(name, DROP_PATH, (node.name, PROBABILITY), NoAttrs(), cell=node.cell)


def _mixtures(graph: Graph) -> Iterator[str]:
    """The results of mixtures of ops; where channels pass by, those that are joined again."""
    choices = {choice.name for choice in graph.choices if choice.kind == "op on edge"}
    for node in graph.nodes:
        if node.has("mixture") and node.inputs[0] in choices and node.cell:
            whole = f"{node.cell.name}/{node.inputs[0].rpartition('/')[2]}"
            name = whole if whole in graph else node.name
            if isinstance(graph.types[name], ImageType):
                yield name


def _results(graph: Graph) -> Iterator[str]:
    """The results of ops that are no identities. Raises E505 where one has several results."""
    shown = {*graph.outputs, *graph.auxiliary}
    for name, members in _ops(graph).items():
        inside = {node.name for node in members}
        read = [
            node
            for node in members
            if node.name in shown or not inside.issuperset(graph.readers[node.name])
        ]
        if len(read) > 1:
            raise NasirError(
                "E505",
                f"the op {quoted(name)} has {len(read)} values that others read",
                place_of(read[0]),
                hint="drop paths before passes that share values",
            )
        images = (node for node in read if isinstance(graph.types[node.name], ImageType))
        yield from (node.name for node in images if not _idle(graph, node))


def _ops(graph: Graph) -> dict[str, list[Node]]:
    """The ops on edges by name, each with the node or the nodes that it consists of."""
    on_nodes = {node.cell for node in graph if _matched(node, _OP_OF_NODE)}
    found: dict[str, list[Node]] = {}
    for node in graph:
        name = _matched(node, _OP_OF_EDGE)
        if name and node.cell not in on_nodes:  # where it would be a projection
            found.setdefault(name, []).append(node)
    return found


def _matched(node: Node, pattern: re.Pattern[str]) -> str:
    """The name of the op that the node is or is a part of; empty if it is none."""
    if node.cell is None or not node.name.startswith(f"{node.cell.name}/"):
        return ""
    match = pattern.match(node.name, len(node.cell.name) + 1)
    return node.name[: match.end()] if match else ""


def _idle(graph: Graph, node: Node) -> bool:
    """Whether the node is an identity or zero."""
    if not isinstance(node.op, Macro):
        return node.has("zero")
    types = tuple(graph.types[name] for name in node.inputs)
    found = template(node.op, node.attrs, types)
    last = next((inner for inner in found.nodes if inner.name == found.output), None)
    return last is None or last.has("zero")
