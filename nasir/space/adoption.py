"""A genotype and its space brought together: own ops, and how nodes combine."""

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from nasir.errors import unknown_op
from nasir.genotype import CellGenotype, Genotype
from nasir.macros import ACTIVATIONS, EDGE_MACROS
from nasir.ops import Op
from nasir.space.load import is_shipped, load_space
from nasir.space.space import Space

_in_force: ContextVar[Space | str | None] = ContextVar("space in force", default=None)
"""The space whose ops a genotype that is being read may name.

Formats read a text without knowing where it belongs; handing a space through each of their
functions, for the few whose space has ops of its own, was the alternative.
"""


def adopt(genotype: Genotype, space: Space | str | Path) -> Genotype:
    """The genotype as one of that space (or of what `load_space` takes).

    The space need not contain it: `Space.contains` tells. Raises E201 for an op that neither nasir
    nor the space defines, and what reading the space raises.
    """
    if not isinstance(space, Space):
        space = load_space(space)
    for cell in genotype.cells:
        known = {*ops_of(space, cell.kind), *space.options(cell.kind)}
        for op in cell.named_ops:
            if op not in known:
                raise unknown_op(op, known)
    cells = tuple(_adopted(cell, space) for cell in genotype.cells)
    return replace(genotype, space=space.name, cells=cells, definition=space)


def home_of(genotype: Genotype) -> Space | None:
    """The genotype's space: its definition, or the shipped one of that name, or None."""
    if genotype.definition is not None:
        return genotype.definition
    return load_space(genotype.space) if is_shipped(genotype.space) else None


def ops_of(space: Space | None, kind: str) -> Mapping[str, Op]:
    """The ops that a cell of that kind may name; the space's own come before shipped ones.

    Activations stand in cells of the kind `recurrent` alone, other ops in all others.
    """
    shipped = ACTIVATIONS if kind == "recurrent" else EDGE_MACROS
    return {**shipped, **{op.name: op for op in space.ops}} if space and space.ops else shipped


@contextmanager
def in_force(space: Space | str | None) -> Generator[None]:
    """While this lasts, ops are looked up in that space; a str is the name of a shipped one."""
    token = _in_force.set(space)
    try:
        yield
    finally:
        _in_force.reset(token)


def space_in_force() -> Space | None:
    """The space that the caller of the reader gave, if any."""
    space = _in_force.get()
    return space if isinstance(space, Space) else None


def ops_in_force(kind: str) -> Collection[str]:
    """The ops, and the kinds of cell, that a cell may name in a genotype that is being read."""
    space = _in_force.get()
    if isinstance(space, str):
        space = load_space(space) if is_shipped(space) else None
    return {*ops_of(space, kind), *(space.options(kind) if space else ())}


def _adopted(cell: CellGenotype, space: Space) -> CellGenotype:
    if cell.kind not in space.kinds:
        return cell
    own = space.cell(cell.kind)
    return replace(cell, combine=own.combine, join=own.join)
