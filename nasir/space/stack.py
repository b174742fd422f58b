"""A stack of cells, each of which reads the outputs of the two cells before it, or of the last."""

from dataclasses import dataclass

from nasir.graph import Builder
from nasir.space.cell import Cells, add_cell
from nasir.space.layout import PUBLISHED, Layout
from nasir.space.space import Genotype, Space

Design = Genotype | Space
"""Where a network's cells come from: decided in a genotype, or open in a space (a supernet)."""


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
    if isinstance(design, Space):
        return {cell.kind: cell for cell in design.cells}
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
        inputs: list[str] = []
        if cell.inputs == 2:
            first = stem.shrink if halved else "relu_conv_bn"
            inputs.append(b(first, before, name=f"{name}/pre0", out=channels, affine=affine))
        label = f"{name}/pre{len(inputs)}"
        inputs.append(b("relu_conv_bn", last, name=label, out=channels, affine=affine))
        before, last = last, add_cell(b, name, kind, cells_of(design), inputs, 2 if halves else 1)
        halved = halves
        if halves:
            tapped = last
    return last, tapped
