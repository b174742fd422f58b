"""Random ops in training: drops whole paths, and makes inputs of what random ops draw."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from nasir.arguments import checked
from nasir.errors import NasirError, quoted
from nasir.graph import Graph
from nasir.node import MIXED, At, Node
from nasir.ops import PRIMITIVES, Macro, OpSpec
from nasir.ops.arithmetic import DROP_PATH
from nasir.ops.spec import NoAttrs
from nasir.template import template
from nasir.types import ImageType, Type, WeightsType

DRAW = ".draw"
"""Suffix of the name of an input to that of the node whose draw it is."""

DRAWN: Mapping[OpSpec, OpSpec] = {op.drawn: op for op in PRIMITIVES.values() if op.drawn}
"""The random op of each op that is given its draw, as its last input."""


def draws_given(graph: Graph) -> Graph:
    """The graph whose random nodes read what they draw from an input of their own, `<node>.draw`.

    Passes may then share, remove and recompute nodes: a draw remains that of its node. What draws
    inside a body, anew at each of its applications, stays as it is. Raises an error where the name
    of an input is taken.
    """
    drawn: list[tuple[str, Type]] = []
    nodes: list[Node] = []
    for node in graph:
        spec = node.op if isinstance(node.op, OpSpec) else None
        if spec is not None and spec.drawn is not None and spec.draw is not None:
            name = f"{node.name}{DRAW}"
            if name in graph.types:
                raise NasirError("E401", f"the name {quoted(name)} is taken")
            types = tuple(graph.types[x] for x in node.inputs)
            drawn.append((name, spec.draw(node.attrs, types)))
            node = replace(node, op=spec.drawn, inputs=(*node.inputs, name))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), inputs=(*graph.inputs, *drawn)) if drawn else graph


PROBABILITY = "drop_path"
"""The input that says how likely a path is dropped, of shape (1,)."""


@checked
def drop_path(graph: Graph) -> Graph:
    """The graph in which training drops paths, with the probability that is its input `drop_path`.

    In a supernet that is the mixture of ops of every edge, whatever the ops are (RobustDARTS,
    arXiv:1909.09656); in a network without choices the result of every op on an edge but the
    identities, as the DARTS family evaluates: a skip at stride 2 is none. Zeros have nothing to
    drop. Each example is dropped by itself, and what stays is divided by the share that is kept.
    The dropped value of `x` is `x.drop`; nodes and weights keep their names and keys.

    It takes graphs before passes that share values, `partial_channels` and `edge_weights` before or
    after it. Raises an error where the name of the input is taken, or where no path is found (ops
    that stand on nodes are none) or paths are dropped already.
    """
    if PROBABILITY in graph.types:
        if any(node.op is DROP_PATH for node in graph):
            raise NasirError("E505", "the graph drops paths already")
        raise NasirError("E401", f"the name {quoted(PROBABILITY)} is taken")
    found = frozenset(_results(graph))
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
    return Node(name, DROP_PATH, (node.name, PROBABILITY), NoAttrs(), at=node.at)


def _results(graph: Graph) -> Iterator[str]:
    """The results of mixtures of ops, or else of ops that are no identities, on edges of images.

    Raises an error where an op has several results.
    """
    shown = {*graph.outputs, *graph.auxiliary}
    for members in _on_edges(graph).values():
        inside = {node.name for node in members}
        read = [
            node
            for node in members
            if node.name in shown or not inside.issuperset(graph.readers[node.name])
        ]
        if len(read) > 1:
            raise NasirError(
                "E505",
                f"the op {quoted(read[0].name)} has {len(read)} values that others read",
                read[0].place,
                hint="drop paths before passes that share values",
            )
        images = (node for node in read if isinstance(graph.types[node.name], ImageType))
        yield from (node.name for node in images if graph.choices or not _idle(graph, node))


def _on_edges(graph: Graph) -> dict[At, list[Node]]:
    """The mixtures of ops on edges (in a graph without choices the ops), each with its nodes."""
    found: dict[At, list[Node]] = {}
    for node in graph:
        if node.at and node.at.steps:
            slot, op = node.at.steps[0]
            if slot.role == "op on edge" and (op == MIXED) == bool(graph.choices):
                found.setdefault(At(node.at.cell, node.at.steps[:1]), []).append(node)
    return found


def _idle(graph: Graph, node: Node) -> bool:
    """Whether the node is an identity or zero."""
    if not isinstance(node.op, Macro):
        return node.has("zero")
    types = tuple(graph.types[name] for name in node.inputs)
    found = template(node.op, node.attrs, types)
    last = next((inner for inner in found.nodes if inner.name == found.output), None)
    return last is None or last.has("zero")
