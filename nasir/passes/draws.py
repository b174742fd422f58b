"""Random draws become inputs of a graph, so that they belong to nodes and not to an order."""

from collections.abc import Mapping
from dataclasses import replace

from nasir.errors import NasirError, quoted
from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import PRIMITIVES, OpSpec
from nasir.types import Type

DRAW = ".draw"
"""What the name of an input adds to that of the node whose draw it is."""

DRAWN: Mapping[OpSpec, OpSpec] = {op.drawn: op for op in PRIMITIVES.values() if op.drawn}
"""For each op that is given its draw, as its last input, the random op."""


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
