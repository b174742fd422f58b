"""Sums of edges into nodes become weighted sums."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from nasir.errors import NasirError, quoted
from nasir.graph import Choice, Graph
from nasir.node import MIXED, Node, Slot
from nasir.ops import PRIMITIVES
from nasir.ops.choice import MixAttrs
from nasir.space import Space
from nasir.space.load import SpaceLike, as_space
from nasir.types import WeightsType
from nasir.wanted import checked


@checked
def edge_weights(graph: Graph, space: SpaceLike) -> Graph:
    """The supernet of a space where each sum of edges into a node is a mixture of them.

    PC-DARTS, arXiv:1907.05737, equation 3 (its β), for any space with ops on edges. The choice of
    a node is called `normal/n3`, is of the kind "edge into node" and stands behind the choices of
    the node's edges. Its options are the states that the node reads, and the space (or what
    `load_space` takes) says how many it keeps. There is none for a node with one edge, where
    nothing is weighed, nor for nodes that are means of their edges.

    Raises an error where there is no such sum (recurrent cells are not weighed) or the graph has
    other edges than the space, and what `load_space` raises.
    """
    space = as_space(space)
    chooses = {each.slot: each for tree in space.trees for each in tree.walk}
    found: dict[Slot, Choice] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        slot = _weighable(graph, node)
        if slot is None:
            nodes.append(node)
            continue
        none = Choice(str(slot), slot.role, ())
        choice = found[slot] = chooses[slot].choice if slot in chooses else none
        _check_edges(graph, node, choice, space)
        nodes.append(_weighed(node, choice))
    if not found:
        raise NasirError(
            "E505",
            "the graph has no sum of edges into a node of a cell",
            hint="it takes a supernet of images, with ops on edges, whose edges have no weights",
        )
    return _with_choices(graph, nodes, found)


def _weighable(graph: Graph, node: Node) -> Slot | None:
    """The slot of a node that sums several mixtures of ops on edges."""
    slot = node.at.slot if node.at else None
    if slot is None or slot.role != "edge into node" or not node.has("sum"):
        return None
    edges = [graph[name].at for name in node.inputs if name in graph]
    mixed = len(edges) > 1 and all(at and at.op == MIXED for at in edges)
    return slot if mixed and len(edges) == len(node.inputs) else None


def _check_edges(graph: Graph, node: Node, choice: Choice, space: Space) -> None:
    """Raises an error where the node does not have the edges that it has in the space."""
    places = (graph[name].at for name in node.inputs)
    sources = [str(at.slot.source) for at in places if at and at.slot]
    if sources != list(choice.options):
        raise NasirError(
            "E505",
            f"node {quoted(node.name)} has edges from nodes {', '.join(sources)}; "
            f"in the space '{space.name}' from: {', '.join(choice.options) or 'none'}",
            node.place,
            hint="give the space that the supernet was made of",
        )


def _weighed(node: Node, choice: Choice) -> Node:
    attrs = MixAttrs(options=tuple(range(len(node.inputs))))
    return replace(node, op=PRIMITIVES["mix"], inputs=(choice.name, *node.inputs), attrs=attrs)


def _with_choices(graph: Graph, nodes: Sequence[Node], found: Mapping[Slot, Choice]) -> Graph:
    """The graph with these nodes and, each behind its node's edges, the choices found."""
    above = [replace(c.slot, role="edge into node", source=0) for c in graph.choices]
    choices: list[Choice] = []
    for place, choice in enumerate(graph.choices):
        choices.append(choice)
        if above[place] in found and above[place] not in above[place + 1 :]:
            choices.append(found[above[place]])
    names = {choice.name for choice in choices}
    weights = [(choice.name, WeightsType(len(choice.options))) for choice in choices]
    first = next(place for place, (name, _) in enumerate(graph.inputs) if name in names)
    later = (row for row in graph.inputs[first:] if row[0] not in names)
    inputs = (*graph.inputs[:first], *weights, *later)
    return replace(graph, nodes=tuple(nodes), inputs=inputs, choices=tuple(choices))
