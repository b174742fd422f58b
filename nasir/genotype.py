"""Cells of a genotype, and the paths of their parts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from nasir.errors import Where

Path = tuple[str | int, ...]
"""A part of a genotype: (kind,), (kind, node), (kind, node, slot), (kind, "output", slot)."""

Place = Callable[[Path], Where]
"""The place of a part; an edge's op is (kind, node, slot, "op"), a node's (kind, node, "op")."""

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
    `combine` and `join` are those of the space (see `nasir.space.load`).

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
    def on_nodes(self) -> bool:
        """True if ops are on nodes, not on edges."""
        return bool(self.ops)

    @property
    def sources(self) -> tuple[tuple[int, ...], ...]:
        """The sources of each node, in order."""
        return tuple(tuple(edge.source for edge in edges) for edges in self.nodes)
