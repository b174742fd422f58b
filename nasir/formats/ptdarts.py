"""pt.darts's Python text: a `Genotype(...)` whose nodes are lists of two edges each.

Its networks have a batch norm behind every pool, as the space `ptdarts` says.
"""

from dataclasses import replace

from nasir.document import Cursor
from nasir.formats.darts import DARTS, format_output
from nasir.formats.format import Format, are_edges, call_of, paired_cells
from nasir.genotype import CellGenotype, Genotype
from nasir.plain import Json
from nasir.space.adoption import space_in_force

_FIELDS = ("normal", "reduce")


def load(cursor: Cursor) -> Genotype:
    """The genotype of the call. Raises what `darts` raises."""
    genotype = DARTS.load(cursor)
    return genotype if space_in_force() else replace(genotype, space="ptdarts")


def dump(genotype: Genotype) -> str:
    """The Python text. Raises E208 for cells with other than two edges a node."""
    fields = [
        f"{cell.kind}={_nested(cell)}, {cell.kind}_concat={format_output(cell)}"
        for cell in paired_cells(genotype, "ptdarts")
    ]
    return f"Genotype({', '.join(fields)})"


def _nested(cell: CellGenotype) -> str:
    return repr([[(edge.op, edge.source) for edge in edges] for edges in cell.nodes])


def _recognises(cursor: Cursor) -> bool:
    """Whether the nodes are lists, as pt.darts prints them: AutoDL's, in tuples, are darts."""
    if not call_of(cursor).endswith("Genotype") or not isinstance(cursor.value, dict):
        return False
    document = cursor.document
    for name in _FIELDS:
        nodes = cursor.value.get(name)
        if not isinstance(nodes, list) or not nodes:
            return False
        if not all(_are_two(edges) for edges in nodes):
            return False
        offset = document.places.values.get((*cursor.path, name, 0))
        if offset is None or document.source.text[offset : offset + 1] != "[":
            return False
    return True


def _are_two(edges: Json) -> bool:
    return isinstance(edges, list) and len(edges) == 2 and are_edges(edges, str, int)


PTDARTS = Format(
    "ptdarts",
    "pt.darts's Python text Genotype(...), a list of edges a node",
    _recognises,
    load,
    dump,
)
