"""Checks, types and expands graphs, and runs passes inside the bodies that nodes apply."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import wraps

from nasir.errors import NasirError, quoted
from nasir.graph import Graph, body_of
from nasir.node import MIXED, Node
from nasir.ops import BodyAttrs, Macro, Op, ParamRef
from nasir.template import make_attrs, template
from nasir.text import NAME

GraphPass = Callable[[Graph], Graph]


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


@in_bodies
def validate(graph: Graph) -> Graph:
    """The graph unchanged, if names are writable, cells of one kind, and equal keys equal weights.

    Raises an error for one key of two different weights, a cell instance of two kinds, a name that
    the text form cannot hold, one name of two ops, and what the construction of a graph raises.
    """
    graph = graph.with_nodes(graph.nodes)  # infers all types anew
    keys: dict[str, ParamRef] = {}
    kinds: dict[str, str] = {}
    ops: dict[str, Op] = {}
    for name in _unwritable(graph):
        raise NasirError("E104", f"{quoted(name)} cannot be a name")
    for node in graph.nodes:
        if not NAME.fullmatch(node.name):
            raise NasirError("E104", f"{quoted(node.name)} cannot be a name", node.place)
        if ops.setdefault(node.op.name, node.op) is not node.op:
            message = f"two different ops are called {quoted(node.op.name)}"
            raise NasirError("E104", message, node.place)
        for ref in node.params:
            if not NAME.fullmatch(ref.key) or "" in ref.key.split("."):
                raise NasirError("E104", f"{quoted(ref.key)} cannot be a key", node.place)
            if keys.setdefault(ref.key, ref) != ref:
                raise NasirError("E401", f"two weights are called {quoted(ref.key)}", node.place)
        if node.cell and kinds.setdefault(node.cell.name, node.cell.kind) != node.cell.kind:
            raise NasirError(
                "E401",
                f"cell '{node.cell.name}' is both {kinds[node.cell.name]} and {node.cell.kind}",
                node.place,
            )
    return graph


@in_bodies
def infer_types(graph: Graph) -> Graph:
    """The graph unchanged, with the types of all values inferred anew from its inputs'."""
    return graph.with_nodes(graph.nodes)


@in_bodies
def expand(graph: Graph) -> Graph:
    """Every macro spelled out in primitives named below it; identities vanish.

    Weights get the keys `<macro node>/<primitive>.<parameter>`.
    """
    if not any(isinstance(node.op, Macro) for node in graph.nodes):
        return graph
    alias: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = node.rewired(alias)
        if isinstance(node.op, Macro):
            types = tuple(graph.types[name] for name in _original(graph, node))
            inner, output = template(node.op, node.attrs, types).instance(node)
            nodes += inner
            alias[node.name] = output
        else:
            nodes.append(node)
    return graph.aliased(nodes, alias)


def _unwritable(graph: Graph) -> Iterator[str]:
    """The names, other than its nodes', that the text form of a graph cannot hold."""
    for body in graph.bodies:
        yield from _unwritable(body)
    yield from (key for key, _ in graph.meta if not NAME.fullmatch(key))
    yield from (name for name, _ in graph.inputs if not NAME.fullmatch(name))
    for at in {node.at for node in graph if node.at}:
        words = [at.cell.kind, at.cell.name]
        words += [
            word for slot, op in at.steps for word in (slot.kind, op) if word not in ("", MIXED)
        ]
        yield from (word for word in words if not NAME.fullmatch(word))
    for choice in graph.choices:
        if not NAME.fullmatch(choice.name):
            yield choice.name
        yield from (name for name in choice.options if not name or len(name.split()) != 1)


def _original(graph: Graph, node: Node) -> tuple[str, ...]:
    """The inputs under the names they had before expansion, which have types."""
    return graph[node.name].inputs
