"""A cell written into a network: one of a genotype, or one of a space with its decisions open."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nasir.errors import NasirError
from nasir.genotype import CellGenotype
from nasir.graph import Builder, Choice, Slot
from nasir.node import Cell
from nasir.space.decisions import SpaceCell, SpaceEdge

_OPS = {"sum": "add", "mean": "mean", "concat": "concat"}

_WIDENED: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "skip_connect": ("conv_bn", {"kernel": 1}),
    "nor_conv_1x1": ("relu_conv_bn", {"kernel": 1}),
    "nor_conv_3x3": ("relu_conv_bn", {"kernel": 3}),
}
"""What AutoDL's code makes of an op that changes the number of channels."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """How edges from a cell's inputs differ from others: their stride, and how wide they become.

    `width` is None where they keep the channels of what they read.
    """

    inputs: int
    stride: int
    width: int | None

    def add(self, b: Builder, op: str, source: int, x: str, **attrs: Any) -> str:
        """The op applied to a state. Raises E303 for one that keeps the channels and must not."""
        if source >= self.inputs:
            return b(op, x, **attrs)
        if self.width in (None, b.channels(x)):
            return b(op, x, stride=self.stride, **attrs)
        if op not in _WIDENED:
            message = f"'{op}' cannot turn {b.channels(x)} channels into {self.width}"
            raise NasirError("E303", message, hint="give all stages one width")
        widened, fixed = _WIDENED[op]
        return b(widened, x, stride=self.stride, out=self.width, **fixed, **attrs)


def add_cell(
    b: Builder,
    name: str,
    cell: CellGenotype | SpaceCell,
    states: list[str],
    stride: int,
    width: int | None = None,
) -> str:
    """The cell's edges, nodes and output; edges from its inputs have that stride, and that width.

    Of a space, each edge is the mixture of its ops, whose batch norms have no weights.
    """
    b.cell = Cell(cell.kind, name)
    states = list(states)
    entry = _Entry(cell.inputs, stride, width)
    count = cell.nodes if isinstance(cell, SpaceCell) else len(cell.nodes)
    for state in range(cell.inputs, cell.inputs + count):
        if isinstance(cell, SpaceCell):
            results = [_open(b, name, cell, e, states, entry) for e in cell.into(state)]
        else:
            results = _decided(b, name, cell, state, states, entry)
        states.append(_join(b, cell.combine, results, f"{name}/n{state}"))
    output = _join(b, cell.join, [states[i] for i in cell.output], f"{name}/out")
    b.cell = None
    return output


def edge_choice(kind: str, edge: SpaceEdge) -> Choice:
    """Which op an edge has, one for all cells of the kind: `normal/n2.e0`."""
    return Slot(kind, "op on edge", edge.node, edge.source).choice(edge.ops)


def _decided(
    b: Builder, name: str, cell: CellGenotype, state: int, states: list[str], entry: _Entry
) -> list[str]:
    """The edges into a node; twins of one source and op have numbers."""
    results: list[str] = []
    twins: Counter[str] = Counter()
    for edge in cell.nodes[state - cell.inputs]:
        label = f"{name}/n{state}.e{edge.source}/{edge.op}"
        twins[label] += 1
        label = f"{label}#{twins[label]}" if twins[label] > 1 else label
        results.append(entry.add(b, edge.op, edge.source, states[edge.source], name=label))
    return results


def _open(
    b: Builder, name: str, cell: SpaceCell, edge: SpaceEdge, states: list[str], entry: _Entry
) -> str:
    """The mixture of an edge's ops."""
    label = f"{name}/n{edge.node}.e{edge.source}"
    weights = b.choose(edge_choice(cell.kind, edge))
    values: list[str] = []
    for op in edge.ops:
        below = f"{label}/{op}"
        value = entry.add(b, op, edge.source, states[edge.source], name=below, affine=False)
        if op in cell.normalise:
            value = b("batch_norm", value, name=f"{below}/norm", affine=False)
        values.append(value)
    return b("mix", weights, *values, name=label, options=tuple(range(len(values))))


def _join(b: Builder, how: str, values: list[str], name: str) -> str:
    """The values brought together; one alone as it is."""
    return values[0] if len(values) == 1 else b(_OPS[how], *values, name=name)
