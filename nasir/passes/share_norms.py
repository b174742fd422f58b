"""Batch norms without weights that read one value are computed once."""

from dataclasses import dataclass, replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.passes.bodies import in_bodies
from nasir.template import make_attrs


@dataclass(slots=True)
class _Shared:
    """The norms of one value so far: the first node's place, and all of them."""

    place: int
    nodes: list[Node]


@in_bodies
def share_norms(graph: Graph) -> Graph:
    """Batch norms that differ only in their running statistics become one with all of these.

    In a supernet every edge that pools a state normalises the same values. The results are bitwise
    the same in training, and running statistics follow the batch's as before; in evaluation, where
    they are read, each norm has its own.
    """
    found: dict[tuple[object, ...], _Shared] = {}
    alias: dict[str, str] = {}
    kept: list[Node] = []
    for old in graph.nodes:
        node = old.rewired(alias)
        if not node.has("channel_affine") or not all(ref.buffer for ref in node.params):
            kept.append(node)
            continue
        shared = found.setdefault((node.op, node.inputs, node.attrs), _Shared(len(kept), []))
        if shared.nodes:
            alias[node.name] = shared.nodes[0].name
        else:
            kept.append(node)
        shared.nodes.append(node)
    if not alias:
        return graph
    for shared in found.values():
        kept[shared.place] = _together(shared.nodes)
    return graph.aliased(kept, alias)


def _together(nodes: list[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    first = nodes[0]
    attrs = make_attrs(first.op, dict(first.attrs) | {"copies": len(nodes)})
    return replace(first, attrs=attrs, params=tuple(ref for node in nodes for ref in node.params))
