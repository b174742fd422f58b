"""Sums of edges into nodes become weighted sums."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from nasir.errors import NasirError, quoted
from nasir.graph import Choice, Graph, Slot, place_of
from nasir.node import Node
from nasir.ops import PRIMITIVES
from nasir.ops.choice import MixAttrs
from nasir.space import Space
from nasir.space.load import SpaceLike, as_space
from nasir.types import WeightsType
from nasir.wanted import checked

_EDGE = re.compile(r"(?P<edge>(?P<node>n(?P<number>\d+))\.e\d+)(?:\.drop)?")


@checked
def edge_weights(graph: Graph, space: SpaceLike) -> Graph:
    """The supernet of a space where each sum of edges into a node is a mixture of them.

    PC-DARTS, arXiv:1907.05737, equation 3 (its β), for any space with ops on edges. The choice of
    a node is called `normal/n3`, is of the kind "edge into node" and stands behind the choices of
    the node's edges. Its options are the states that the node reads, and the space (or what
    `load_space` takes) says how many it keeps. There is none for a node with one edge, where
    nothing is weighed, nor for nodes that are means of their edges.

    Raises E505 where there is no such sum (recurrent cells are not weighed) or the graph has other
    edges than the space, and what `load_space` raises.
    """
    space = as_space(space)
    edges = {choice.name for choice in graph.choices if choice.kind == "op on edge"}
    found: dict[str, Choice] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        number = _number(node, edges)
        if number is None or node.cell is None:
            nodes.append(node)
            continue
        choice = _choice(space, node.cell.kind, number)
        _check_edges(node, choice, space)
        found[choice.name] = choice
        nodes.append(_weighed(node, choice))
    if not found:
        raise NasirError(
            "E505",
            "the graph has no sum of edges into a node of a cell",
            hint="it takes a supernet of images, with ops on edges, whose edges have no weights",
        )
    return _with_choices(graph, nodes, found)


def _number(node: Node, edges: Collection[str]) -> int | None:
    """The number of the node in its cell, if it is a sum of that node's edges."""
    if node.cell is None or not node.has("sum") or len(node.inputs) < 2:
        return None
    above = f"{node.cell.name}/"
    places = [_EDGE.fullmatch(name.removeprefix(above)) for name in node.inputs]
    kind = node.cell.kind
    for place in places:
        if place is None or f"{above}{place['node']}" != node.name:
            return None
        if f"{kind}/{place['edge']}" not in edges:
            return None
    return int(places[0]["number"]) if places[0] else None


def _choice(space: Space, kind: str, number: int) -> Choice:
    """Which edges a node keeps, one choice for all cells of the kind."""
    cell = space.cell(kind)
    sources = tuple(str(edge.source) for edge in cell.into(number))
    keep = len(sources) if cell.keep is None else min(cell.keep, len(sources))
    return Slot(kind, "edge into node", number).choice(sources, keep)


def _check_edges(node: Node, choice: Choice, space: Space) -> None:
    """Raises E505 where the node does not have the edges that it has in the space."""
    wanted = tuple(f"{node.name}.e{source}" for source in choice.options)
    if tuple(name.removesuffix(".drop") for name in node.inputs) != wanted:
        raise NasirError(
            "E505",
            f"node {quoted(node.name)} reads {', '.join(node.inputs)}; "
            f"in the space '{space.name}' it reads: {', '.join(wanted) or 'nothing'}",
            place_of(node),
            hint="give the space that the supernet was made of",
        )


def _weighed(node: Node, choice: Choice) -> Node:
    attrs = MixAttrs(options=tuple(range(len(node.inputs))))
    return replace(node, op=PRIMITIVES["mix"], inputs=(choice.name, *node.inputs), attrs=attrs)


def _with_choices(graph: Graph, nodes: Sequence[Node], found: dict[str, Choice]) -> Graph:
    """The graph with these nodes and, each behind its node's edges, the choices found."""
    choices: list[Choice] = []
    for place, choice in enumerate(graph.choices):
        choices.append(choice)
        above = choice.name.rpartition(".")[0]
        later = (other.name.rpartition(".")[0] for other in graph.choices[place + 1 :])
        if above in found and above not in later:
            choices.append(found[above])
    names = {choice.name for choice in choices}
    weights = [(choice.name, WeightsType(len(choice.options))) for choice in choices]
    first = next(place for place, (name, _) in enumerate(graph.inputs) if name in names)
    later = (row for row in graph.inputs[first:] if row[0] not in names)
    inputs = (*graph.inputs[:first], *weights, *later)
    return replace(graph, nodes=tuple(nodes), inputs=inputs, choices=tuple(choices))
