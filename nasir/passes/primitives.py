"""Graphs are checked, typed anew, and spelled out in primitives."""

from nasir.errors import NasirError, quoted
from nasir.graph import Graph, place_of
from nasir.node import Node
from nasir.ops import Macro, Op, ParamRef
from nasir.passes.bodies import in_bodies
from nasir.template import template


@in_bodies
def validate(graph: Graph) -> Graph:
    """The graph unchanged, if names are writable, cells of one kind, and equal keys equal weights.

    Raises E402 (one key for two different weights, a cell instance of two kinds), E405 (a name
    that the text form cannot hold, or one name for two ops), and what the construction of a graph
    raises.
    """
    from nasir.text import NAME, unwritable

    graph = graph.with_nodes(graph.nodes)  # infers all types anew
    keys: dict[str, ParamRef] = {}
    kinds: dict[str, str] = {}
    ops: dict[str, Op] = {}
    for name in unwritable(graph):
        raise NasirError("E405", f"{quoted(name)} cannot be a name")
    for node in graph.nodes:
        if not NAME.fullmatch(node.name):
            raise NasirError("E405", f"{quoted(node.name)} cannot be a name", place_of(node))
        if ops.setdefault(node.op.name, node.op) is not node.op:
            message = f"two different ops are called {quoted(node.op.name)}"
            raise NasirError("E405", message, place_of(node))
        for ref in node.params:
            if not NAME.fullmatch(ref.key) or "" in ref.key.split("."):
                raise NasirError("E405", f"{quoted(ref.key)} cannot be a key", place_of(node))
            if keys.setdefault(ref.key, ref) != ref:
                raise NasirError(
                    "E402", f"two weights are called {quoted(ref.key)}", place_of(node)
                )
        if node.cell and kinds.setdefault(node.cell.name, node.cell.kind) != node.cell.kind:
            raise NasirError(
                "E402",
                f"cell '{node.cell.name}' is both {kinds[node.cell.name]} and {node.cell.kind}",
                place_of(node),
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


def _original(graph: Graph, node: Node) -> tuple[str, ...]:
    """The inputs under the names they had before expansion, which have types."""
    return graph[node.name].inputs
