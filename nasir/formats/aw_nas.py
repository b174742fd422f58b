"""aw_nas's `CNNGenotype(normal_0=[('op', source, node), …], reduce_1=…, normal_0_concat=…, …)`."""

from collections.abc import Callable

from nasir.document import Cursor
from nasir.errors import Where
from nasir.formats.format import (
    Format,
    Parsed,
    Spots,
    call_of,
    has_keys,
    normal_and_reduce,
)
from nasir.genotype import CellGenotype, Edge
from nasir.space.space import Genotype, Space

_FIELDS = {"normal_0": "normal", "reduce_1": "reduce"}
_MOST = 64
"""The highest node."""


def parse(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of its two groups of cells.

    Other numbers of groups are not read: DARTS's networks have two.
    """
    names = (*_FIELDS, *(f"{name}_concat" for name in _FIELDS))
    fields = cursor.fields("an aw_nas genotype", names)
    spots = Spots()
    cells = tuple(_read_cell(kind, name, fields, spots) for name, kind in _FIELDS.items())
    return Parsed(Genotype("darts", cells), spots.place)


def dump(genotype: Genotype) -> str:
    """The Python text. Raises an error for other cells than normal and reduce."""
    cells = normal_and_reduce(genotype, "aw_nas")
    edges = [
        [
            (edge.op, edge.source, node)
            for node, row in enumerate(cell.nodes, start=2)
            for edge in row
        ]
        for cell in cells
    ]
    fields = [f"{name}={row!r}" for name, row in zip(_FIELDS, edges, strict=True)]
    fields += [
        f"{name}_concat={list(cell.output)!r}" for name, cell in zip(_FIELDS, cells, strict=True)
    ]
    return f"CNNGenotype({', '.join(fields)})"


def _read_cell(kind: str, name: str, fields: dict[str, Cursor], spots: Spots) -> CellGenotype:
    edges, output = fields[name], fields[f"{name}_concat"]
    spots.mark((kind,), lambda: edges.where)
    spots.mark((kind, "output"), lambda: output.where)
    found: dict[int, list[Edge]] = {}
    for part in edges.items(f"the edges of cell '{kind}'"):
        triple = part.items("an edge ('op', source, node)")
        if len(triple) != 3:
            message = f"an edge is ('op', source, node), and this has {len(triple)} parts"
            raise part.fault("E109", message)
        op, source, node = triple
        number = node.integer("a node")
        if not 2 <= number <= _MOST:
            raise node.fault("E202", f"an edge leads to node {number}, which is not there")
        row = found.setdefault(number, [])
        spots.mark((kind, number, len(row)), _at(source))
        spots.mark((kind, number, len(row), "op"), _at(op))
        row.append(Edge(op.text("an op"), source.integer("a source")))
    states = output.items(f"the output of cell '{kind}'")
    for slot, state in enumerate(states):
        spots.mark((kind, "output", slot), _at(state))
    nodes = tuple(tuple(found.get(node, ())) for node in range(2, max(found, default=1) + 1))
    return CellGenotype(kind, 2, nodes, tuple(state.integer("a state") for state in states))


def _at(cursor: Cursor) -> Callable[[], Where]:
    return lambda: cursor.where


AW_NAS = Format(
    "aw_nas",
    "aw_nas's Python text CNNGenotype(...)",
    lambda cursor: call_of(cursor) == "CNNGenotype" or has_keys(cursor.value, *_FIELDS),
    parse,
    dump,
    opens=r"CNNGenotype\s{0,4}\(",
)
