"""Moves joins and shuffles of channels behind the sums that alone read them."""

from collections.abc import Iterable
from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops.arithmetic import CONCAT
from nasir.ops.layers import CHANNEL_SHUFFLE
from nasir.passes.rewriting import in_bodies


@in_bodies
def late_joins(graph: Graph) -> Graph:
    """Sums before they join: a sum of equal shuffles of channels becomes the shuffle of a sum.

    So do sums and mixtures of joins whose pieces are of equal sizes: they become the join of one
    sum for each place. With partial channels (Xu et al., arXiv:1907.05737) a node then has one
    mixture of all edges' first channels, and one shuffle. Equal up to rounding.
    """
    made: dict[str, tuple[Node, ...]] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        nodes = _late(graph, node, gone)
        if len(nodes) > 1:
            made[node.name] = nodes
    if not made:
        return graph
    kept = (made.get(node.name, (node,)) for node in graph.nodes if node.name not in gone)
    return graph.with_nodes(node for nodes in kept for node in nodes)


def _late(graph: Graph, node: Node, gone: set[str]) -> tuple[Node, ...]:
    """The nodes that compute the value of a sum, which comes last; `gone` gets those replaced."""
    if not (node.has("mixture") or node.has("sum")):
        return (node,)
    weights, values = (
        (node.inputs[:1], node.inputs[1:]) if node.has("mixture") else ((), node.inputs)
    )
    terms = [graph[name] for name in values if name in graph]
    if len(terms) < len(values) or not _alike(graph, terms):
        return (node,)
    gone.update(values)
    sums: list[Node] = []
    pieces: list[str] = []
    for place, inputs in enumerate(zip(*(term.inputs for term in terms), strict=True)):
        pieces.append(f"{node.name}+{place}")
        piece = replace(node, name=pieces[-1], inputs=(*weights, *inputs))
        sums += _late(graph, piece, gone)
    join = replace(node, op=terms[0].op, attrs=terms[0].attrs, inputs=tuple(pieces))
    return (*sums, join)


def _alike(graph: Graph, terms: Iterable[Node]) -> bool:
    """True for different joins or shuffles of equal types that a sum alone reads."""
    names = {term.name for term in terms}
    kinds = {
        (term.op.name, term.attrs, tuple(graph.types[name] for name in term.inputs))
        for term in terms
    }
    return (
        len(kinds) == 1
        and len(names) == len(tuple(terms))
        and all(term.op in (CONCAT, CHANNEL_SHUFFLE) for term in terms)
        and all(len(graph.readers[name]) == 1 for name in names)
        and names.isdisjoint(graph.results)
    )
