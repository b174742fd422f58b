"""A search space: which cells there are, and which genotypes belong to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from nasir.errors import NasirError
from nasir.genotype import CellGenotype, Combine, Edge, Genotype
from nasir.ops import Macro
from nasir.space.layout import PUBLISHED, Layout
from nasir.space.node_cells import node_cell_reasons


@dataclass(frozen=True, slots=True)
class SpaceEdge:
    """A possible edge from state `source` to state `node`, and its ops in the space's order."""

    source: int
    node: int
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpaceCell:
    """One kind of cell: states 0 .. inputs-1 are inputs, the next `nodes` are nodes.

    Edges go by node, then by source. A node keeps `keep` edges (None: every edge) and selects one
    op on each, never one of `exclude`. A node combines its edges, and the states of `output` are
    joined. With `repeats` a node may read one state through several edges; with `any_output` any
    of the nodes in `output` may leave the cell. In the supernet a batch norm without weights
    follows each op in `normalise`.

    With `node_ops` the ops stand on nodes and edges have none: each node selects one of them, and
    as many sources as `parents` says (the last number is the output's, whose candidates `output`
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
        """Whether its ops stand on nodes, not on edges."""
        return bool(self.node_ops)

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


@dataclass(frozen=True, slots=True)
class Space:
    """A search space as its file describes it, edges written out.

    `ops` are the ops that it defines itself, `size` the sizes of its own network by name where
    they are not the skeleton's, `text` the file's data as JSON.
    """

    name: str
    title: str
    paper: str
    skeleton: str
    cells: tuple[SpaceCell, ...]
    ops: tuple[Macro, ...] = ()
    layout: Layout = PUBLISHED
    size: tuple[tuple[str, int], ...] = ()
    text: str = field(default="", compare=False, repr=False)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cell, in order."""
        return tuple(cell.kind for cell in self.cells)

    def cell(self, kind: str) -> SpaceCell:
        """The cell of that kind. Raises E210 when there is none."""
        for cell in self.cells:
            if cell.kind == kind:
                return cell
        hint = f"it has: {', '.join(self.kinds)}"
        raise NasirError("E210", f"space '{self.name}' has no '{kind}' cell", hint=hint)

    def contains(self, genotype: Genotype) -> tuple[str, ...]:
        """Why the genotype could not be selected from this space; empty when it could.

        What counts are the cells: the space that the genotype itself names does not.
        """
        missing = [f"it has no cell '{kind}'" for kind in self.kinds if kind not in genotype.kinds]
        reasons = list(missing)
        for cell in genotype.cells:
            if cell.kind in self.kinds:
                reasons += _cell_reasons(self.cell(cell.kind), cell)
            else:
                reasons.append(f"the space has no cell '{cell.kind}'")
        return tuple(reasons)


def _cell_reasons(space: SpaceCell, cell: CellGenotype) -> Iterator[str]:
    """Why a cell is not one of the space's."""
    if cell.nodes and bool(cell.ops) != bool(space.node_ops):
        one, other = ("nodes", "edges") if cell.ops else ("edges", "nodes")
        yield f"the ops of cell '{cell.kind}' stand on {one}, not on {other}"
        return
    if space.node_ops:
        yield from node_cell_reasons(space, cell)
        return
    if cell.inputs != space.inputs:
        yield f"cell '{cell.kind}' has {cell.inputs} inputs, not {space.inputs}"
        return
    if len(cell.nodes) != space.nodes:
        yield f"cell '{cell.kind}' has {len(cell.nodes)} nodes, not {space.nodes}"
        return
    if space.any_output:
        inner = [state for state in cell.output if state not in space.output]
        if inner:
            yield f"the output of cell '{cell.kind}' names {inner}, which cannot leave it"
    elif sorted(cell.output) != sorted(space.output):
        yield f"the output of cell '{cell.kind}' is {list(cell.output)}, not {list(space.output)}"
    for node, edges in enumerate(cell.nodes, start=cell.inputs):
        yield from _node_reasons(space, node, edges)


def _node_reasons(space: SpaceCell, node: int, edges: tuple[Edge, ...]) -> Iterator[str]:
    """Why a node's edges are not the space's."""
    what = f"node {node} of cell '{space.kind}'"
    possible = {edge.source: edge for edge in space.into(node)}
    wanted = len(possible) if space.keep is None else min(space.keep, len(possible))
    if space.repeats and space.keep is not None:
        wanted = space.keep
    if len(edges) != wanted:
        yield f"{what} has {len(edges)} edges, not {wanted}"
    sources = [] if space.repeats else [edge.source for edge in edges]
    for source in sorted({source for source in sources if sources.count(source) > 1}):
        yield f"{what} reads node {source} more than once"
    for edge in edges:
        option = possible.get(edge.source)
        if option is None:
            yield f"{what} cannot read node {edge.source}"
        elif edge.op not in option.ops:
            yield f"{what} cannot apply '{edge.op}' to node {edge.source}"
        elif edge.op in space.exclude:
            yield f"{what} applies '{edge.op}' to node {edge.source}, which is never selected"
