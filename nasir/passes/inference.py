"""Batch norms and random draws become fixed numbers, for inference."""

from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Node, default_params
from nasir.ops import Init, OpSpec, ParamRef
from nasir.passes.bodies import in_bodies
from nasir.template import make_attrs, meaning


@in_bodies
def fold_batch_norm(graph: Graph) -> Graph:
    """Each batch norm that alone reads a convolution becomes that convolution's weight and bias.

    With scale s = γ / sqrt(var + ε): weight' = s·weight, bias' = β + s·(bias − mean), from the
    running statistics. The new weights carry the refs of their parts, from which a store computes
    them. The result equals the graph in inference up to rounding, and cannot be trained.
    """
    shown = {*graph.outputs, *graph.auxiliary}
    alias: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for old in graph.nodes:
        node = old.rewired(alias)
        before = nodes.get(node.inputs[0]) if node.has("channel_affine") else None
        if before is None or not _foldable(graph, before, shown):
            nodes[node.name] = node
            continue
        nodes[before.name] = _folded(before, node)
        alias[node.name] = before.name
    return graph.aliased(nodes.values(), alias) if alias else graph


def _foldable(graph: Graph, before: Node, shown: set[str]) -> bool:
    """The first fold gives the node a derived weight, which nothing folds into again."""
    return (
        before.has("absorbs_affine")
        and len(graph.readers[before.name]) == 1
        and before.name not in shown
        and not any(ref.parts for ref in before.params)
    )


def _folded(conv: Node, norm: Node) -> Node:
    parts = tuple((ref.name, ref) for ref in conv.params)
    parts += tuple((f"norm_{ref.name}", ref) for ref in norm.params)
    eps = float(dict(norm.attrs)["eps"])
    weight = conv.params[0]
    params = (
        ParamRef(
            f"{norm.name}.folded_weight", weight.shape, Init("fold_weight", eps), False, parts
        ),
        ParamRef(
            f"{norm.name}.folded_bias", weight.shape[:1], Init("fold_bias", eps), False, parts
        ),
    )
    attrs = make_attrs(conv.op, dict(conv.attrs) | {"bias": True})
    return replace(conv, attrs=attrs, params=params)


@in_bodies
def freeze_noise(graph: Graph) -> Graph:
    """Every fresh draw becomes one that is kept as a buffer, the same for all examples.

    For inference and exports of networks that hold `noise` (the S4 space), which are stochastic
    even then; the distribution over examples is no longer the published one.
    """
    if not graph.has("random"):
        return graph
    return graph.with_nodes([_frozen(graph, node) for node in graph.nodes])


def _frozen(graph: Graph, node: Node) -> Node:
    fixed = node.op.frozen if isinstance(node.op, OpSpec) else None
    if fixed is None:
        return node
    types = tuple(graph.types[name] for name in node.inputs)
    params = default_params(node.name, meaning(fixed, node.attrs, types).params)
    return replace(node, op=fixed, params=params)
