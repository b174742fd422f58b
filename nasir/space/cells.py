"""Builds cells in a graph, and stacks of them that read the two cells before, or the last one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from nasir.errors import NasirError
from nasir.graph import Builder
from nasir.macros import EdgeAttrs
from nasir.node import MIXED, Cell, Slot, below, twin_option
from nasir.ops import Macro
from nasir.own_ops import add_spelled
from nasir.space.decisions import CellGenotype, Edge, SpaceCell, cell_tree
from nasir.space.layout import PUBLISHED, Layout
from nasir.space.space import Genotype, Space
from nasir.space.tree import Choose
from nasir.template import Scope

_OPS = {"sum": "add", "mean": "mean", "concat": "concat"}

_WIDENED: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "skip_connect": ("conv_bn", {"kernel": 1}),
    "nor_conv_1x1": ("relu_conv_bn", {"kernel": 1}),
    "nor_conv_3x3": ("relu_conv_bn", {"kernel": 3}),
}
"""Replacements in AutoDL's code of an op that changes the number of channels."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """Edges from a cell's inputs, which differ from others: their stride, and their width.

    `width` is None where they keep the channels of what they read.
    """

    inputs: int
    stride: int
    width: int | None

    def add(self, b: Builder, op: str, source: int, x: str, **attrs: Any) -> str:
        """The op applied to a state. Raises an error for one that keeps the channels and must
        not.
        """
        if source >= self.inputs:
            return b(op, x, **attrs)
        if self.width in (None, b.channels(x)):
            return b(op, x, stride=self.stride, **attrs)
        if op not in _WIDENED:
            message = f"'{op}' cannot turn {b.channels(x)} channels into {self.width}"
            raise NasirError("E302", message, hint="give all stages one width")
        widened, fixed = _WIDENED[op]
        return b(widened, x, stride=self.stride, out=self.width, **fixed, **attrs)


Cells = Mapping[str, CellGenotype | SpaceCell]
"""The cells of a genotype or of a space, by kind."""


def add_cell(
    b: Builder,
    name: str,
    kind: str,
    cells: Cells,
    states: Sequence[str],
    stride: int,
    width: int | None = None,
) -> str:
    """A cell with ops on edges; edges from its inputs have that stride, and that width.

    Of a space, each edge is the mixture of its ops, whose batch norms have no weights. An op that
    is another kind of cell stands for that cell, which reads what the edge reads.
    """
    b.cell = Cell(kind, name)
    add = partial(_add, b, name, cells[kind], cells, list(states), stride, width)
    output = b.part((kind, stride, width), states, name, add)
    b.cell = None
    return output


def add_input(b: Builder, cell: Cell, state: int, op: str, x: str, **attrs: Any) -> str:
    """A layer before a cell, which makes its input of that number: `c03/pre0`."""
    b.cell = cell
    with b.within(Slot(cell.kind, "input", state), op):
        x = b(op, x, name=f"{cell.name}/pre{state}", **attrs)
    b.cell = None
    return x


def _add(
    b: Builder,
    name: str,
    cell: CellGenotype | SpaceCell,
    cells: Cells,
    states: list[str],
    stride: int,
    width: int | None,
) -> str:
    entry = _Entry(cell.inputs, stride, width)
    normed = cell.normalise if isinstance(cell, SpaceCell) else ()
    attrs = {"affine": False} if isinstance(cell, SpaceCell) else {}

    def apply(source: int, op: str, under: str) -> str:
        if op in cells and op not in b.ops:
            at = (stride, width) if source < cell.inputs else (1, None)
            return _add(b, under, cells[op], cells, [states[source]], *at)
        x = entry.add(b, op, source, states[source], name=under, **attrs)
        return b("batch_norm", x, name=below(under, "norm"), affine=False) if op in normed else x

    for node in cell_tree(cell):
        if node.slot.role == "edge into node":
            label = below(name, node.slot.local)
            values = add_edges(b, node, name, apply)
            with b.within(node.slot):
                states.append(_join(b, cell.combine, values, label))
    return _join(b, cell.join, [states[i] for i in cell.output], f"{name}/out")


@lru_cache(1 << 10)
def cell_op(kind: str, cells: tuple[CellGenotype, ...], ops: tuple[Macro, ...]) -> Macro:
    """A decided cell of one input as an op on edges; `ops` are those of its space."""
    found = {cell.kind: replace(cell, nodes=tuple(map(_in_order, cell.nodes))) for cell in cells}

    def body(scope: Scope, inputs: tuple[str, ...], a: EdgeAttrs) -> str:
        b = Builder(**{name: scope.type(name) for name in inputs}).know(ops)
        output = _add(b, kind, found[kind], found, list(inputs), a.stride, None)
        values = {name: name for name in inputs}
        for node in b.nodes:
            sources = tuple(values[x] for x in node.inputs)
            values[node.name] = add_spelled(scope, node.op, sources, node.name, dict(node.attrs))
        return values[output]

    return Macro(kind, "a cell", EdgeAttrs, body, on_edge=True)


def _in_order(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
    return tuple(sorted(edges, key=lambda edge: (edge.source, edge.op)))


def add_edges(
    b: Builder, node: Choose, name: str, apply: Callable[[int, str, str], str]
) -> list[str]:
    """The values of the edges into a node of a cell: `apply(source, op, name)` adds an op."""
    values: list[str] = []
    twins: Counter[Choose] = Counter()
    for op in (op for option in node.options for op in option.then):
        twins[op] += 1
        label = below(name, op.slot.local)
        values.append(add_op(b, op, label, partial(apply, op.slot.source), twins[op]))
    return values


def add_op(
    b: Builder, choose: Choose, label: str, apply: Callable[[str, str], str], twin: int = 1
) -> str:
    """The value of an op that is decided, or the mixture of those that are open.

    `apply(op, name)` adds one of them, called `<label>/<op>` (`#2` behind it for its twin); the
    mixture is called `label`.
    """
    if not choose.mixed:
        op = str(choose.options[0].name)
        option = twin_option(op, twin)
        with b.within(choose.slot, option):
            return apply(op, below(label, option))
    values: list[str] = []
    for op in choose.mixed:
        with b.within(choose.slot, op):
            values.append(apply(op, below(label, op)))
    return add_mixture(b, choose, values, label)


def add_mixture(b: Builder, choose: Choose, values: Sequence[str], name: str) -> str:
    """The sum of the options' values, with the weights of the choice."""
    with b.within(choose.slot, MIXED):
        options = tuple(range(len(values)))
        return b("mix", b.choose(choose.choice), *values, name=name, options=options)


def _join(b: Builder, how: str, values: list[str], name: str) -> str:
    """The values brought together; one alone as it is."""
    return values[0] if len(values) == 1 else b(_OPS[how], *values, name=name)


Design = Genotype | Space
"""The origin of a network's cells: decided in a genotype, or open in a space (a supernet)."""


@dataclass(frozen=True, slots=True)
class Stem:
    """The two values that the first cell reads; `halved`: whether `last` is half as large.

    `shrink` is the macro that halves what stands before a cell that halves.
    """

    before: str
    last: str
    halved: bool = False
    shrink: str = "factorized_reduce"


def space_of(design: Design) -> Space | None:
    """The space itself, or that of a genotype if it is known."""
    return design if isinstance(design, Space) else design.definition


def cells_of(design: Design) -> Cells:
    """The cells by kind."""
    return {cell.kind: cell for cell in design.cells}


def layout_of(design: Design) -> Layout:
    """The layout of the design's space, or the published one."""
    space = space_of(design)
    return space.layout if space else PUBLISHED


def add_stack(
    b: Builder, design: Design, channels: int, layers: int, stem: Stem
) -> tuple[str, str]:
    """All cells, each behind 1x1 convolutions that give its inputs its own width.

    In a supernet the batch norms of these have no weights either.

    Returns the last cell's output, and that of the last cell that halves, which an auxiliary head
    reads. Raises an error where the layout does not fit the layers.
    """
    layout, affine = layout_of(design), isinstance(design, Genotype)
    before, last, halved = stem.before, stem.last, stem.halved
    tapped = last
    for layer, kind in enumerate(layout.of(layers)):
        name, cell = f"c{layer:02d}", design.cell(kind)
        halves = kind in layout.halves
        channels *= 2 if kind in layout.doubles else 1
        made = partial(add_input, b, Cell(kind, name), out=channels, affine=affine)
        inputs: list[str] = []
        if cell.inputs == 2:
            inputs.append(made(0, stem.shrink if halved else "relu_conv_bn", before))
        inputs.append(made(len(inputs), "relu_conv_bn", last))
        before, last = last, add_cell(b, name, kind, cells_of(design), inputs, 2 if halves else 1)
        halved = halves
        if halves:
            tapped = last
    return last, tapped
