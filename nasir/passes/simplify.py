"""Removes from graphs what adds nothing, and makes them smaller for evaluation and inference."""

from collections.abc import Collection, Hashable
from dataclasses import replace

from nasir.graph import Graph
from nasir.node import Node, default_params
from nasir.ops import Init, Macro, OpSpec, ParamRef
from nasir.passes.expansion import in_bodies, with_bodies, without_unread
from nasir.template import make_attrs, meaning


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


@in_bodies
def dead_code(graph: Graph) -> Graph:
    """The graph without the nodes that neither an output nor an auxiliary output depends on.

    A body loses the constants that it does not read, and its node the values that it gave it.
    """
    graph = without_unread(graph)
    needed = graph.needed((*graph.outputs, *graph.auxiliary))
    kept = [node for node in graph.nodes if node.name in needed]
    return graph if len(kept) == len(graph) else graph.with_nodes(kept)


@in_bodies
def idle_code(graph: Graph) -> Graph:
    """The graph without the nodes that neither an output nor a running statistic depends on.

    For training: the papers' code computes what is read through zeros alone, and its statistics
    follow the batch. Run it where `dead_code` has removed what leads to no output.
    """
    graph = without_unread(graph)
    needed = graph.needed(graph.moved((*graph.outputs, *graph.auxiliary)))
    kept = [node for node in graph.nodes if node.name in needed]
    return graph if len(kept) == len(graph) else graph.with_nodes(kept)


def cse(graph: Graph, alone: Collection[str] = ()) -> Graph:
    """Merge nodes that compute the same value from the same inputs.

    Weights are part of a node's identity, so equal convolutions with different parameters stay
    apart; shared parameters merge. Random ops never do, nor do macros, which have no weights yet:
    expand first. The nodes named in `alone` stay as they are. Bitwise the same results.
    """
    graph = with_bodies(graph, cse)
    first: dict[Hashable, str] = {}
    alias: dict[str, str] = {}
    kept: list[Node] = []
    for old in graph.nodes:
        node = old.rewired(alias)
        if node.has("random") or isinstance(node.op, Macro) or node.name in alone:
            kept.append(node)
            continue
        twin = first.setdefault(node.identity, node.name)
        if twin == node.name:
            kept.append(node)
        else:
            alias[node.name] = twin
    return graph.aliased(kept, alias) if alias else graph


@in_bodies
def evaluation(graph: Graph) -> Graph:
    """Every op that only training applies (dropout) becomes its first input, as in evaluation.

    The draws that such ops read stay: `dead-code` removes them. The result equals the graph
    bitwise in evaluation mode, and drops nothing in training mode.
    """
    alias: dict[str, str] = {}
    kept: list[Node] = []
    for old in graph.nodes:
        node = old.rewired(alias)
        if node.has("training"):
            alias[node.name] = node.inputs[0]
        else:
            kept.append(node)
    return graph.aliased(kept, alias) if alias else graph


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
