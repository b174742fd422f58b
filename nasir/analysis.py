"""What a graph costs, without running it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from nasir.graph import Graph, body_of
from nasir.node import Node
from nasir.ops import OpSpec, ParamRef
from nasir.passes.expansion import expand
from nasir.types import elements
from nasir.wanted import checked

CONVENTION = (
    "for one example (of a sequence one step, a token); a multiply-add counts once; only "
    "convolutions and linear maps are counted; "
    "parameters without buffers and without the auxiliary head; activations are the scalars that "
    "every primitive writes"
)


@dataclass(frozen=True, slots=True)
class NodeCost:
    """One node. `params` are those it uses first: a shared weight counts once."""

    name: str
    op: str
    params: int
    macs: int
    activations: int
    auxiliary: bool


@dataclass(frozen=True, slots=True)
class Cost:
    """The totals of the network, of its auxiliary head apart, and of every node."""

    params: int
    macs: int
    activations: int
    auxiliary: "Cost | None"
    nodes: tuple[NodeCost, ...]
    convention: str = CONVENTION


@checked
def cost(graph: Graph) -> Cost:
    """The cost of a graph as its primitives: nothing is optimised away before counting.

    What only auxiliary outputs need is counted in `auxiliary`; what no output needs, as the
    papers' code counts it, in the network. The convention is in the result.
    """
    graph = expand(graph)
    head = graph.needed(graph.auxiliary) - graph.needed(graph.outputs)
    shared = {ref.key for node in graph.nodes if node.name not in head for ref in node.params}
    counted: set[str] = set()
    rows: list[NodeCost] = []
    for outer in graph.nodes:
        auxiliary = outer.name in head
        for name, node, inside, refs in _primitives(graph, outer):
            assert isinstance(node.op, OpSpec)
            # A weight that the network uses as well counts there.
            elsewhere = shared if auxiliary else ()
            new = [ref for ref in refs if ref.key not in counted and ref.key not in elsewhere]
            own = {ref.key: ref for ref in new if not ref.buffer}
            counted.update(own)
            inputs = tuple(inside.types[x] for x in node.inputs)
            output = inside.types[node.name]
            macs = node.op.macs(node.attrs, inputs, output)
            params = sum(prod(ref.shape) for ref in own.values())
            rows.append(NodeCost(name, node.op.name, params, macs, elements(output), auxiliary))
    apart = tuple(row for row in rows if row.auxiliary)
    main = tuple(row for row in rows if not row.auxiliary)
    return _total(main, _total(apart, None) if apart else None)


Primitive = tuple[str, Node, Graph, tuple[ParamRef, ...]]


def _primitives(graph: Graph, node: Node) -> Iterator[Primitive]:
    """The node, its graph and its weights; of one with a body, those of one application."""
    body = body_of(node)
    if body is None:
        yield node.name, node, graph, node.params
        return
    actual = {formal.key: ref for formal, ref in zip(body.params, node.params, strict=True)}
    for inner in body:
        for name, primitive, inside, refs in _primitives(body, inner):
            yield f"{node.name}/{name}", primitive, inside, tuple(actual[r.key] for r in refs)


def _total(rows: tuple[NodeCost, ...], auxiliary: Cost | None) -> Cost:
    return Cost(
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        auxiliary=auxiliary,
        nodes=rows,
    )
