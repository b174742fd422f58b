"""What each option of each decision costs in a network: tables from which any edit's cost is a sum.

An edge's op costs the same whatever the other edges are, so that the network with every edge and
every op is counted once. Where that does not hold, `CostRows.exact` is False.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from random import Random
from typing import Any, NamedTuple

from nasir.costing import CostCounter, totals
from nasir.errors import NasirError
from nasir.node import Step, plain_op
from nasir.space.builders import node_widths
from nasir.space.decisions import CellGenotype, Edge
from nasir.space.load import home_of
from nasir.space.nasbench101 import live_cell
from nasir.space.skeletons import Skeleton, network_size, write_network
from nasir.space.space import Genotype, Space
from nasir.types import ImageType, Type

_VARIANTS = 64
"""The most networks of other outputs or sizes that are counted apart."""

_CHECKS = 12
"""The genotypes whose costs are compared with the tables' sums."""


class Spent(NamedTuple):
    """Parameters and multiply-adds."""

    params: int = 0
    macs: int = 0

    def plus(self, other: "Spent", times: int = 1) -> "Spent":
        """The sum with a multiple of another."""
        return Spent(self.params + times * other.params, self.macs + times * other.macs)


class EdgeOp(NamedTuple):
    """An op on an edge of a kind of cell."""

    kind: str
    node: int
    source: int
    op: str


@dataclass(frozen=True, slots=True)
class NetworkPart:
    """A part of the network in order: a cell of a context, or an op outside of cells."""

    name: str
    what: str
    type: Type
    spent: Spent
    context: int | None = None


@dataclass(frozen=True, slots=True)
class CellContext:
    """Cells of one kind that read values of the same types, wherever they stand.

    `rows` are costs of edges by the ops that must be there; a cell that is an option of another's
    edge brings several. `states` are the types of the inputs and nodes. Where ops stand on nodes,
    `widths` has the costs of each op, and of the projection of the input (""), by channels;
    `channels` are those of the cell, `emitted` those that leave it. `prunes`: whether the network
    has only what is left of the cell after pruning, with widths that follow from the edges.
    """

    kind: str
    states: tuple[Type, ...]
    output: Type
    rows: Mapping[tuple[EdgeOp, ...], Spent]
    widths: Mapping[str, Mapping[int, Spent]]
    channels: int = 0
    emitted: int = 0
    prunes: bool = False


@dataclass(frozen=True, slots=True)
class NetworkVariant:
    """A network for given numbers of outputs by kind of cell, and of sizes that are open.

    `base` is what costs the same whatever the edges are.
    """

    outputs: Mapping[str, int]
    size: Mapping[str, int]
    base: Spent
    parts: tuple[NetworkPart, ...]


@dataclass(frozen=True, slots=True)
class CostRows:
    """Costs of the network of a genotype, and of those that differ in decisions of its space.

    `pairs` are what two open sizes cost together beside the first variant, where each of them
    alone has the pair `(name, value, "", 0)`; otherwise there is a variant for each. `exact`:
    whether sums of these tables are the costs of `nasir.cost`.
    """

    variants: tuple[NetworkVariant, ...]
    contexts: tuple[CellContext, ...]
    pairs: Mapping[tuple[str, int, str, int], Spent]
    exact: bool

    def spent(self, genotype: Genotype) -> Spent | None:
        """The sum for a genotype; None where no table is for it."""
        size = dict(genotype.size)
        outputs = {cell.kind: len(cell.output) for cell in genotype.cells}
        fitting = [
            each
            for each in self.variants
            if all(outputs[kind] == n for kind, n in each.outputs.items())
            and (self.pairs or all(size[name] == n for name, n in each.size.items()))
        ]
        if not fitting:
            return None
        found = fitting[0].base
        for one, two in product(("", *size), size):
            found = found.plus(self.pairs.get((two, size[two], one, size.get(one, 0)), Spent()))
        edges = Counter(_edge_ops(genotype))
        cells = {cell.kind: cell for cell in genotype.cells}
        times = Counter(part.context for part in fitting[0].parts if part.context is not None)
        for number, count in times.items():
            found = found.plus(_of_context(self.contexts[number], cells, edges), count)
        return found


def cost_rows(genotype: Genotype, skeleton: Skeleton, asked: Mapping[str, int]) -> CostRows:
    """The tables of a genotype in that size, `asked` for by name as in `nasir.network`.

    Raises what building the network raises.
    """
    space = home_of(genotype)
    made = _Made(genotype, skeleton, asked)
    fits = space is not None and not space.contains(genotype)
    open_size = dict(space.open_size) if space and fits else {}
    outputs = _open_outputs(space) if space and fits else {}
    count = prod(map(len, outputs.values()))
    paired = bool(open_size) and count * prod(map(len, open_size.values())) > _VARIANTS
    if paired and (not space or any(each.size > 1 for each in space.decisions)):
        open_size, paired = {}, False
    each = product(*outputs.values(), *({} if paired else open_size).values())
    keys = [*outputs, *open_size]
    counted = [made.variant(dict(zip(keys, row, strict=False)), outputs) for row in each]
    numbers = {} if paired else {n: number for n, number in genotype.size if n in open_size}
    counts = {kind: len(genotype.cell(kind).output) for kind in outputs}
    first = made.variant(counts | numbers, outputs)
    variants = (first, *(v for v in counted if v != first))
    pairs = made.pairs(open_size) if paired else {}
    rows = CostRows(variants, tuple(made.contexts.values()), pairs, exact=False)
    return replace(rows, exact=made.agrees(rows, space if fits else None))


class _Recorder(CostCounter):
    """Notes what is counted, and in which cell. Mutable, as the counter."""

    def __init__(self, **inputs: Type) -> None:
        super().__init__(**inputs)
        self.found: list[NetworkPart] = []
        self.cells: dict[object, CellContext] = {}
        self._rows: dict[tuple[Step, ...], tuple[Spent, Type]] | None = None

    def __call__(self, op: Any, *inputs: str, name: str = "", **attrs: Any) -> str:
        before = Spent(*self.counts[:2])
        name = super().__call__(op, *inputs, name=name, **attrs)
        spent = Spent(*self.counts[:2]).plus(before, -1)
        if self._rows is None:
            what = op if isinstance(op, str) else op.name
            self.found.append(NetworkPart(name, what, self.types[name], spent))
        elif self.at is not None:
            known, _ = self._rows.get(self.at.steps, (Spent(), None))
            self._rows[self.at.steps] = known.plus(spent), self.types[name]
        return name

    def part(self, key: object, inputs: Sequence[str], name: str, add: Callable[[], str]) -> str:
        types = tuple(self.types[x] for x in inputs)
        kind = self.cell.kind if self.cell else ""
        place = kind, key, types
        before, self._rows = Spent(*self.counts[:2]), {}
        output = super().part(key, inputs, name, add)
        spent = Spent(*self.counts[:2]).plus(before, -1)
        if place not in self.cells:
            self.cells[place] = _context(kind, types, self.types[output], self._rows)
        self._rows = None
        number = list(self.cells).index(place)
        self.found.append(NetworkPart(name, kind, self.types[output], spent, number))
        return output


def _context(
    kind: str,
    inputs: tuple[Type, ...],
    output: Type,
    found: Mapping[tuple[Step, ...], tuple[Spent, Type]],
) -> CellContext:
    rows: dict[tuple[EdgeOp, ...], Spent] = {}
    nodes: dict[int, Type] = {}
    for steps, (spent, type_) in found.items():
        if any(slot.role != "op on edge" for slot, _ in steps) or not steps:
            continue
        ops = tuple(EdgeOp(slot.kind, slot.node, slot.source, plain_op(op)) for slot, op in steps)
        if len(steps) == 1:
            nodes[steps[0][0].node] = type_
        rows[ops] = rows.get(ops, Spent()).plus(spent)
    states = (*inputs, *(type_ for _, type_ in sorted(nodes.items())))
    rows = {ops: spent for ops, spent in rows.items() if any(spent)}
    return CellContext(kind, states, output, rows, {})


class _Made:
    """The networks of one genotype with other outputs and sizes, and their contexts. Mutable."""

    def __init__(self, genotype: Genotype, skeleton: Skeleton, asked: Mapping[str, int]) -> None:
        self.genotype, self.skeleton, self.asked = genotype, skeleton, asked
        self.space = home_of(genotype)
        self.prunes = skeleton.name == "nasbench101"
        self.contexts: dict[object, CellContext] = {}

    def variant(
        self, key: Mapping[str, int], outputs: Mapping[str, Sequence[int]]
    ) -> NetworkVariant:
        """The network with so many outputs of each kind and these sizes; adds its contexts."""
        size = {name: number for name, number in key.items() if name not in outputs}
        given = self._with(self.genotype, key, size)
        plain = self._recorded(given)
        if plain.cells.keys() - self.contexts.keys():
            every = self._recorded(_with_every_edge(given, self.space))
            for place, context in every.cells.items():
                self.contexts.setdefault(place, self._with_widths(place, context))
        numbers = {place: number for number, place in enumerate(self.contexts)}
        own = {number: numbers[place] for number, place in enumerate(plain.cells)}
        parts = tuple(
            part if part.context is None else replace(part, context=own[part.context])
            for part in plain.found
        )
        counts = {kind: n for kind, n in key.items() if kind in outputs}
        variant = NetworkVariant(counts, size, Spent(), parts)
        found = CostRows((variant,), tuple(self.contexts.values()), {}, exact=True).spent(given)
        assert found is not None, "the variant is the genotype's own"
        return replace(variant, base=self._total(given).plus(found, -1))

    def pairs(
        self, open_size: Mapping[str, Sequence[int]]
    ) -> dict[tuple[str, int, str, int], Spent]:
        """What other sizes cost more, alone and two together."""
        origin = self._total(self.genotype)
        own = dict(self.genotype.size)

        def more(**size: int) -> Spent:
            return self._total(self._with(self.genotype, {}, size)).plus(origin, -1)

        pairs = {(name, n, "", 0): more(**{name: n}) for name in open_size for n in open_size[name]}
        names = list(open_size)
        for place, two in enumerate(names):
            for one in names[:place]:
                for m, n in product(open_size[one], open_size[two]):
                    if m != own[one] and n != own[two]:
                        both = more(**{one: m, two: n})
                        alone = pairs[one, m, "", 0].plus(pairs[two, n, "", 0])
                        pairs[two, n, one, m] = both.plus(alone, -1)
        return {key: spent for key, spent in pairs.items() if any(spent)}

    def agrees(self, rows: CostRows, space: Space | None) -> bool:
        """Whether sums of the tables are the costs of the genotype and of some of its space."""
        random = Random(0)
        drawn = [self.genotype]
        if space is not None:
            drawn += [space.numbered(random.randrange(space.total)) for _ in range(_CHECKS)]
        try:
            return all(rows.spent(each) == self._total(each) for each in drawn)
        except NasirError:
            return False

    def _with(
        self, genotype: Genotype, outputs: Mapping[str, int], size: Mapping[str, int]
    ) -> Genotype:
        cells = (
            replace(cell, output=self._states(cell, outputs[cell.kind]))
            if cell.kind in outputs
            else cell
            for cell in genotype.cells
        )
        numbers = tuple((name, size.get(name, number)) for name, number in genotype.size)
        return replace(genotype, cells=tuple(cells), size=numbers)

    def _states(self, cell: CellGenotype, count: int) -> tuple[int, ...]:
        assert self.space is not None, "only a space leaves outputs open"
        if len(cell.output) == count:
            return cell.output
        return self.space.cell(cell.kind).output[:count]

    def _recorded(self, genotype: Genotype) -> _Recorder:
        size = network_size(genotype, self.skeleton, self.asked)
        return write_network(_Recorder, genotype, self.skeleton, size)[0]

    def _total(self, genotype: Genotype) -> Spent:
        size = network_size(genotype, self.skeleton, self.asked)
        return Spent(*totals(genotype, self.skeleton, size)[:2])

    def _with_widths(self, place: Any, context: CellContext) -> CellContext:
        """The context with the costs of ops on nodes, by channels, where the cell has such."""
        cell = self.genotype.cell(context.kind) if context.kind in self.genotype.kinds else None
        (x, *_) = context.states
        if cell is None or not self.skeleton.on_nodes or not isinstance(x, ImageType):
            return context
        _, (widths, emitted), _ = place
        own = self.space.cell(context.kind) if self.space else None
        nodes = own.nodes if own else len(cell.nodes)
        channels = emitted if self.prunes else widths[0] if widths else emitted
        possible = {channels, emitted}
        if self.prunes:
            shares = (divmod(channels, count) for count in range(1, nodes + 1))
            possible |= {share + more for share, rest in shares for more in {0, min(rest, 1)}}
        ops = dict.fromkeys((*(own or cell).named_ops, *cell.named_ops))
        state = {width: replace(x, c=width) for width in sorted(possible) if width}
        costs = {op: {w: self._op(op, t) for w, t in state.items()} for op in ops}
        costs[""] = {w: self._op("conv_bn_relu", x, out=w) for w in state}
        found = replace(context, widths=costs, channels=channels, emitted=emitted)
        return replace(found, prunes=self.prunes)

    def _op(self, op: str, x: Type, **attrs: Any) -> Spent:
        counter = CostCounter(x=x)
        counter.know(self.space.ops if self.space else ())
        counter(op, "x", **attrs)
        return Spent(*counter.counts[:2])


def _open_outputs(space: Space) -> dict[str, list[int]]:
    """The numbers of states that may leave each kind of cell, where they change its width."""
    return {
        cell.kind: list(range(1, len(cell.output) + 1))
        for cell in space.cells
        if cell.any_output and cell.join == "concat"
    }


def _with_every_edge(genotype: Genotype, space: Space | None) -> Genotype:
    """The genotype with every edge and every op that its space has, beside its own."""
    return replace(genotype, cells=tuple(_with_edges(cell, space) for cell in genotype.cells))


def _with_edges(cell: CellGenotype, space: Space | None) -> CellGenotype:
    if space is None or cell.kind not in space.kinds or cell.kind == "recurrent":
        return cell
    own = space.cell(cell.kind)
    nodes: list[tuple[Edge, ...]] = []
    for node, edges in enumerate(cell.nodes, start=cell.inputs):
        more = (Edge(op, e.source) for e in own.into(node) for op in own.selectable(e))
        nodes.append(tuple(dict.fromkeys((*edges, *more))))
    return replace(cell, nodes=tuple(nodes))


def _edge_ops(genotype: Genotype) -> Iterator[EdgeOp]:
    for cell in genotype.cells:
        for node, edges in enumerate(cell.nodes, start=cell.inputs):
            yield from (EdgeOp(cell.kind, node, edge.source, edge.op) for edge in edges)


def _of_context(
    context: CellContext, cells: Mapping[str, CellGenotype], edges: Mapping[EdgeOp, int]
) -> Spent:
    found = Spent()
    for ops, spent in context.rows.items():
        found = found.plus(spent, prod(edges.get(op, 0) for op in ops))
    if context.widths:
        found = found.plus(_of_nodes(context, cells[context.kind]))
    return found


def _of_nodes(context: CellContext, cell: CellGenotype) -> Spent:
    """The cost of ops on nodes, and of the projections of the input.

    Of NAS-Bench-101's modules, whose widths differ, what pruning leaves; elsewhere the nodes that
    the output needs.
    """
    cell = live_cell(cell) if context.prunes else cell
    count = len(cell.nodes)
    widths = (context.channels,) * count
    if context.prunes:
        widths = node_widths(cell, context.channels)
    needed = {*cell.output}
    found = Spent()
    project = context.widths[""]
    for node in range(count, 0, -1):
        if node in needed:
            sources = cell.sources[node - 1]
            needed.update(sources)
            found = found.plus(context.widths[cell.ops[node - 1]][widths[node - 1]])
            found = found.plus(project[widths[node - 1]], 0 in sources)
    return found.plus(project[context.emitted], 0 in cell.output)
