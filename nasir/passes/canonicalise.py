"""Equal things written one way."""

from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.passes.bodies import in_bodies
from nasir.template import make_attrs


@in_bodies
def canonicalise(graph: Graph) -> Graph:
    """Zeros leave sums and mixtures; sums and joins of one value and repeated idempotents vanish.

    Two inputs of a commutative op are put into the order in which the graph defines them (more
    than two keep theirs: floating-point sums depend on it). x + 0 is x but for the sign of a zero
    and for NaN inside a zeroed path, which the graph treats as zero.
    """
    order = {name: place for place, name in enumerate(graph.types)}
    alias: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for old in graph.nodes:
        node = _sorted(_without_zeros(old.rewired(alias), nodes), order)
        same = _same_value(node, nodes)
        if same is None:
            nodes[node.name] = node
        else:
            alias[node.name] = same
    kept = tuple(nodes.values())
    return graph if kept == graph.nodes else graph.aliased(kept, alias)


def _without_zeros(node: Node, nodes: dict[str, Node]) -> Node:
    if node.has("mixture"):
        return _without_zero_options(node, nodes)
    if not node.has("sum"):
        return node
    inputs = tuple(x for x in node.inputs if not _is_zero(x, nodes))
    return replace(node, inputs=inputs or node.inputs[:1])


def _without_zero_options(node: Node, nodes: dict[str, Node]) -> Node:
    """The mixture of what is not zero; of zeros alone, the first of them."""
    weights, *values = node.inputs
    options: tuple[int, ...] = dict(node.attrs)["options"]
    pairs = tuple(zip(values, options, strict=True))
    kept = tuple(pair for pair in pairs if not _is_zero(pair[0], nodes)) or pairs[:1]
    if kept == pairs:
        return node
    attrs = make_attrs(node.op, dict(node.attrs) | {"options": tuple(o for _, o in kept)})
    return replace(node, inputs=(weights, *(value for value, _ in kept)), attrs=attrs)


def _is_zero(name: str, nodes: dict[str, Node]) -> bool:
    return name in nodes and nodes[name].has("zero")


def _sorted(node: Node, order: dict[str, int]) -> Node:
    if not node.has("commutative") or len(node.inputs) != 2:
        return node
    return replace(node, inputs=tuple(sorted(node.inputs, key=order.__getitem__)))


def _same_value(node: Node, nodes: dict[str, Node]) -> str | None:
    """The earlier value that the node merely repeats, if there is one."""
    source = node.inputs[0]
    if node.has("mixture"):
        return node.inputs[1] if _is_zero(node.inputs[1], nodes) else None
    if len(node.inputs) == 1 and (node.has("sum") or node.has("join")):
        return source
    if node.has("idempotent") and source in nodes:
        before = nodes[source]
        if before.op is node.op and before.attrs == node.attrs:
            return source
    return None
