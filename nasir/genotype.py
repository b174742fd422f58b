"""A genotype: an architecture as its decisions, independent of any file format or width."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from nasir.errors import NOWHERE, NasirError, Where
from nasir.limits import EDGE_LIMIT, Budget

if TYPE_CHECKING:
    from nasir.space.space import Space

Path = tuple[str | int, ...]
"""A part of a genotype: (kind,), (kind, node), (kind, node, slot), (kind, "output", slot)."""

Combine = Literal["sum", "mean", "concat"]

Numbers = tuple[tuple[str, int], ...]
"""Numbers of a network's size by name, in the order of `nasir.space.sizes.SIZE_NAMES`."""

Place = Callable[[Path], Where]


@dataclass(frozen=True, slots=True)
class Edge:
    """One op that reads one state: `op` applied to state `source`.

    Where ops stand on nodes (`CellGenotype.ops`) an edge has none: its op is "".
    """

    op: str
    source: int


@dataclass(frozen=True, slots=True)
class CellGenotype:
    """One kind of cell.

    States 0 .. inputs-1 are the cell's inputs; node i of `nodes` is state inputs + i and combines
    its edges, in the order given (the published order, which no pass relies on). `output` lists
    the states that leave the cell together; a single one leaves as it is. Sources may repeat.
    `combine` and `join` are those of the space (see `nasir.space.adoption`).

    With `ops`, one for each node, ops stand on nodes (NAS-Bench-101, NAS-Bench-1Shot1): a node
    applies its op to the sum of its sources, and `output` lists what the output vertex reads. No
    source repeats. A cell of one input and no nodes hands its input on.

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
        """The ops that it names, on its nodes or on its edges, in order."""
        return self.ops or tuple(edge.op for edges in self.nodes for edge in edges)

    @property
    def on_nodes(self) -> bool:
        """Whether its ops stand on nodes, not on edges."""
        return bool(self.ops)

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """What each node reads, in order."""
        return tuple(tuple(edge.source for edge in edges) for edges in self.nodes)


@dataclass(frozen=True, slots=True)
class Genotype:
    """The cells of an architecture, by kind. Name and source do not take part in equality.

    `size` has the numbers of the network's size that its space leaves open (width, depth).
    `definition` is the space itself, where it is known: a space that is not shipped has to be.
    """

    space: str
    cells: tuple[CellGenotype, ...]
    name: str = field(default="", compare=False)
    source: str = field(default="", compare=False)
    definition: "Space | None" = field(default=None, compare=False, repr=False)
    size: Numbers = ()

    def cell(self, kind: str) -> CellGenotype:
        """The cell of that kind. Raises E210 when there is none."""
        for cell in self.cells:
            if cell.kind == kind:
                return cell
        have = ", ".join(cell.kind for cell in self.cells)
        raise NasirError(
            "E210",
            f"genotype {self.name or 'without a name'} has no '{kind}' cell",
            hint=f"it has: {have}" if have else "",
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cell, in order."""
        return tuple(cell.kind for cell in self.cells)


def check_genotype(genotype: Genotype, place: Place = lambda _: NOWHERE) -> Genotype:
    """The genotype unchanged, if every cell is a well-formed graph.

    `place` maps a path to where it stands in the file. Raises E106 (too many edges), E202 (no
    inputs), E203 (reads itself or a later node), E205 (index out of range), E206, E207, E210.
    """
    if not genotype.cells:
        raise NasirError("E207", "the genotype has no cells", place(()))
    edges = Budget(EDGE_LIMIT, "the genotype", "edges")
    seen: set[str] = set()
    for cell in genotype.cells:
        if cell.kind in seen:
            raise NasirError("E210", f"cell kind '{cell.kind}' occurs twice", place((cell.kind,)))
        seen.add(cell.kind)
        edges.spend(sum(map(len, cell.nodes)), partial(place, (cell.kind,)))
        _check_cell(cell, place)
    return genotype


def _check_cell(cell: CellGenotype, place: Place) -> None:
    if not cell.nodes and (cell.inputs, cell.output) != (1, (0,)):
        raise NasirError("E207", f"cell '{cell.kind}' has no nodes", place((cell.kind,)))
    states = cell.inputs + len(cell.nodes)
    for state, edges in enumerate(cell.nodes, start=cell.inputs):
        if not edges:
            raise NasirError(
                "E202",
                f"node {state} of cell '{cell.kind}' has no inputs",
                place((cell.kind, state)),
                hint="write an edge with the op 'none' if it should be zero",
            )
        for slot, edge in enumerate(edges):
            if not 0 <= edge.source < state:
                raise _wrong_source(cell, state, edge, place((cell.kind, state, slot)))
    if cell.ops:
        _check_ops(cell, place)
    if not cell.output:
        raise NasirError(
            "E204", f"cell '{cell.kind}' has an empty output", place((cell.kind, "output"))
        )
    for slot, state in enumerate(cell.output):
        if not 0 <= state < states:
            raise NasirError(
                "E206",
                f"the output of cell '{cell.kind}' names node {state}, which is not there",
                place((cell.kind, "output", slot)),
                hint=f"its nodes are {cell.inputs} to {states - 1}",
            )
        if state in cell.output[:slot]:
            raise NasirError(
                "E206",
                f"the output of cell '{cell.kind}' names node {state} twice",
                place((cell.kind, "output", slot)),
            )


def _check_ops(cell: CellGenotype, place: Place) -> None:
    """Raises E202 where a cell with ops on nodes has another number of ops, or reads twice."""
    what = f"cell '{cell.kind}'"
    if len(cell.ops) != len(cell.nodes):
        message = f"{what} has {len(cell.nodes)} nodes and {len(cell.ops)} ops"
        raise NasirError("E202", message, place((cell.kind,)), hint="give each node one op")
    for state, edges in enumerate(cell.nodes, start=cell.inputs):
        sources: set[int] = set()
        for slot, edge in enumerate(edges):
            if edge.op:
                message = f"the ops of {what} stand on its nodes; edge {slot} of node {state} has"
                where = place((cell.kind, state, slot))
                raise NasirError("E202", f"{message} '{edge.op}' as well", where)
            if edge.source in sources:
                message = f"node {state} of {what} reads node {edge.source} twice"
                raise NasirError("E202", message, place((cell.kind, state, slot)))
            sources.add(edge.source)


def _wrong_source(cell: CellGenotype, state: int, edge: Edge, where: Where) -> NasirError:
    what, code = f"node {state} of cell '{cell.kind}' reads", "E203"
    if edge.source < 0 or edge.source >= cell.inputs + len(cell.nodes):
        code, which = "E205", f"node {edge.source}, which is not there"
    elif edge.source == state:
        which = "itself"
    else:
        which = f"node {edge.source}, which comes later"
    return NasirError(
        code, f"{what} {which}", where, hint=f"node {state} can read 0 to {state - 1}"
    )
