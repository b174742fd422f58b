"""Fuses highways of recurrent cells, single or summed and mixed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import OpSpec, ParamRef
from nasir.ops.arithmetic import MUL, SIGMOID, SUB
from nasir.ops.fused import FUNCTIONS, HIGHWAY_SUM, Branch, Highway, HighwaySumAttrs
from nasir.ops.layers import CHUNK, PROJECT, ChunkAttrs, ProjectAttrs
from nasir.passes.fusion import Product, is_sum, summands
from nasir.passes.rewriting import in_bodies


@dataclass(frozen=True, slots=True)
class _Half:
    """A half of the product of a value and a weight, and the nodes that compute it."""

    value: str
    weight: ParamRef
    init: float
    nodes: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Gated:
    """state + σ(c)·(function(g) - state), times the factors; c is a half, and g the other one.

    `nodes` compute it, including the sums and mixtures on the way to the root.
    """

    state: str
    function: str
    half: _Half
    nodes: frozenset[str]
    factors: Product = ()


@in_bodies
def highway_sums(graph: Graph) -> Graph:
    """Fuses highways with one weight, single or summed and mixed, to `highway_sum` nodes.

    A highway is s + σ(c)·(f(g) - s) with the halves c and g of x W. Highways with different
    weights, or with nodes that others read, are unchanged. Equal up to rounding.
    """
    made: dict[str, Node] = {}
    gone: set[str] = set()
    for node in reversed(graph.nodes):
        gated = () if node.name in gone else _gated(graph, node)
        if gated:
            made[node.name] = _highway_node(node, gated)
            gone |= _inside(node, gated)
    if not made:
        return graph
    kept = (node for node in graph.nodes if node.name not in gone)
    return graph.with_nodes(made.get(node.name, node) for node in kept)


def _gated(graph: Graph, node: Node) -> tuple[_Gated, ...]:
    """The highways that the node sums; none if other nodes read their parts."""
    found = tuple(_leaves(graph, node, (), frozenset({node.name})))
    gated = tuple(leaf for leaf in found if leaf)
    if len(gated) < len(found) or len({(g.half.weight, g.half.init) for g in gated}) != 1:
        return ()
    inside = _inside(node, gated)
    alone = all(inside.union({node.name}).issuperset(graph.readers[name]) for name in inside)
    return gated if alone and inside.isdisjoint(graph.results) else ()


def _inside(root: Node, gated: tuple[_Gated, ...]) -> frozenset[str]:
    return frozenset[str]().union(*(each.nodes for each in gated)) - {root.name}


def _leaves(
    graph: Graph, node: Node, factors: Product, path: frozenset[str]
) -> Iterator[_Gated | None]:
    """The highways that a node adds; None for another term."""
    gated = _highway(graph, node)
    if gated or not is_sum(node):
        yield gated and replace(gated, nodes=gated.nodes | path, factors=factors)
        return
    for name, product in summands(node, factors):
        once = name in graph and node.inputs.count(name) == 1
        if once and graph.readers[name] == (node.name,):
            yield from _leaves(graph, graph[name], product, path | {name})
        else:
            yield None


def _highway(graph: Graph, node: Node) -> _Gated | None:
    """The highway that the node computes, or None."""
    if not node.has("sum") or len(node.inputs) != 2:
        return None
    for state, change in permutations(node.inputs):
        product = _made_by(graph, change, MUL)
        for gate, moved in permutations(product.inputs if product else (), 2):
            difference = _made_by(graph, moved, SUB)
            if difference and difference.inputs[1] == state:
                found = _gated_by(graph, gate, difference.inputs[0])
                if found:
                    nodes = found.nodes | {node.name, change, moved}
                    return replace(found, state=state, nodes=nodes)
    return None


def _gated_by(graph: Graph, gate: str, result: str) -> _Gated | None:
    """The gate σ(c) and function(g) if c and g are halves of one product; without a state."""
    sigmoid = _made_by(graph, gate, SIGMOID)
    first = _half(graph, sigmoid.inputs[0], 0) if sigmoid else None
    if first is None or result not in graph:
        return None
    function, second = "", _half(graph, result, 1)
    if second is None and graph[result].op.name in FUNCTIONS:
        function, second = graph[result].op.name, _half(graph, graph[result].inputs[0], 1)
    if second is None or replace(second, nodes=first.nodes) != first:
        return None
    return _Gated("", function, first, first.nodes | second.nodes | {gate, result})


def _half(graph: Graph, name: str, part: int) -> _Half | None:
    chunk = _made_by(graph, name, CHUNK)
    if chunk is None or chunk.attrs != ChunkAttrs(part=part, of=2):
        return None
    project = _made_by(graph, chunk.inputs[0], PROJECT)
    if project is None:
        return None
    assert isinstance(project.attrs, ProjectAttrs)
    nodes = frozenset({name, project.name})
    return _Half(project.inputs[0], project.params[0], project.attrs.init, nodes)


def _made_by(graph: Graph, name: str, op: OpSpec) -> Node | None:
    """The node of that name, if it is of that op."""
    return graph[name] if name in graph and graph[name].op is op else None


def _highway_node(root: Node, gated: tuple[_Gated, ...]) -> Node:
    """The node that replaces the root; branches of one state and value are one highway."""
    weights = (weights for each in gated for weights, _ in each.factors)
    states, values = (each.state for each in gated), (each.half.value for each in gated)
    inputs = tuple(dict.fromkeys((*states, *values, *weights)))
    place = {name: number for number, name in enumerate(inputs)}
    found: dict[tuple[int, int], dict[str, tuple[tuple[tuple[int, int], ...], ...]]] = {}
    for each in gated:
        branches = found.setdefault((place[each.state], place[each.half.value]), {})
        product = tuple((place[weights], entry) for weights, entry in each.factors)
        branches[each.function] = (*branches.get(each.function, ()), product)
    highways = tuple(
        Highway(state=state, value=value, branches=tuple(_branches(branches)))
        for (state, value), branches in found.items()
    )
    attrs = HighwaySumAttrs(highways=highways, init=gated[0].half.init)
    return replace(root, op=HIGHWAY_SUM, inputs=inputs, attrs=attrs, params=(gated[0].half.weight,))


def _branches(
    found: dict[str, tuple[tuple[tuple[int, int], ...], ...]],
) -> Iterator[Branch]:
    for function, products in found.items():
        yield Branch(function=function, products=() if products == ((),) else products)
