"""Fuses sums of mixtures, and batch norms and convolutions that read the same value."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import permutations

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import Attrs, ChainUnit, OpSpec, ParamRef
from nasir.ops.arithmetic import MUL, SIGMOID, SUB
from nasir.ops.fused import (
    CONV_BANK,
    FUNCTIONS,
    HIGHWAY_SUM,
    MIXED_SUM,
    Branch,
    ConvBankAttrs,
    Highway,
    HighwaySumAttrs,
    MixedChain,
    MixedSumAttrs,
)
from nasir.ops.layers import (
    CHANNELS,
    CHUNK,
    CROP,
    PROJECT,
    ChannelsAttrs,
    ChunkAttrs,
    ConvAttrs,
    CropAttrs,
    ProjectAttrs,
    slid,
)
from nasir.passes.rewriting import in_bodies, mixed, only, rewritten
from nasir.template import make_attrs
from nasir.types import ImageType

Product = tuple[tuple[str, int], ...]
"""Entries of choices' weights that are multiplied, as (weights, entry)."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """A value, the units applied to it, their weights, and the products of its coefficient."""

    value: str
    units: tuple[ChainUnit, ...] = ()
    params: tuple[ParamRef, ...] = ()
    products: tuple[Product, ...] = ()


@in_bodies
def mixed_sums(graph: Graph) -> Graph:
    """Fuses sums of mixtures of images, and the chains that they add, to `mixed_sum` nodes.

    A sum absorbs the sums and mixtures that it alone reads; scalar weights of one value are merged.
    Then each term absorbs the units (`OpSpec.unit`) before it that nothing else reads; so does a
    batch norm that ends a chain outside sums. Run it before `cse`, which would share the beginnings
    of chains. Equal up to rounding.
    """
    inner = {
        name
        for name, readers in graph.readers.items()
        if len(readers) == 1 and name not in graph.results and name in graph
    }
    made: dict[str, Node] = {}
    for node in graph.nodes:
        chains = _chains(graph, node, inner)
        if chains:
            made[node.name] = _mixed_node(graph, node, chains)
    if not made:
        return graph
    after = graph.with_nodes(made.get(n.name, n) for n in graph.nodes)
    ends = (name for name, readers in graph.readers.items() if not readers)
    return only(after, (*graph.results, *ends))


def lean_sums(graph: Graph) -> Graph:
    """The graph whose mixed sums, except in bodies, save their inputs alone for backward."""
    return graph.with_nodes(
        replace(node, attrs=node.attrs.model_copy(update={"recompute": True}))
        if node.op is MIXED_SUM
        else node
        for node in graph.nodes
    )


def _chains(graph: Graph, node: Node, inner: set[str]) -> tuple[_Chain, ...]:
    """The chains that the node sums; none if it is no such sum or another sum absorbs it."""
    if not isinstance(graph.types[node.name], ImageType):
        return ()
    if _is_sum(node) and not _taken_in(graph, node, inner):
        terms = _merged(_terms(graph, node, (), inner, root=True))
        return tuple(_absorbed(graph, term, inner) for term in terms) if _mixes(terms) else ()
    if node.has("channel_affine"):
        chain = _absorbed(graph, _Chain(node.name), inner | {node.name})
        fits = len(chain.units) == 1 and chain.units[0].product
        return (chain,) if fits and not _read_by_sum(graph, node, inner) else ()
    return ()


def _is_sum(node: Node) -> bool:
    return node.has("mixture") or node.has("sum")


def _taken_in(graph: Graph, node: Node, inner: set[str]) -> bool:
    """True if the sum that alone reads the node absorbs it."""
    return node.name in inner and _is_sum(graph[graph.readers[node.name][0]])


def _read_by_sum(graph: Graph, node: Node, inner: set[str]) -> bool:
    """True if the node is part of a chain that a sum absorbs."""
    while node.name in inner:
        node = graph[graph.readers[node.name][0]]
        if _is_sum(node):
            return True
        if _unit(graph, node) is None:
            return False
    return False


def _mixes(chains: Iterable[_Chain]) -> bool:
    return any(product for chain in chains for product in chain.products)


def _terms(
    graph: Graph, node: Node, factors: Product, inner: set[str], *, root: bool = False
) -> list[_Chain]:
    """The values that the node adds, each with the product of its factors."""
    if not root and not (_is_sum(node) and node.name in inner):
        return [_Chain(node.name, products=(factors,))]
    chains: list[_Chain] = []
    for value, product in _summands(node, factors):
        if value in graph and node.inputs.count(value) == 1:
            chains += _terms(graph, graph[value], product, inner)
        else:
            chains.append(_Chain(value, products=(product,)))
    return chains


def _merged(chains: Iterable[_Chain]) -> tuple[_Chain, ...]:
    """The chains with those of equal values merged."""
    found: dict[str, _Chain] = {}
    for chain in chains:
        before = found.get(chain.value)
        products = (*before.products, *chain.products) if before else chain.products
        found[chain.value] = replace(chain, products=products)
    return tuple(found.values())


def _absorbed(graph: Graph, chain: _Chain, inner: set[str]) -> _Chain:
    """The chain with the units before it that nothing else reads."""
    value, units, params = chain.value, chain.units, chain.params
    while value in inner:
        node = graph[value]
        unit = _unit(graph, node)
        if unit is None or len(node.inputs) != 1:
            break
        joined = unit.then(units[0]) if units else unit
        units = (unit, *units) if joined is None else (joined, *units[1:])
        value, params = node.inputs[0], (*node.params, *params)
    return _Chain(value, units, params, chain.products)


def _unit(graph: Graph, node: Node) -> ChainUnit | None:
    if not isinstance(node.op, OpSpec):
        return None
    return node.op.unit(node.attrs, graph.types_of(node))


def _mixed_node(graph: Graph, node: Node, chains: tuple[_Chain, ...]) -> Node:
    """The node that replaces `node` and computes the sum of chains."""
    weights = (w for chain in chains for product in chain.products for w, _ in product)
    inputs = tuple(dict.fromkeys((*(chain.value for chain in chains), *weights)))
    place = {name: number for number, name in enumerate(inputs)}
    attrs: Attrs = MixedSumAttrs(terms=tuple(_term(chain, place) for chain in chains))
    params = tuple(ref for chain in chains for ref in chain.params)
    return replace(node, op=MIXED_SUM, inputs=inputs, attrs=attrs, params=params)


def _term(chain: _Chain, place: Mapping[str, int]) -> MixedChain:
    products = tuple(tuple((place[w], o) for w, o in product) for product in chain.products)
    return MixedChain(
        value=place[chain.value],
        units=chain.units,
        products=() if products == ((),) else products,
    )


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
    if gated or not _is_sum(node):
        yield gated and replace(gated, nodes=gated.nodes | path, factors=factors)
        return
    for name, product in _summands(node, factors):
        once = name in graph and node.inputs.count(name) == 1
        if once and graph.readers[name] == (node.name,):
            yield from _leaves(graph, graph[name], product, path | {name})
        else:
            yield None


def _summands(node: Node, factors: Product) -> list[tuple[str, Product]]:
    if node.has("sum"):
        return [(name, factors) for name in node.inputs]
    return [(value, (*factors, (node.inputs[0], option))) for value, option in mixed(node)]


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


_Key = tuple[object, ...]
_Offset = tuple[int, int]


@in_bodies
def share_norms(graph: Graph) -> Graph:
    """Merges batch norms that differ only in running statistics; the result keeps all of these.

    In a supernet every edge that pools a state normalises the same values. Results and running
    statistics are bitwise equal in training; in evaluation each norm reads its own statistics.
    """
    found: dict[_Key, list[Node]] = {}

    def step(node: Node) -> tuple[Iterable[Node], str]:
        if not node.has("channel_affine") or not all(ref.buffer for ref in node.params):
            return (node,), node.name
        nodes = found.setdefault((node.op, node.inputs, node.attrs), [])
        nodes.append(node)
        return (node,) if len(nodes) == 1 else (), nodes[0].name

    after = rewritten(graph, step)
    if after is graph:
        return graph
    shared = {nodes[0].name: _together(nodes) for nodes in found.values() if len(nodes) > 1}
    return after.with_nodes(shared.get(node.name, node) for node in after)


def _together(nodes: list[Node]) -> Node:
    first = nodes[0]
    attrs = make_attrs(first.op, dict(first.attrs) | {"copies": len(nodes)})
    return replace(first, attrs=attrs, params=tuple(ref for node in nodes for ref in node.params))


@in_bodies
def horizontal(graph: Graph) -> Graph:
    """Fuses dense convolutions of one value with equal windows; each becomes some of the channels.

    1x1 convolutions of the value and of its crops, as in a factorized reduce, become points of one
    window. Weights are unchanged and concatenated only during the step. Depthwise convolutions are
    unchanged: mixed sums contain theirs, and a grouped convolution of torch is no faster. Equal up
    to rounding.
    """
    made: dict[str, Node] = {}
    parts: dict[str, Node] = {}
    for nodes in _groups(graph):
        bank = _bank(graph, nodes)
        made[nodes[0].name] = bank
        parts |= _parts(nodes, bank)
    if not made:
        return graph
    kept: list[Node] = []
    for node in graph.nodes:
        if node.name in made:
            kept.append(made[node.name])
        kept.append(parts.get(node.name, node))
    return graph.with_nodes(kept)


def _groups(graph: Graph) -> list[list[Node]]:
    """The convolutions to fuse, by group."""
    found: dict[_Key, list[Node]] = {}
    for node in graph.nodes:
        if isinstance(node.attrs, ConvAttrs) and _is_dense(node, node.attrs):
            found.setdefault(_key(graph, node, node.attrs), []).append(node)
    groups: list[list[Node]] = []
    for nodes in found.values():
        if _fits(graph, nodes):
            groups.append(nodes)
        else:
            groups += ([n for n in nodes if n.inputs == i] for i in {n.inputs: 0 for n in nodes})
    return [nodes for nodes in groups if len(nodes) > 1]


def _is_dense(node: Node, attrs: ConvAttrs) -> bool:
    """True for a convolution of all channels with a weight that is not derived."""
    return attrs.groups == 1 and not attrs.bias and not any(ref.parts for ref in node.params)


def _key(graph: Graph, node: Node, attrs: ConvAttrs) -> _Key:
    """Equal for convolutions that can be fused; they belong to one cell, which is one call."""
    source, _ = _source(graph, node)
    shape = graph.types[node.name].shape[1:]
    return (source, attrs.kernel, attrs.stride, attrs.margins, attrs.dilation, shape, node.cell)


def _source(graph: Graph, node: Node) -> tuple[str, _Offset]:
    """The convolution's input and (0, 0); for a point, the cropped value and the offset."""
    (name,) = node.inputs
    attrs = node.attrs
    assert isinstance(attrs, ConvAttrs)
    crop = graph.by_name.get(name)
    if crop and crop.op is CROP and attrs.kernel == (1, 1) and attrs.margins == (0, 0):
        assert isinstance(crop.attrs, CropAttrs)
        offset = (crop.attrs.top, crop.attrs.left)
        if all(o < s for o, s in zip(offset, attrs.stride, strict=True)):
            return crop.inputs[0], offset
    return name, (0, 0)


def _offsets(graph: Graph, nodes: Iterable[Node]) -> tuple[_Offset, ...]:
    return tuple(_source(graph, node)[1] for node in nodes)


def _fits(graph: Graph, nodes: list[Node]) -> bool:
    """True if the window around all offsets gives results of the same size."""
    offsets = _offsets(graph, nodes)
    if not any(any(offset) for offset in offsets):
        return True
    attrs, made = nodes[0].attrs, graph.types[nodes[0].name]
    x = graph.types[_source(graph, nodes[0])[0]]
    assert isinstance(attrs, ConvAttrs)
    assert isinstance(x, ImageType)
    return slid(x, _window(offsets), attrs.stride, (0, 0), (1, 1)).shape[1:] == made.shape[1:]


def _window(offsets: Iterable[_Offset]) -> _Offset:
    """The smallest window around these points."""
    rows, columns = zip(*offsets, strict=True)
    return max(rows) + 1, max(columns) + 1


def _bank(graph: Graph, nodes: list[Node]) -> Node:
    first = nodes[0]
    attrs = [node.attrs for node in nodes if isinstance(node.attrs, ConvAttrs)]
    offsets = _offsets(graph, nodes) if len({node.inputs for node in nodes}) > 1 else ()
    return replace(
        first,
        name=f"{first.name}+bank",
        op=CONV_BANK,
        inputs=(_source(graph, first)[0],) if offsets else first.inputs,
        attrs=ConvBankAttrs(
            outs=tuple(each.out for each in attrs),
            kernel=_window(offsets) if offsets else attrs[0].kernel,
            stride=attrs[0].stride,
            padding=attrs[0].margins,
            dilation=(1, 1) if offsets else attrs[0].dilation,
            rows=tuple(row for row, _ in offsets),
            columns=tuple(column for _, column in offsets),
        ),
        params=tuple(node.params[0] for node in nodes),
    )


def _parts(nodes: list[Node], bank: Node) -> dict[str, Node]:
    """The nodes that replace the convolutions, by name."""
    assert isinstance(bank.attrs, ConvBankAttrs)
    outs = bank.attrs.outs
    attrs = (ChannelsAttrs(start=sum(outs[:i]), count=out) for i, out in enumerate(outs))
    taken = {"op": CHANNELS, "inputs": (bank.name,), "params": ()}
    return {n.name: replace(n, attrs=a, **taken) for n, a in zip(nodes, attrs, strict=True)}
