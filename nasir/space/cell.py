"""A cell written into a network: one of a genotype, or one of a space with its decisions open."""

from nasir.genotype import CellGenotype
from nasir.graph import Builder, Choice
from nasir.node import Cell
from nasir.space.space import SpaceCell, SpaceEdge

_OPS = {"sum": "add", "mean": "mean", "concat": "concat"}


def add_cell(
    b: Builder, name: str, cell: CellGenotype | SpaceCell, states: list[str], stride: int
) -> str:
    """The cell's edges, nodes and output; edges from its inputs have that stride.

    Of a space, each edge is the mixture of its ops, whose batch norms have no weights.
    """
    b.cell = Cell(cell.kind, name)
    states = list(states)
    count = cell.nodes if isinstance(cell, SpaceCell) else len(cell.nodes)
    for state in range(cell.inputs, cell.inputs + count):
        if isinstance(cell, SpaceCell):
            results = [_open(b, name, cell, e, states, stride) for e in cell.into(state)]
        else:
            results = _decided(b, name, cell, state, states, stride)
        states.append(_join(b, cell.combine, results, f"{name}/n{state}"))
    output = _join(b, cell.join, [states[i] for i in cell.output], f"{name}/out")
    b.cell = None
    return output


def edge_choice(kind: str, edge: SpaceEdge) -> Choice:
    """Which op an edge has, one for all cells of the kind: `normal/n2.e0`."""
    return Choice(f"{kind}/n{edge.node}.e{edge.source}", "op on edge", edge.ops)


def _decided(
    b: Builder, name: str, cell: CellGenotype, state: int, states: list[str], stride: int
) -> list[str]:
    """The edges into a node; twins of one source and op have numbers."""
    results: list[str] = []
    for edge in cell.nodes[state - cell.inputs]:
        label = f"{name}/n{state}.e{edge.source}/{edge.op}"
        twins = sum(result.split("#")[0] == label for result in results)
        label = f"{label}#{twins + 1}" if twins else label
        step = stride if edge.source < cell.inputs else 1
        results.append(b(edge.op, states[edge.source], name=label, stride=step))
    return results


def _open(
    b: Builder, name: str, cell: SpaceCell, edge: SpaceEdge, states: list[str], stride: int
) -> str:
    """The mixture of an edge's ops."""
    label = f"{name}/n{edge.node}.e{edge.source}"
    weights = b.choose(edge_choice(cell.kind, edge))
    step = stride if edge.source < cell.inputs else 1
    values: list[str] = []
    for op in edge.ops:
        below = f"{label}/{op}"
        value = b(op, states[edge.source], name=below, stride=step, affine=False)
        if op in cell.normalise:
            value = b("batch_norm", value, name=f"{below}/norm", affine=False)
        values.append(value)
    return b("mix", weights, *values, name=label, options=tuple(range(len(values))))


def _join(b: Builder, how: str, values: list[str], name: str) -> str:
    """The values brought together; one alone as it is."""
    return values[0] if len(values) == 1 else b(_OPS[how], *values, name=name)
