"""Rewrites graphs node by node: checks, expansion to primitives, and removal of idle nodes."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial, wraps
from math import gcd

from nasir.errors import NasirError, quoted
from nasir.graph import NAME, Graph, body_of
from nasir.node import MIXED, Node, below, default_params
from nasir.ops import PRIMITIVES, BodyAttrs, Init, Macro, Op, OpSpec, ParamRef
from nasir.ops.fused import DEPTHWISE_CONV
from nasir.ops.layers import AVG_POOL, CONV2D, AvgPoolAttrs, ConvAttrs
from nasir.template import make_attrs, meaning, template
from nasir.types import Type

GraphPass = Callable[[Graph], Graph]

Pairs = tuple[tuple[str, int], ...]
"""Values of a mixture, each with its option."""

_DRAW = ".draw"
"""Suffix of the input that a node's draw is read from: `<node>.draw`."""

DRAWN: Mapping[OpSpec, OpSpec] = {op.drawn: op for op in PRIMITIVES.values() if op.drawn}
"""The random op of each op that reads its draw from its last input."""


PROBABILITY = "drop_path"
"""The input with the probability that a path is dropped, of shape (1,)."""


def in_bodies(run: GraphPass) -> GraphPass:
    """The pass, applied to all bodies first; equal bodies stay equal."""

    @wraps(run)
    def through(graph: Graph) -> Graph:
        return run(with_bodies(graph, through))

    return through


def with_bodies(graph: Graph, run: GraphPass) -> Graph:
    """The graph with the pass applied to all bodies, and to nothing else."""
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

    def given(formal: ParamRef) -> ParamRef:
        if formal.key in actual:
            return actual[formal.key]
        parts = tuple((role, given(part)) for role, part in formal.parts)
        return replace(formal, key=below(node.name, formal.key), parts=parts)

    attrs = make_attrs(node.op, dict(node.attrs) | {"body": body})
    return replace(node, attrs=attrs, params=tuple(map(given, body.params)))


def rewritten(graph: Graph, step: Callable[[Node], tuple[Iterable[Node], str]]) -> Graph:
    """The graph with each node replaced by the nodes that `step` returns.

    `step` also returns the name of the value that replaces the node's value. It gets the nodes in
    order, with inputs that are already replaced.
    """
    alias: dict[str, str] = {}
    kept: list[Node] = []
    for old in graph.nodes:
        nodes, value = step(old.rewired(alias))
        kept += nodes
        if value != old.name:
            alias[old.name] = value
    return graph if tuple(kept) == graph.nodes else graph.aliased(kept, alias)


def only(graph: Graph, values: Iterable[str]) -> Graph:
    """The graph without the nodes that none of the values depends on."""
    needed = graph.needed(values)
    kept = [node for node in graph.nodes if node.name in needed]
    return graph if len(kept) == len(graph) else graph.with_nodes(kept)


def mixed(node: Node) -> Pairs:
    """The values of a mixture with their options."""
    options: tuple[int, ...] = dict(node.attrs)["options"]
    return tuple(zip(node.inputs[1:], options, strict=True))


def with_options(node: Node, pairs: Pairs) -> Node:
    """The mixture with only these values and options."""
    attrs = make_attrs(node.op, dict(node.attrs) | {"options": tuple(o for _, o in pairs)})
    return replace(node, inputs=(node.inputs[0], *(value for value, _ in pairs)), attrs=attrs)


def without_unread(graph: Graph) -> Graph:
    """The graph where no node gives its body a constant that the body does not read."""
    nodes = tuple(map(_without_unread, graph.nodes))
    return graph if nodes == graph.nodes else graph.with_nodes(nodes)


def _without_unread(node: Node) -> Node:
    body = body_of(node)
    if body is None:
        return node
    assert isinstance(node.attrs, BodyAttrs)
    first = node.attrs.FIRST_CONSTANT
    read = body.needed(body.results)
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
    graph = replace(graph)  # infers all types anew
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
            message = f"cell '{node.cell.name}' is both {kinds[node.cell.name]} and "
            raise NasirError("E401", f"{message}{node.cell.kind}", node.place)
    return graph


def _unwritable(graph: Graph) -> Iterator[str]:
    """The names, other than its nodes', that the text form of a graph cannot hold."""
    for body in graph.bodies:
        yield from _unwritable(body)
    words = [key for key, _ in graph.meta] + [name for name, _ in graph.inputs]
    for at in {node.at for node in graph if node.at}:
        steps = (word for slot, op in at.steps for word in (slot.kind, op))
        words += [at.cell.kind, at.cell.name, *(word for word in steps if word not in ("", MIXED))]
    words += [choice.name for choice in graph.choices]
    yield from (word for word in words if not NAME.fullmatch(word))
    options = (name for choice in graph.choices for name in choice.options)
    yield from (name for name in options if not name or len(name.split()) != 1)


@in_bodies
def infer_types(graph: Graph) -> Graph:
    """The graph unchanged, with the types of all values inferred anew from its inputs'."""
    return replace(graph)


@in_bodies
def expand(graph: Graph) -> Graph:
    """Replaces macros by primitives named below them; identities are removed.

    Weights get the keys `<macro node>/<primitive>.<parameter>`.
    """

    def step(node: Node) -> tuple[Iterable[Node], str]:
        if not isinstance(node.op, Macro):
            return (node,), node.name
        # The types of the inputs under their names before expansion.
        return template(node.op, node.attrs, graph.types_of(graph[node.name])).instance(node)

    return rewritten(graph, step)


@in_bodies
def canonicalise(graph: Graph) -> Graph:
    """Removes zeros from sums and mixtures, single sums and joins, and repeated idempotents.

    Two inputs of a commutative op are sorted by definition (more than two keep their order, on
    which floating-point sums depend). x + 0 equals x except for the sign of a zero and for NaN
    inside a zeroed path, which the graph treats as zero.
    """
    order = {name: place for place, name in enumerate(graph.types)}
    nodes: dict[str, Node] = {}

    def step(old: Node) -> tuple[Iterable[Node], str]:
        node = _sorted(_without_zeros(old, nodes), order)
        same = _same_value(node, nodes)
        if same is not None:
            return (), same
        nodes[node.name] = node
        return (node,), node.name

    return rewritten(graph, step)


def _without_zeros(node: Node, nodes: Mapping[str, Node]) -> Node:
    """A sum or mixture without zeros; of zeros alone, the first stays."""
    if node.has("mixture"):
        kept = tuple(p for p in mixed(node) if not _is_zero(p[0], nodes)) or mixed(node)[:1]
        return node if kept == mixed(node) else with_options(node, kept)
    if not node.has("sum"):
        return node
    inputs = tuple(x for x in node.inputs if not _is_zero(x, nodes))
    return replace(node, inputs=inputs or node.inputs[:1])


def _is_zero(name: str, nodes: Mapping[str, Node]) -> bool:
    return name in nodes and nodes[name].has("zero")


def _sorted(node: Node, order: Mapping[str, int]) -> Node:
    if not node.has("commutative") or len(node.inputs) != 2:
        return node
    return replace(node, inputs=tuple(sorted(node.inputs, key=order.__getitem__)))


def _same_value(node: Node, nodes: Mapping[str, Node]) -> str | None:
    """The earlier value that equals the node's value, if there is one."""
    source = node.inputs[0]
    if node.has("mixture"):
        return node.inputs[1] if _is_zero(node.inputs[1], nodes) else None
    if len(node.inputs) == 1 and (node.has("sum") or node.has("join")):
        return source
    before = nodes.get(source) if node.has("idempotent") else None
    return source if before and (before.op, before.attrs) == (node.op, node.attrs) else None


@in_bodies
def dead_code(graph: Graph) -> Graph:
    """Removes nodes that no output or auxiliary output depends on.

    Removes constants that a body does not read, and the inputs of its node for them.
    """
    graph = without_unread(graph)
    return only(graph, graph.results)


@in_bodies
def idle_code(graph: Graph) -> Graph:
    """Removes nodes that no output and no running statistic depends on.

    For training: the papers' code also computes values that only zeros read, and updates their
    statistics. Run it after `dead_code`.
    """
    graph = without_unread(graph)
    return only(graph, graph.moved(graph.results))


def cse(graph: Graph, alone: Collection[str] = ()) -> Graph:
    """Merges nodes that compute the same value from the same inputs; results are bitwise equal.

    Weights are part of a node's identity: equal convolutions merge only if they share parameters.
    Random ops, macros (which have no weights yet: expand first) and the nodes named in `alone` are
    not merged.
    """
    first: dict[Hashable, str] = {}

    def step(node: Node) -> tuple[Iterable[Node], str]:
        if node.has("random") or isinstance(node.op, Macro) or node.name in alone:
            return (node,), node.name
        twin = first.setdefault(node.identity, node.name)
        return (node,) if twin == node.name else (), twin

    return rewritten(with_bodies(graph, cse), step)


def draws_given(graph: Graph) -> Graph:
    """The graph whose random nodes read their samples from inputs named `<node>.draw`.

    Passes can then share, remove and recompute nodes without changing samples. Random nodes in
    bodies, which sample at each application, are unchanged. Raises an error if the name of an input
    is taken.
    """
    drawn: list[tuple[str, Type]] = []
    nodes: list[Node] = []
    for node in graph:
        spec = node.op if isinstance(node.op, OpSpec) else None
        if spec is not None and spec.drawn is not None and spec.draw is not None:
            name = f"{node.name}{_DRAW}"
            if name in graph.types:
                raise NasirError("E401", f"the name {quoted(name)} is taken")
            drawn.append((name, spec.draw(node.attrs, graph.types_of(node))))
            node = replace(node, op=spec.drawn, inputs=(*node.inputs, name))
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), inputs=(*graph.inputs, *drawn)) if drawn else graph


def is_draw(name: str) -> bool:
    """Whether this is the name of an input that `draws_given` made."""
    return name.endswith(_DRAW)


def given_inputs(graph: Graph) -> tuple[tuple[str, Type], ...]:
    """The inputs that a call takes; the probability is an attribute of the network."""
    return tuple(row for row in graph.inputs if row[0] != PROBABILITY)


@in_bodies
def evaluation(graph: Graph) -> Graph:
    """Replaces ops for training only, such as dropout, by their first input.

    `dead-code` removes the samples that they read. The result equals the graph bitwise in
    evaluation mode, and drops nothing in training mode.
    """
    return rewritten(graph, lambda n: ((), n.inputs[0]) if n.has("training") else ((n,), n.name))


@in_bodies
def fold_batch_norm(graph: Graph) -> Graph:
    """Folds each batch norm that alone reads a convolution into its weight and bias.

    With scale s = γ / sqrt(var + ε): weight' = s·weight, bias' = β + s·(bias − mean), from the
    running statistics. The new weights carry the refs of their parts, from which a store computes
    them. The result equals the graph in inference up to rounding, and cannot be trained.
    """
    nodes: dict[str, Node] = {}

    def step(node: Node) -> tuple[Iterable[Node], str]:
        before = nodes.get(node.inputs[0]) if node.has("channel_affine") else None
        if before is None or not _foldable(graph, before):
            nodes[node.name] = node
            return (node,), node.name
        nodes[before.name] = _folded(before, node)
        return (), before.name

    after = rewritten(graph, step)
    return graph if after is graph else after.with_nodes(nodes.values())


def _foldable(graph: Graph, before: Node) -> bool:
    """True unless its value is read elsewhere; derived weights cannot be folded into again."""
    return (
        before.has("absorbs_affine")
        and len(graph.readers[before.name]) == 1
        and before.name not in graph.results
        and not any(ref.parts for ref in before.params)
    )


def _folded(conv: Node, norm: Node) -> Node:
    parts = tuple((ref.name, ref) for ref in conv.params)
    parts += tuple((f"norm_{ref.name}", ref) for ref in norm.params)
    eps = float(dict(norm.attrs)["eps"])
    shape = conv.params[0].shape
    folded = partial(ParamRef, buffer=False, parts=parts)
    params = (
        folded(f"{norm.name}.folded_weight", shape, Init("fold_weight", eps)),
        folded(f"{norm.name}.folded_bias", shape[:1], Init("fold_bias", eps)),
    )
    attrs = make_attrs(conv.op, dict(conv.attrs) | {"bias": True})
    return replace(conv, attrs=attrs, params=params)


@in_bodies
def freeze_noise(graph: Graph) -> Graph:
    """Replaces random samples by buffers, equal for all examples.

    For inference and export of networks with `noise` (the S4 space), which are random in inference
    too; the distribution over examples differs from the published one.
    """
    if not graph.has("random"):
        return graph
    return graph.with_nodes(_frozen(graph, node) for node in graph.nodes)


def _frozen(graph: Graph, node: Node) -> Node:
    fixed = node.op.frozen if isinstance(node.op, OpSpec) else None
    if fixed is None:
        return node
    params = default_params(node.name, meaning(fixed, node.attrs, graph.types_of(node)).params)
    return replace(node, op=fixed, params=params)


@in_bodies
def early_strides(graph: Graph) -> Graph:
    """A convolution that reads every n-th pixel alone reads an image that has no others.

    Where stride, dilation and padding have the common factor n, as in DARTS' dilated convolutions
    of reduction cells. Equal up to rounding; oneDNN's backward takes a tenth of the time.
    """

    def step(node: Node) -> tuple[Iterable[Node], str]:
        attrs = node.attrs
        if not isinstance(attrs, ConvAttrs) or node.op is not CONV2D:
            return (node,), node.name
        sizes = {"stride": attrs.stride, "dilation": attrs.dilation, "padding": attrs.margins}
        rows, columns = map(gcd, *sizes.values())
        if max(rows, columns) == 1 or min(attrs.kernel) == 1:
            return (node,), node.name
        name = f"{node.name}+strided"
        less = {key: (high // rows, wide // columns) for key, (high, wide) in sizes.items()}
        pixels = AvgPoolAttrs(kernel=(1, 1), stride=(rows, columns))
        strided = replace(node, name=name, op=AVG_POOL, attrs=pixels, params=())
        conv = replace(node, inputs=(name,), attrs=attrs.model_copy(update=less))
        return (strided, conv), node.name

    return rewritten(graph, step)


@in_bodies
def depthwise_convs(graph: Graph) -> Graph:
    """Depthwise convolutions of large windows become nodes with a backward of their own.

    Those with a dilation, or of more than three columns: oneDNN's gradients of them are slow.
    """
    return graph.with_nodes(
        replace(node, op=DEPTHWISE_CONV) if _is_large(graph, node) else node for node in graph.nodes
    )


def _is_large(graph: Graph, node: Node) -> bool:
    attrs = node.attrs
    return (
        node.op is CONV2D
        and isinstance(attrs, ConvAttrs)
        and attrs.groups == attrs.out == graph.types[node.inputs[0]].shape[0]
        and attrs.stride == (1, 1)
        and (min(attrs.dilation) > 1 or attrs.kernel[1] > 3)
        and not attrs.bias
    )
