"""AutoDL's structure list of a NAS-Bench-201 cell: `[(('op', 0),), (('op', 0), ('op', 1)), …]`."""

import re

from nasir.document import Cursor
from nasir.errors import NasirError, Where
from nasir.formats import nasbench201
from nasir.formats.format import Format, known_op
from nasir.formats.literal import parse_literal
from nasir.genotype import Edge, Genotype, Path, check_genotype
from nasir.source import Source

_LIST = re.compile(r"""\s*[\[(]\s*[\[(]\s*[\[(]\s*["'][^"'\[\](),]*["']\s*,\s*-?[0-9]+\s*[\])]""")


def load(source: Source) -> Genotype:
    """The genotype in full form: missing edges are `none`, each node's edges go by source.

    Raises E202 for two edges from one source, which the benchmark has no cells with.
    """
    document = parse_literal(source)
    rows = document.root.items("a structure list")
    if len(rows) != nasbench201.NODES:
        message = f"a NAS-Bench-201 cell has {nasbench201.NODES} nodes, and this has {len(rows)}"
        raise document.root.fault("E202", message)
    nodes = tuple(_read_node(row, state) for state, row in enumerate(rows, start=1))

    def place(path: Path) -> Where:
        match path:
            case (_, int(state), int(slot)):
                return document.place((state - 1, slot, 1))
            case (_, int(state)):
                return document.place((state - 1,))
            case _:
                return document.place(())

    check_genotype(nasbench201.genotype_of(nodes, nasbench201.NODES), place)
    full = tuple(nasbench201.completed(edges, state) for state, edges in enumerate(nodes, start=1))
    return nasbench201.genotype_of(full, nasbench201.NODES)


def dump(genotype: Genotype) -> str:
    """The list as Python prints it, all six edges. Raises E208 for any other cell."""
    nasbench201.dump(genotype)  # what the string cannot hold, the list cannot either
    [cell] = genotype.cells
    return repr(
        [
            tuple((edge.op, edge.source) for edge in sorted(edges, key=lambda edge: edge.source))
            for edges in cell.nodes
        ]
    )


def _read_node(row: Cursor, state: int) -> tuple[Edge, ...]:
    edges: list[Edge] = []
    for part in row.items(f"node {state}"):
        pair = part.items("an edge ('op', source)")
        if len(pair) != 2:
            raise part.fault("E109", f"an edge is ('op', source), and this has {len(pair)} parts")
        op, source = pair
        edge = Edge(known_op(op.text("an op"), lambda op=op: op.where), source.integer("a source"))
        if any(edge.source == other.source for other in edges):
            raise NasirError("E202", f"node {state} reads node {edge.source} twice", source.where)
        edges.append(edge)
    return tuple(edges)


def _recognises(source: Source) -> bool:
    return bool(_LIST.match(source.text))


AUTODL = Format("autodl", "AutoDL's structure list", _recognises, load, dump)
