"""Mixtures and the chains that lead to them become single nodes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import Attrs, ChainUnit, OpSpec, ParamRef
from nasir.ops.fused import MIXED_SUM, MixedChain, MixedSumAttrs
from nasir.passes.bodies import in_bodies
from nasir.types import ImageType

Product = tuple[tuple[str, int], ...]
"""Entries of choices' weights that are multiplied, as (weights, entry)."""


@dataclass(frozen=True, slots=True)
class _Chain:
    """A value, the units that it goes through, their weights, and the sum of its coefficients."""

    value: str
    units: tuple[ChainUnit, ...] = ()
    params: tuple[ParamRef, ...] = ()
    products: tuple[Product, ...] = ()


@in_bodies
def mixed_sums(graph: Graph) -> Graph:
    """Sums of mixtures of images become `mixed_sum` nodes, which absorb the chains they add.

    A sum takes in the sums and mixtures that it alone reads; scalar weights of one value are
    merged. Then each term takes in the units (`OpSpec.unit`) before it that nothing else reads; so
    does a batch norm that ends a chain outside of sums. Run it before `cse`, which would share the
    beginnings of chains. The result is the same up to rounding.
    """
    shown = {*graph.outputs, *graph.auxiliary}
    inner = {
        name
        for name, readers in graph.readers.items()
        if len(readers) == 1 and name not in shown and name in graph
    }
    made: dict[str, Node] = {}
    for node in graph.nodes:
        chains = _chains(graph, node, inner)
        if chains:
            made[node.name] = _node(graph, node, chains)
    if not made:
        return graph
    after = graph.with_nodes(made.get(n.name, n) for n in graph.nodes)
    ends = (name for name, readers in graph.readers.items() if not readers)
    return _without_unread(after, (*shown, *ends))


def lean_sums(graph: Graph) -> Graph:
    """The graph whose mixed sums keep their inputs alone for backward; not those in bodies."""
    return graph.with_nodes(
        replace(node, attrs=node.attrs.model_copy(update={"recompute": True}))
        if node.op is MIXED_SUM
        else node
        for node in graph.nodes
    )


def _chains(graph: Graph, node: Node, inner: set[str]) -> tuple[_Chain, ...]:
    """The chains whose sum the node is, if it is such a sum and none that another takes in."""
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
    """Whether a sum that alone reads the node takes it in."""
    return node.name in inner and _is_sum(graph[graph.readers[node.name][0]])


def _read_by_sum(graph: Graph, node: Node, inner: set[str]) -> bool:
    """Whether the node is part of a chain that a sum takes in."""
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
    if node.has("mixture"):
        weights, *values = node.inputs
        options: tuple[int, ...] = dict(node.attrs)["options"]
        pairs = [(v, (*factors, (weights, o))) for v, o in zip(values, options, strict=True)]
    else:
        pairs = [(value, factors) for value in node.inputs]
    chains: list[_Chain] = []
    for value, product in pairs:
        if value in graph and node.inputs.count(value) == 1:
            chains += _terms(graph, graph[value], product, inner)
        else:
            chains.append(_Chain(value, products=(product,)))
    return chains


def _merged(chains: Iterable[_Chain]) -> tuple[_Chain, ...]:
    """One chain for each value, with all its coefficients."""
    found: dict[str, _Chain] = {}
    for chain in chains:
        before = found.get(chain.value)
        products = (*before.products, *chain.products) if before else chain.products
        found[chain.value] = replace(chain, products=products)
    return tuple(found.values())


def _absorbed(graph: Graph, chain: _Chain, inner: set[str]) -> _Chain:
    """The chain with the units before it that nothing else reads."""
    while chain.value in inner:
        node = graph[chain.value]
        unit = _unit(graph, node)
        if unit is None or len(node.inputs) != 1:
            break
        joined = unit.then(chain.units[0]) if chain.units else unit
        units = (unit, *chain.units) if joined is None else (joined, *chain.units[1:])
        chain = replace(
            chain, value=node.inputs[0], units=units, params=(*node.params, *chain.params)
        )
    return chain


def _unit(graph: Graph, node: Node) -> ChainUnit | None:
    if not isinstance(node.op, OpSpec):
        return None
    return node.op.unit(node.attrs, tuple(graph.types[name] for name in node.inputs))


def _node(graph: Graph, node: Node, chains: tuple[_Chain, ...]) -> Node:
    """The sum of chains in a node's place, under its name."""
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


def _without_unread(graph: Graph, ends: Iterable[str]) -> Graph:
    """The graph without the nodes that the new ones took in: what the ends need is left."""
    read = graph.needed(tuple(ends))
    return graph.with_nodes(node for node in graph.nodes if node.name in read)
