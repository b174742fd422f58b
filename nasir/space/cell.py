"""Cells written into a network: one builder for what a genotype has decided and what is open."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from nasir.errors import NasirError
from nasir.genotype import CellGenotype
from nasir.graph import Builder
from nasir.node import MIXED, Cell
from nasir.space.decisions import SpaceCell, cell_tree
from nasir.space.tree import Choose

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
    states: Sequence[str],
    stride: int,
    width: int | None = None,
) -> str:
    """A cell with ops on edges; edges from its inputs have that stride, and that width.

    Of a space, each edge is the mixture of its ops, whose batch norms have no weights.
    """
    b.cell = Cell(cell.kind, name)
    entry, states = _Entry(cell.inputs, stride, width), list(states)
    normed = cell.normalise if isinstance(cell, SpaceCell) else ()
    attrs = {"affine": False} if isinstance(cell, SpaceCell) else {}

    def apply(source: int, op: str, below: str) -> str:
        x = entry.add(b, op, source, states[source], name=below, **attrs)
        return b("batch_norm", x, name=f"{below}/norm", affine=False) if op in normed else x

    for node in cell_tree(cell):
        if node.slot.role == "edge into node":
            label = f"{name}/n{node.slot.node}"
            values = add_edges(b, node, label, apply)
            with b.within(node.slot):
                states.append(_join(b, cell.combine, values, label))
    output = _join(b, cell.join, [states[i] for i in cell.output], f"{name}/out")
    b.cell = None
    return output


def add_edges(
    b: Builder, node: Choose, label: str, apply: Callable[[int, str, str], str]
) -> list[str]:
    """The values of the edges into a node: `apply(source, op, name)` adds the op of one."""
    return [
        add_op(b, op, f"{label}.e{op.slot.source}", partial(apply, op.slot.source))
        for option in node.options
        for op in option.then
    ]


def add_op(b: Builder, choose: Choose, label: str, apply: Callable[[str, str], str]) -> str:
    """The value of an op that is decided, or the mixture of those that are open.

    `apply(op, name)` adds one of them, called `<label>/<op>` (`#2` behind it for its twin); the
    mixture is called `label`.
    """
    if not choose.mixed:
        op = str(choose.options[0].name)
        option, number = op, 1
        while f"{label}/{option}" in b.types:
            number += 1
            option = f"{op}#{number}"
        with b.within(choose.slot, option):
            return apply(op, f"{label}/{option}")
    values: list[str] = []
    for op in choose.mixed:
        with b.within(choose.slot, op):
            values.append(apply(op, f"{label}/{op}"))
    return add_mixture(b, choose, values, label)


def add_mixture(b: Builder, choose: Choose, values: Sequence[str], name: str) -> str:
    """The sum of the options' values, with the weights of the choice."""
    with b.within(choose.slot, MIXED):
        options = tuple(range(len(values)))
        return b("mix", b.choose(choose.choice), *values, name=name, options=options)


def _join(b: Builder, how: str, values: list[str], name: str) -> str:
    """The values brought together; one alone as it is."""
    return values[0] if len(values) == 1 else b(_OPS[how], *values, name=name)
