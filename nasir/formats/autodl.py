"""AutoDL's structure list of a NAS-Bench-201 cell: `[(('op', 0),), (('op', 0), ('op', 1)), …]`."""

from nasir.document import Cursor
from nasir.errors import NasirError, Where
from nasir.formats import nasbench201
from nasir.formats.format import Format, are_edges, known_op
from nasir.genotype import Edge, Genotype, Path, check_genotype
from nasir.plain import Json


def load(cursor: Cursor) -> Genotype:
    """The genotype in full form: missing edges are `none`, each node's edges go by source.

    Raises E202 for two edges from one source, which the benchmark has no cells with.
    """
    rows = cursor.items("a structure list")
    if len(rows) != nasbench201.NODES:
        message = f"a NAS-Bench-201 cell has {nasbench201.NODES} nodes, and this has {len(rows)}"
        raise cursor.fault("E202", message)
    nodes = tuple(_read_node(row, state) for state, row in enumerate(rows, start=1))

    def place(path: Path) -> Where:
        match path:
            case (_, int(state), int(slot)):
                return rows[state - 1].items("")[slot].items("")[1].where
            case (_, int(state)):
                return rows[state - 1].where
            case _:
                return cursor.where

    check_genotype(nasbench201.genotype_of(nodes, nasbench201.NODES), place)
    full = tuple(nasbench201.completed(edges, state) for state, edges in enumerate(nodes, start=1))
    return nasbench201.genotype_of(full, nasbench201.NODES)


def dump(genotype: Genotype) -> str:
    """The list as Python prints it, all six edges. Raises E208 for any other cell."""
    rows = nasbench201.rows_of_edges(genotype, "autodl")
    return repr([tuple((edge.op, edge.source) for edge in edges) for edges in rows])


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


def _recognises(cursor: Cursor) -> bool:
    """Whether it is a list of nodes, each a list of pairs of an op and a source."""
    rows = cursor.value
    return (
        isinstance(rows, list)
        and bool(rows)
        and are_edges(rows[0], str, int)
        and all(isinstance(row, list) and not _are_states(row) for row in rows)
    )


def _are_states(row: list[Json]) -> bool:
    """Whether a list has only numbers, as a genotype's list of outputs has."""
    return bool(row) and all(isinstance(part, int) for part in row)


AUTODL = Format(
    "autodl",
    "AutoDL's structure list",
    _recognises,
    load,
    dump,
    # The first node has one edge: two are a cell of DARTS, which a Genotype(...) is around.
    opens=r"[\[(](?=[\[(][\[(]['\"]\w{1,40}['\"], ?0[\])],?[\])])",
)
