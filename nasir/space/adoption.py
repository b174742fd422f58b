"""A genotype and its space brought together: own ops, and how nodes combine."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nasir.errors import NOWHERE, unknown_op
from nasir.genotype import CellGenotype, Place
from nasir.macros import ACTIVATIONS, EDGE_MACROS
from nasir.ops import Op
from nasir.space.load import is_shipped, load_space
from nasir.space.space import Genotype, Space


def adopt(genotype: Genotype, space: Space | str | Path) -> Genotype:
    """The genotype as one of that space (or of what `load_space` takes).

    The space need not contain it: `Space.contains` tells. Raises an error for an op that neither
    nasir nor the space defines, and what reading the space raises.
    """
    if not isinstance(space, Space):
        space = load_space(space)
    check_ops(genotype, space)
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


def check_ops(genotype: Genotype, space: Space | None, place: Place = lambda _: NOWHERE) -> None:
    """Raises an error for an op that neither nasir nor the space defines, with the nearest name."""
    for cell in genotype.cells:
        known = ops_of(None, cell.kind).keys()
        if not known >= set(cell.named_ops):
            known = {*ops_of(space, cell.kind), *(space.options(cell.kind) if space else ())}
        for path, op in cell.op_paths:
            if op not in known:
                raise unknown_op(op, known, place(path))


def _adopted(cell: CellGenotype, space: Space) -> CellGenotype:
    if cell.kind not in space.kinds:
        return cell
    own = space.cell(cell.kind)
    return replace(cell, combine=own.combine, join=own.join)
