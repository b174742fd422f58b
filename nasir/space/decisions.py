"""A kind of cell: of a genotype, and of a space, with its decisions as a tree, and by number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, make_dataclass
from functools import cached_property, lru_cache
from math import prod
from random import Random
from typing import Any, Literal, TypeVar, cast

from nasir.document import Path
from nasir.node import Slot
from nasir.space import tree
from nasir.space.tree import Choose, Entry, Option, Pick

Combine = Literal["sum", "mean", "concat"]

Numbers = tuple[tuple[str, int], ...]
"""Numbers of a network's size by name, in the order of `nasir.space.layout.SIZE_NAMES`."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge of a cell: `op` applied to state `source`.

    In cells with ops on nodes (`CellGenotype.ops`) the op of an edge is "".
    """

    op: str
    source: int


@dataclass(frozen=True, slots=True)
class CellGenotype:
    """The genotype of a kind of cell.

    States 0 .. inputs-1 are the cell's inputs; node i of `nodes` is state inputs + i and combines
    its edges, in the order given (the published order, which no pass relies on). `output` lists
    the states that leave the cell together; a single one leaves as it is. Sources may repeat.
    `combine` and `join` are those of the space (see `nasir.space.space`).

    With `ops`, one per node, ops are on nodes (NAS-Bench-101, NAS-Bench-1Shot1): a node
    applies its op to the sum of its sources, and `output` lists what the output vertex reads. No
    source repeats. A cell of one input and no nodes returns its input.

    A recurrent cell has one input, the state that it makes of the step's input and the last state,
    and the mean of its output leaves it.
    """

    kind: str
    inputs: int
    nodes: tuple[tuple[Edge, ...], ...]
    output: tuple[int, ...]
    ops: tuple[str, ...] = ()
    combine: Combine = "sum"
    join: Combine = "concat"

    @property
    def named_ops(self) -> tuple[str, ...]:
        """The ops of the nodes or of the edges, in order."""
        return self.ops or tuple(edge.op for edges in self.nodes for edge in edges)

    @property
    def op_paths(self) -> Iterator[tuple[Path, str]]:
        """Each of the named ops with its path."""
        for state, edges in enumerate(self.nodes, start=self.inputs):
            for slot, edge in enumerate(edges if not self.ops else ()):
                yield (self.kind, state, slot, "op"), edge.op
        for state, op in enumerate(self.ops, start=self.inputs):
            yield (self.kind, state, "op"), op

    @property
    def node_ops(self) -> tuple[str, ...]:
        """The op of each node: "" where ops stand on edges."""
        return self.ops or ("",) * len(self.nodes)

    @property
    def node_options(self) -> tuple[tuple[str, ...], ...]:
        """The ops that stand at each node: none where they stand on edges."""
        return tuple((op,) for op in self.ops) or ((),) * len(self.nodes)

    @property
    def edges(self) -> "tuple[SpaceEdge, ...]":
        """The edges of all nodes as those of a space that has no others."""
        rows = enumerate(self.nodes, start=self.inputs)
        return tuple(
            SpaceEdge(edge.source, node, (edge.op,) if edge.op else ())
            for node, edges in rows
            for edge in edges
        )

    @property
    def on_nodes(self) -> bool:
        """True if ops are on nodes, not on edges."""
        return bool(self.ops)

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """The sources of each node, in order."""
        return tuple(tuple(edge.source for edge in edges) for edges in self.nodes)


Frozen = TypeVar("Frozen")


def maker(kind: type[Frozen]) -> Callable[..., Frozen]:
    """Makes instances of a frozen dataclass with slots from all fields, in half of the time.

    A class that is not frozen sets the fields, then the instance changes its class.
    """
    names = [each.name for each in fields(cast("Any", kind))]
    open_kind: Any = make_dataclass(kind.__name__, names, repr=False, eq=False, slots=True)

    def make(*values: object) -> Frozen:
        made = open_kind(*values)
        made.__class__ = kind
        return made

    return make


_cell = maker(CellGenotype)


Part = Any
"""A decision in a cell: the edges of a node, the op of one, or the states that leave it."""


@dataclass(frozen=True, slots=True)
class SpaceEdge:
    """A possible edge from state `source` to state `node`, and its ops in the space's order."""

    source: int
    node: int
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpaceCell:
    """A kind of cell: states 0 .. inputs-1 are inputs, the next `nodes` are nodes.

    Edges go by node, then by source. A node keeps `keep` edges (None: every edge) and selects one
    op on each, never one of `exclude`. A node combines its edges, and the states of `output` are
    joined. With `repeats` a node may read one state through several edges; with `any_output` any
    of the nodes in `output` may leave the cell. In the supernet a batch norm without weights
    follows each op in `normalise`.

    Edges have no ops where nodes have. A node then selects one of `node_ops`, with as many sources
    as `parents` says (the last number is the output's, whose candidates `output`
    lists). Without `parents` a cell is one of NAS-Bench-101's modules: there are up to `nodes`
    nodes and `most_edges` edges, those into the output included, counted after pruning.
    """

    kind: str
    inputs: int
    nodes: int
    edges: tuple[SpaceEdge, ...]
    keep: int | None
    exclude: tuple[str, ...]
    output: tuple[int, ...]
    node_ops: tuple[str, ...] = ()
    parents: tuple[int, ...] = ()
    most_edges: int = 0
    combine: Combine = "sum"
    join: Combine = "concat"
    repeats: bool = False
    any_output: bool = False
    normalise: tuple[str, ...] = ()

    @property
    def on_nodes(self) -> bool:
        """True if its ops stand on nodes, not on edges."""
        return bool(self.node_ops)

    @property
    def node_options(self) -> tuple[tuple[str, ...], ...]:
        """The ops that can stand at each node: none where they stand on edges."""
        return (self.node_ops,) * self.nodes

    @property
    def named_ops(self) -> tuple[str, ...]:
        """Every op that it names, in order."""
        named = (op for edge in self.edges for op in edge.ops)
        return tuple(dict.fromkeys((*self.node_ops, *named)))

    def into(self, node: int) -> tuple[SpaceEdge, ...]:
        """The edges into a node, by source."""
        return tuple(edge for edge in self.edges if edge.node == node)

    def selectable(self, edge: SpaceEdge) -> tuple[str, ...]:
        """The ops that can be selected on an edge, in the space's order."""
        return tuple(op for op in edge.ops if op not in self.exclude)


@lru_cache(1 << 8)
def cell_tree(cell: SpaceCell | CellGenotype) -> tuple[Choose, ...]:
    """The decisions of a kind of cell, node by node; what leaves the cell comes last.

    A genotype's are narrowed to what it has, and nothing is open any more.
    """
    if isinstance(cell, CellGenotype):
        return tuple(_narrowed(cell))
    found: list[Choose] = []
    if cell.on_nodes:
        for node, keep in enumerate(cell.parents, start=1):
            states = tuple(map(Option, range(node)))
            every = None if keep == node else keep
            if node > cell.nodes:
                found.append(Choose(Slot(cell.kind, "output"), states, every))
                break
            found.append(Choose(Slot(cell.kind, "input", node), states, every))
            slot, ops = Slot(cell.kind, "op on node", node), tuple(map(Option, cell.node_ops))
            found.append(Choose(slot, ops, mixed=cell.node_ops))
        return tuple(found)
    for node in range(cell.inputs, cell.inputs + cell.nodes):
        edges = cell.into(node)
        keep = cell.keep if cell.keep is None or cell.repeats else min(cell.keep, len(edges))
        options = tuple(_edge(cell.kind, node, e.source, cell.selectable(e), e.ops) for e in edges)
        slot = Slot(cell.kind, "edge into node", node)
        found.append(Choose(slot, options, keep, repeats=cell.repeats and keep is not None))
    if cell.any_output:
        states = tuple(map(Option, cell.output))
        found.append(Choose(Slot(cell.kind, "output"), states, 1, most=len(states)))
    return tuple(found)


def _narrowed(cell: CellGenotype) -> Iterator[Choose]:
    rows = zip(cell.node_ops, cell.nodes, strict=True)
    for node, (op, edges) in enumerate(rows, start=cell.inputs):
        if op:
            states = tuple(Option(edge.source) for edge in edges)
            yield Choose(Slot(cell.kind, "input", node), states, None)
            yield Choose(Slot(cell.kind, "op on node", node), (Option(op),))
        else:
            options = tuple(_edge(cell.kind, node, e.source, (e.op,)) for e in edges)
            yield Choose(Slot(cell.kind, "edge into node", node), options, None)
    yield Choose(Slot(cell.kind, "output"), tuple(map(Option, cell.output)), None)


def _edge(
    kind: str, node: int, source: int, ops: tuple[str, ...], mixed: tuple[str, ...] = ()
) -> Option:
    """An edge, which brings its op."""
    slot = Slot(kind, "op on edge", node, source)
    return Option(source, (Choose(slot, tuple(map(Option, ops)), mixed=mixed),))


def misfits(cell: CellGenotype | SpaceCell, inputs: int, on_nodes: bool) -> list[str]:
    """Why a cell is none with so many inputs, and its ops on nodes (else on edges)."""
    places, found = ("edges", "nodes"), list[str]()
    if cell.nodes and cell.on_nodes != on_nodes:
        found.append(f"its ops stand on {places[cell.on_nodes]}, not on {places[on_nodes]}")
    if cell.inputs != inputs:
        found.append(f"it has {cell.inputs} inputs, not {inputs}")
    return found


class TreeDecisions:
    """Cells as picks of a tree.

    Numbers are digits in a mixed radix: first those of what nodes and the output read where that is
    all that they decide, then the others, the last node varying fastest. NAS-Bench-201 is so
    numbered as its code enumerates it (not as its benchmark file is). The canonical form has the
    edges of a node by source, those of one source by op.
    """

    def __init__(self, cell: SpaceCell) -> None:
        self.cell = cell
        self.walk = cell_tree(cell)
        places = range(len(self.walk))
        self.digits = tuple(sorted(places, key=lambda place: not _reads(self.walk[place])))
        self.size = prod(each.size for each in self.walk)
        self._output = bool(self.walk) and self.walk[-1].slot.role == "output"
        last = len(self.walk) - self._output
        step = 2 if any(each.slot.role == "op on node" for each in self.walk) else 1
        self._nodes, self._ops = slice(0, last, step), slice(1, last if step > 1 else 0, 2)
        self._ops_first = sorted(places, key=lambda place: _reads(self.walk[place]))
        self._parts: list[Part] = [()] * len(self.walk)  # copied faster than one is made
        self._neighbours: dict[tuple[int, Pick], list[Part]] = {}

    def reasons(self, cell: CellGenotype) -> Iterator[str]:
        """Why a cell with its inputs, and its ops where these have theirs, is not one of these."""
        what, own = f"cell '{cell.kind}'", self.cell
        if len(cell.nodes) != own.nodes:
            yield f"{what} has {len(cell.nodes)} nodes, not {own.nodes}"
            return
        if not self._output and sorted(cell.output) != sorted(own.output):
            yield f"the output of {what} is {list(cell.output)}, not {list(own.output)}"
        for each in self.walk:
            if tuple(_entries(each, cell)) not in each.numbers:
                yield from _reasons(each, cell)

    def canonical(self, cell: CellGenotype) -> CellGenotype:
        """The cell with everything in order."""
        return self.cell_of(self.picks(cell))

    def unrank(self, index: int) -> CellGenotype:
        """The cell of that number."""
        parts = self._parts.copy()
        for place, size, each, listed in self._radix:
            digit = index % size  # faster than divmod
            index //= size
            parts[place] = listed[digit] if listed else _part(each, each.unrank(digit))
        if self._output or self._ops.stop:
            return self._made(tuple(parts))
        cell = self.cell
        return _cell(cell.kind, cell.inputs, tuple(parts), cell.output, (), cell.combine, cell.join)

    def rank(self, cell: CellGenotype) -> int:
        """The number of a cell."""
        picks, index = self.picks(cell), 0
        for place in self.digits:
            index = index * self.walk[place].size + self.walk[place].rank(picks[place])
        return index

    def neighbours(self, cell: CellGenotype) -> Iterator[CellGenotype]:
        """Every cell that differs in one decision, those about ops and edges first."""
        picks = self.picks(cell)
        parts = tuple([self._part(*pair) for pair in enumerate(picks)])
        for place in self._ops_first:
            before, after = parts[:place], parts[place + 1 :]
            for other in self._near(place, picks[place]):
                yield self._made((*before, other, *after))

    def _near(self, place: int, pick: Pick) -> list[Part]:
        """The parts next to one, remembered where the decision has few."""
        found = self._neighbours.get((place, pick))
        if found is None:
            each = self.walk[place]
            found = [self._part(place, other) for other in each.neighbours(pick)]
            if each.numbers:
                self._neighbours[place, pick] = found
        return found

    def cross(self, first: CellGenotype, second: CellGenotype, random: Random) -> CellGenotype:
        """Each decision from either cell."""
        return self.cell_of(tree.cross(self.walk, self.picks(first), self.picks(second), random))

    def picks(self, cell: CellGenotype) -> tuple[Pick, ...]:
        """The pick of each decision that makes a cell of the space."""
        return tuple(each.ordered(_entries(each, cell)) for each in self.walk)

    def cell_of(self, picks: Sequence[Pick]) -> CellGenotype:
        """The cell of a pick for each decision; the edges of a node keep their order."""
        return self._made(tuple([self._part(*pair) for pair in enumerate(picks)]))

    def _part(self, place: int, pick: Pick) -> Part:
        number = self.walk[place].numbers.get(pick)
        return _part(self.walk[place], pick) if number is None else self._listed[place][number]

    def _made(self, parts: tuple[Part, ...]) -> CellGenotype:
        cell, nodes, ops = self.cell, parts[self._nodes], parts[self._ops]
        output = parts[-1] if self._output else cell.output
        return _cell(cell.kind, cell.inputs, nodes, output, ops, cell.combine, cell.join)

    @cached_property
    def _listed(self) -> list[tuple[Part, ...]]:
        """The parts of each decision by number, where they are few."""
        return [tuple(_part(each, pick) for pick in each.numbers) for each in self.walk]

    @cached_property
    def _radix(self) -> list[tuple[int, int, Choose, tuple[Part, ...]]]:
        """The digits, last first: the decision's place, and all its parts where they are few."""
        places = reversed(self.digits)
        return [(p, self.walk[p].size, self.walk[p], self._listed[p]) for p in places]


def _part(choose: Choose, pick: Pick) -> Part:
    """A pick as a cell has it; states that are read go by number."""
    role = choose.slot.role
    if role == "op on node":
        return pick[0][0]
    if role == "edge into node":
        return tuple(Edge(str(then[0][0][0]), int(name)) for name, then in pick)
    states = sorted(int(name) for name, _ in pick)
    return tuple(states if role == "output" else (Edge("", state) for state in states))


def _entries(choose: Choose, cell: CellGenotype) -> Iterator[Entry]:
    """The entries of a cell at a slot, in its own order."""
    slot = choose.slot
    node = slot.node - cell.inputs
    if slot.role == "op on node":
        yield cell.ops[node], ()
    elif slot.role == "output":
        yield from ((state, ()) for state in cell.output)
    else:
        for edge in cell.nodes[node]:
            yield edge.source, ((((edge.op, ()),),) if edge.op else ())


def _reasons(choose: Choose, cell: CellGenotype) -> Iterator[str]:
    """Why what a cell has at a slot cannot be picked."""
    slot, entries = choose.slot, list(_entries(choose, cell))
    node, verb, things = f"node {slot.node} of cell '{cell.kind}'", "reads", "nodes"
    if slot.role == "output":
        node = f"the output of cell '{cell.kind}'"
    if slot.role == "edge into node":
        verb, things = "has", "edges"
    if len(entries) not in choose.counts:
        yield f"{node} {verb} {len(entries)} {things}, not {choose.counts.start}"
    names = [name for name, _ in entries]
    several = {name for name in names if names.count(name) > 1 and not choose.repeats}
    yield from (f"{node} reads node {name} more than once" for name in sorted(several, key=str))
    for name, then in entries:
        if name not in choose.named:
            if slot.role == "output":
                yield f"{node} names node {name}, which cannot leave it"
            else:
                apply = slot.role == "op on node"
                yield f"{node} cannot {f'apply {name!r}' if apply else f'read node {name}'}"
            continue
        for inner, ((op, _),) in zip(choose.named[name].then, then, strict=False):
            if op not in inner.mixed:
                yield f"{node} cannot apply '{op}' to node {name}"
            elif op not in inner.named:
                yield f"{node} applies '{op}' to node {name}, which is never selected"


def _reads(choose: Choose) -> bool:
    """True if it only decides what is read."""
    return choose.slot.role in ("input", "output")
