"""Passes inside bodies: what a pass does to a graph it does to the graphs that its nodes apply."""

from collections.abc import Mapping
from dataclasses import replace
from functools import wraps

from nasir.graph import Graph, body_of
from nasir.node import Node
from nasir.ops import BodyAttrs, ParamRef
from nasir.passes.record import GraphPass
from nasir.template import make_attrs


def in_bodies(run: GraphPass) -> GraphPass:
    """The pass, which first goes through all bodies; equal bodies stay equal."""

    @wraps(run)
    def through(graph: Graph) -> Graph:
        return run(with_bodies(graph, through))

    return through


def with_bodies(graph: Graph, run: GraphPass) -> Graph:
    """The graph where the pass has gone through all bodies, and through nothing else."""
    bodies = {body: run(body) for body in graph.bodies}
    if all(before == after for before, after in bodies.items()):
        return graph
    return graph.with_nodes(
        with_body(node, bodies[body]) if (body := body_of(node)) else node for node in graph.nodes
    )


def with_body(node: Node, body: Graph) -> Node:
    """The node with another body, whose weights are those of the old one by their formal keys.

    A weight that only the new body has gets the key `<node>/<its key>`, and parts of its own.
    """
    old = body_of(node)
    assert old is not None
    actual = {formal.key: ref for formal, ref in zip(old.params, node.params, strict=True)}
    attrs = make_attrs(node.op, dict(node.attrs) | {"body": body})
    params = tuple(_actual(formal, actual, node.name) for formal in body.params)
    return replace(node, attrs=attrs, params=params)


def without_unread(graph: Graph) -> Graph:
    """The graph where no node gives its body a constant that the body does not read."""
    nodes = [_without_unread(node) for node in graph.nodes]
    return graph if nodes == list(graph.nodes) else graph.with_nodes(nodes)


def _actual(formal: ParamRef, actual: Mapping[str, ParamRef], name: str) -> ParamRef:
    if formal.key in actual:
        return actual[formal.key]
    parts = tuple((role, _actual(part, actual, name)) for role, part in formal.parts)
    return replace(formal, key=f"{name}/{formal.key}", parts=parts)


def _without_unread(node: Node) -> Node:
    body = body_of(node)
    if body is None:
        return node
    assert isinstance(node.attrs, BodyAttrs)
    first = node.attrs.FIRST_CONSTANT
    read = body.needed((*body.outputs, *body.auxiliary))
    slots = [i for i, (name, _) in enumerate(body.inputs) if i < first or name in read]
    if len(slots) == len(body.inputs):
        return node
    smaller = replace(body, inputs=tuple(body.inputs[i] for i in slots))
    return replace(with_body(node, smaller), inputs=tuple(node.inputs[i] for i in slots))
