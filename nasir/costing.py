"""Costs of a graph, and of many genotypes without building their networks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from nasir.arguments import checked
from nasir.errors import NasirError, Summarised
from nasir.graph import Builder, Graph, body_of
from nasir.node import Node, below
from nasir.ops import Attrs, Macro, Op
from nasir.space.skeletons import Skeleton, write_network
from nasir.space.space import Genotype
from nasir.template import find_op, make_attrs, meaning, template
from nasir.types import Type, elements

CONVENTION = (
    "for one example (of a sequence one step, a token); a multiply-add counts once; only "
    "convolutions, linear maps and matrix products are counted; "
    "parameters without buffers and without the auxiliary head; activations are the scalars that "
    "every primitive writes"
)


_KEPT = 1 << 14
"""The most ops with their attributes and types that are remembered."""


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The cost of a node. A shared parameter counts at the first node that uses it."""

    name: str
    op: str
    params: int
    macs: int
    activations: int
    auxiliary: bool


@dataclass(frozen=True, slots=True, repr=False)
class Cost(Summarised):
    """The totals of the network, of its auxiliary head apart, and of every node."""

    params: int
    macs: int
    activations: int
    auxiliary: "Cost | None"
    nodes: tuple[NodeCost, ...]
    convention: str = CONVENTION

    @property
    def _facts(self) -> Mapping[str, object]:
        names = ("params", "macs", "activations", "auxiliary")
        return {name: getattr(self, name) for name in names} | {"nodes": len(self.nodes)}


@checked
def cost(graph: Graph) -> Cost:
    """The cost of a graph's primitives, counted before any optimisation.

    Nodes that only auxiliary outputs need count in `auxiliary`; nodes that no output needs count in
    the network, as in the papers' code. `convention` of the result has the rules.
    """
    own = any(isinstance(node.op, Macro) and node.op.definition for node in graph.nodes)
    if any(map(body_of, graph.nodes)) or (own and graph.auxiliary):
        from nasir.passes.rewriting import expand  # few graphs need any pass

        graph = expand(graph)  # macros in bodies; primitives of a macro of which some have no use
    head = graph.needed(graph.auxiliary) - graph.needed(graph.outputs)
    found = [(outer.name in head, _spents(graph, outer)) for outer in graph.nodes]
    # A weight that the network uses as well counts there.
    shared = {key for aside, row in found if not aside for each in row for key, _ in each.weights}
    counted: set[str] = set()
    rows: list[NodeCost] = []
    for auxiliary, each in ((auxiliary, each) for auxiliary, row in found for each in row):
        elsewhere = shared if auxiliary else ()
        new = {key: n for key, n in each.weights if key not in counted and key not in elsewhere}
        counted.update(new)
        params = sum(new.values())
        row = NodeCost(each.name, each.op, params, each.macs, each.activations, auxiliary)
        rows.append(row)
    apart = tuple(row for row in rows if row.auxiliary)
    main = tuple(row for row in rows if not row.auxiliary)
    return _total(main, _total(apart, None) if apart else None)


class _Spent(NamedTuple):
    """What a primitive costs; its weights are keys with numbers of scalars."""

    name: str
    op: str
    weights: tuple[tuple[str, int], ...]
    macs: int
    activations: int


def _spents(graph: Graph, node: Node) -> Iterable[_Spent]:
    """The primitives of a node: itself, those of a macro, or those of a body."""
    types, body = graph.types_of(node), body_of(node)
    if isinstance(node.op, Macro):
        return [
            each._replace(
                name=below(node.name, each.name),
                weights=tuple([(below(node.name, key), n) for key, n in each.weights]),
            )
            for each in _inside(node.op, node.attrs, types)
        ]
    if body is None:
        output = graph.types[node.name]
        weights = tuple([(ref.key, prod(ref.shape)) for ref in node.params if not ref.buffer])
        macs = node.op.macs(node.attrs, types, output)
        return [_Spent(node.name, node.op.name, weights, macs, elements(output))]
    actual = {formal.key: ref.key for formal, ref in zip(body.params, node.params, strict=True)}
    return [
        each._replace(
            name=below(node.name, each.name),
            weights=tuple((actual[key], n) for key, n in each.weights),
        )
        for inner in body
        for each in _spents(body, inner)
    ]


@lru_cache(_KEPT)
def _inside(op: Macro, attrs: Attrs, types: tuple[Type, ...]) -> tuple[_Spent, ...]:
    """The primitives of a macro, under their names in it."""
    found = template(op, attrs, types)
    inputs = tuple((f"%{place}", type_) for place, type_ in enumerate(types))
    graph = Graph(found.nodes, inputs, (found.output,))
    return tuple(each for node in graph.nodes for each in _spents(graph, node))


def _total(rows: tuple[NodeCost, ...], auxiliary: Cost | None) -> Cost:
    return Cost(
        params=sum(row.params for row in rows),
        macs=sum(row.macs for row in rows),
        activations=sum(row.activations for row in rows),
        auxiliary=auxiliary,
        nodes=rows,
    )


class Totals(NamedTuple):
    """Totals of a network without its auxiliary head, as `nasir.cost` counts."""

    params: int
    macs: int
    activations: int


@dataclass(frozen=True, slots=True)
class _Counted:
    type: Type
    totals: Totals


class CostCounter(Builder):
    """A builder that sums the costs of its nodes and does not keep the nodes.

    The cost of an op is computed once per attributes and input types, the cost of a cell once per
    input types.
    """

    def __init__(self, **inputs: Type) -> None:
        super().__init__(**inputs)
        self.counts = [0, 0, 0]
        self._called: dict[str, tuple[Op, dict[str, Any], tuple[Type, ...]]] = {}
        self._parts: dict[object, _Counted] = {}

    def __call__(self, op: str | Op, *inputs: str, name: str = "", **attrs: Any) -> str:
        """Counts a node, and returns its name. Raises what a builder raises."""
        spec, types = find_op(op, self.ops), tuple([self.types[x] for x in inputs])
        name = name or self._fresh(spec.name)
        try:
            part = _part(spec, tuple(attrs.items()), types)
        except NasirError as error:
            raise NasirError(error.code, error.message, self._where(name), error.hint) from None
        self._called[name] = spec, attrs, types
        return self._add(name, part)

    def part(self, key: object, inputs: Sequence[str], name: str, add: Callable[[], str]) -> str:
        """Counts the part; `add` runs once per key and input types."""
        key = key, tuple([self.types[x] for x in inputs])
        if key in self._parts:
            return self._add(name, self._parts[key])
        before = tuple(self.counts)
        output = add()
        after = (now - then for now, then in zip(self.counts, before, strict=True))
        self._parts[key] = _Counted(self.types[output], Totals(*after))
        return output

    def share(self, name: str, other: str) -> str:
        """Subtracts the weights that `other` has too."""
        mine, theirs = map(self._weights, (name, other))
        self.counts[0] -= sum(prod(shape) for _, shape in mine & theirs)
        return name

    def _add(self, name: str, part: _Counted) -> str:
        self.types[name] = part.type
        for place, number in enumerate(part.totals):
            self.counts[place] += number
        return name

    def _weights(self, name: str) -> set[tuple[str, tuple[int, ...]]]:
        op, attrs, types = self._called[name]
        found = meaning(op, make_attrs(op, attrs), types).params
        return {(each.name, each.shape) for each in found if not each.buffer}


@lru_cache(_KEPT)
def _part(op: Op, attrs: tuple[tuple[str, Any], ...], types: tuple[Type, ...]) -> _Counted:
    builder = Builder(**{f"x{place}": type_ for place, type_ in enumerate(types)})
    name = builder(op, *builder.types, name="node", **dict(attrs))
    found = cost(builder.graph(name))
    return _Counted(builder.type(name), Totals(found.params, found.macs, found.activations))


def totals(genotype: Genotype, skeleton: Skeleton, size: Any) -> Totals:
    """The totals of `nasir.cost` for the genotype's network in that size."""
    counter, _ = write_network(CostCounter, genotype, skeleton, size)
    return Totals(*counter.counts)
