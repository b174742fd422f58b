"""Fuses sums of mixtures or moves them, and fuses norms and convolutions of one value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import Attrs, ChainUnit, OpSpec, ParamRef
from nasir.ops.arithmetic import CONCAT, RELU
from nasir.ops.fused import (
    CONV_BANK,
    MIXED_SUM,
    ConvBankAttrs,
    MixedChain,
    MixedSumAttrs,
)
from nasir.ops.layers import (
    CHANNEL_SHUFFLE,
    CHANNELS,
    CROP,
    ChannelsAttrs,
    ConvAttrs,
    CropAttrs,
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
def late_joins(graph: Graph) -> Graph:
    """Sums before they join: a sum of equal shuffles of channels becomes the shuffle of a sum.

    So do sums and mixtures of joins whose pieces are of equal sizes: they become the join of one
    sum for each place. With partial channels (Xu et al., arXiv:1907.05737) a node then has one
    mixture of all edges' first channels, and one shuffle. Equal up to rounding.
    """
    made: dict[str, tuple[Node, ...]] = {}
    gone: set[str] = set()
    for node in graph.nodes:
        nodes = _late(graph, node, gone)
        if len(nodes) > 1:
            made[node.name] = nodes
    if not made:
        return graph
    kept = (made.get(node.name, (node,)) for node in graph.nodes if node.name not in gone)
    return graph.with_nodes(node for nodes in kept for node in nodes)


def _late(graph: Graph, node: Node, gone: set[str]) -> tuple[Node, ...]:
    """The nodes that compute the value of a sum, which comes last; `gone` gets those replaced."""
    if not is_sum(node):
        return (node,)
    values = [value for value, _ in summands(node, ())]
    weights = node.inputs[: -len(values)]
    terms = [graph[name] for name in values if name in graph]
    if len(terms) < len(values) or not _alike(graph, terms):
        return (node,)
    gone.update(values)
    sums: list[Node] = []
    pieces: list[str] = []
    for place, inputs in enumerate(zip(*(term.inputs for term in terms), strict=True)):
        pieces.append(f"{node.name}+{place}")
        piece = replace(node, name=pieces[-1], inputs=(*weights, *inputs))
        sums += _late(graph, piece, gone)
    join = replace(node, op=terms[0].op, attrs=terms[0].attrs, inputs=tuple(pieces))
    return (*sums, join)


def _alike(graph: Graph, terms: list[Node]) -> bool:
    """True for different joins or shuffles of equal types that a sum alone reads."""
    names = {term.name for term in terms}
    kinds = {
        (term.op.name, term.attrs, tuple(graph.types[name] for name in term.inputs))
        for term in terms
    }
    return (
        len(kinds) == 1
        and len(names) == len(terms)
        and all(term.op in (CONCAT, CHANNEL_SHUFFLE) for term in terms)
        and all(len(graph.readers[name]) == 1 for name in names)
        and names.isdisjoint(graph.results)
    )


@in_bodies
def mixed_sums(graph: Graph) -> Graph:
    """Fuses sums of mixtures of images, and the chains that they add, to `mixed_sum` nodes.

    A sum absorbs the sums and mixtures that it alone reads; scalar weights of one value are merged.
    Then each term absorbs the units (`OpSpec.unit`) before it that nothing else reads; so does a
    batch norm that ends a chain outside sums. Run it before `cse`, which would share the beginnings
    of chains. Equal up to rounding.
    """
    inner = _inner(graph)
    return _fused(graph, {node.name: _chains(graph, node, inner) for node in graph.nodes})


@in_bodies
def mixed_norms(graph: Graph) -> Graph:
    """Fuses mixtures of images with the weightless norms that they alone read to `mixed_sum` nodes.

    A coefficient is then the weight of its norm, so that no term is multiplied by itself: for
    targets that have no more of a mixed sum. Run it after `share-norms`. Equal up to rounding.
    """
    inner = _inner(graph)

    def chains(node: Node) -> tuple[_Chain, ...]:
        mixes = node.has("mixture") and isinstance(graph.types[node.name], ImageType)
        terms = summands(node, ()) if mixes else ()
        once = {value for value, _ in terms if value in inner and node.inputs.count(value) == 1}
        found = tuple(_normed(graph, value, product, once) for value, product in terms)
        return found if any(chain.units for chain in found) else ()

    return _fused(graph, {node.name: chains(node) for node in graph.nodes})


def _inner(graph: Graph) -> set[str]:
    """The nodes that one other reads."""
    return {
        name
        for name, readers in graph.readers.items()
        if len(readers) == 1 and name not in graph.results and name in graph
    }


def _normed(graph: Graph, value: str, product: Product, once: set[str]) -> _Chain:
    """A term from before its norm, if the norm is among `once`."""
    node = graph.by_name.get(value)
    unit = _unit(graph, node) if node and value in once and node.has("channel_affine") else None
    if node is None or unit is None:
        return _Chain(value, products=(product,))
    return _Chain(node.inputs[0], (unit,), node.params, (product,))


def _fused(graph: Graph, chains: Mapping[str, tuple[_Chain, ...]]) -> Graph:
    """The graph where a sum of chains is one node, without what nothing else reads."""
    made = {name: _mixed_node(graph, graph[name], terms) for name, terms in chains.items() if terms}
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
    if is_sum(node) and not _taken_in(graph, node, inner):
        terms = _merged(_terms(graph, node, (), inner, root=True))
        return tuple(_absorbed(graph, term, inner) for term in terms) if _mixes(terms) else ()
    if node.has("channel_affine"):
        chain = _absorbed(graph, _Chain(node.name), inner | {node.name})
        fits = len(chain.units) == 1 and chain.units[0].product
        return (chain,) if fits and not _read_by_sum(graph, node, inner) else ()
    return ()


def is_sum(node: Node) -> bool:
    """True for a sum and for a mixture."""
    return node.has("mixture") or node.has("sum")


def summands(node: Node, factors: Product) -> list[tuple[str, Product]]:
    """The values that a sum or a mixture adds, each with the factors times its own."""
    if node.has("sum"):
        return [(name, factors) for name in node.inputs]
    return [(value, (*factors, (node.inputs[0], option))) for value, option in mixed(node)]


def _taken_in(graph: Graph, node: Node, inner: set[str]) -> bool:
    """True if the sum that alone reads the node absorbs it."""
    return node.name in inner and is_sum(graph[graph.readers[node.name][0]])


def _read_by_sum(graph: Graph, node: Node, inner: set[str]) -> bool:
    """True if the node is part of a chain that a sum absorbs."""
    while node.name in inner:
        node = graph[graph.readers[node.name][0]]
        if is_sum(node):
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
    if not root and not (is_sum(node) and node.name in inner):
        return [_Chain(node.name, products=(factors,))]
    chains: list[_Chain] = []
    for value, product in summands(node, factors):
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
        unit, source, weights = _unit(graph, node), node.inputs[0], node.params
        if reduce := _reduce(graph, node, inner):
            unit, source, weights = reduce
        elif unit is None or len(node.inputs) != 1:
            break
        joined = unit.then(units[0]) if units else unit
        units = (unit, *units) if joined is None else (joined, *units[1:])
        value, params = source, (*weights, *params)
    return _Chain(value, units, params, chain.products)


def _reduce(
    graph: Graph, node: Node, inner: set[str]
) -> tuple[ChainUnit, str, tuple[ParamRef, ...]] | None:
    """A factorized reduce as a unit, the value that it reads, and its weights; None for others.

    It joins two convolutions with one pixel and stride 2, the second of the value without its first
    row and column. A ReLU before both that nothing else reads is part of it.
    """
    if node.op is not CONCAT or len(node.inputs) != 2 or not inner.issuperset(node.inputs):
        return None
    first, second = (graph[name] for name in node.inputs)
    crop = graph.by_name.get(second.inputs[0])
    if crop is None or crop.attrs != CropAttrs(top=1, left=1) or crop.inputs != first.inputs:
        return None
    sizes = graph.types[first.name].shape, graph.types[second.name].shape
    if not (_halves(first) and _halves(second)) or sizes[0][0] != sum(s[0] for s in sizes) // 2:
        return None
    unit = ChainUnit(
        window="factorized", kernel=(2, 2), stride=(2, 2), product=sizes[0][0] + sizes[1][0]
    )
    value = first.inputs[0]
    before = graph.by_name.get(value)
    alone = value not in graph.results and set(graph.readers[value]) == {first.name, crop.name}
    if before and before.op is RELU and alone:
        unit, value = unit.model_copy(update={"relu": True}), before.inputs[0]
    return unit, value, (*first.params, *second.params)


def _halves(node: Node) -> bool:
    """True for a convolution of single pixels with stride 2 and a weight that is not derived."""
    attrs = node.attrs
    return (
        isinstance(attrs, ConvAttrs)
        and _is_dense(node, attrs)
        and (attrs.kernel, attrs.stride, attrs.margins) == ((1, 1), (2, 2), (0, 0))
    )


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
