"""Paths are dropped in training."""

import re
from collections.abc import Collection
from dataclasses import replace

from nasir.errors import NasirError
from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import PRIMITIVES, Macro
from nasir.ops.spec import NoAttrs
from nasir.template import template
from nasir.types import WeightsType

PROBABILITY = "drop_path"
"""The input that says how often a path is dropped, of shape (1,)."""

_EDGE = re.compile(r"n\d+\.e\d+")
_OP = re.compile(r"n\d+\.e\d+/[^/]+")


def drop_path(graph: Graph) -> Graph:
    """The network with a `drop_path` behind each path, and their probability as an input.

    In a supernet that is every edge, skip connections too (RobustDARTS, arXiv:1909.09656); in a
    network every op on an edge that is not the identity (the papers' evaluation). Each example is
    dropped by itself; what stays is divided by the share that is kept. It takes graphs before
    `expand`. Raises E505 where there is no such path.
    """
    wanted = _edges(graph) if graph.choices else _ops(graph)
    if not wanted:
        raise NasirError(
            "E505",
            "the graph has no path that could be dropped",
            hint="drop path takes cells with ops on edges, before passes",
        )
    nodes: list[Node] = []
    alias: dict[str, str] = {}
    for old in graph.nodes:
        node = old.rewired(alias)
        nodes.append(node)
        if node.name in wanted:
            name = f"{node.name}.drop"
            inputs = (node.name, PROBABILITY)
            nodes.append(
                replace(
                    node,
                    name=name,
                    op=PRIMITIVES["drop_path"],
                    inputs=inputs,
                    attrs=NoAttrs(),
                    params=(),
                )
            )
            alias[node.name] = name
    return replace(
        graph,
        nodes=tuple(nodes),
        inputs=(*graph.inputs, (PROBABILITY, WeightsType(1))),
        outputs=tuple(alias.get(name, name) for name in graph.outputs),
    )


def _edges(graph: Graph) -> Collection[str]:
    """The values of a supernet's edges: mixtures, or what stands in their place."""
    return {node.name for node in graph.nodes if _is(node, _EDGE)}


def _ops(graph: Graph) -> Collection[str]:
    """The ops on a network's edges that compute something."""
    return {node.name for node in graph.nodes if _is(node, _OP) and not _identity(graph, node)}


def _is(node: Node, pattern: re.Pattern[str]) -> bool:
    return node.cell is not None and bool(
        pattern.fullmatch(node.name.removeprefix(f"{node.cell.name}/"))
    )


def _identity(graph: Graph, node: Node) -> bool:
    """Whether the op hands its input on."""
    if not isinstance(node.op, Macro):
        return False
    types = tuple(graph.types[name] for name in node.inputs)
    return not template(node.op, node.attrs, types).nodes
