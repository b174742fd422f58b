"""The NAS-Bench-201 string: `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""

import re
from collections.abc import Callable

from nasir.document import Cursor
from nasir.errors import NasirError, Where, quoted
from nasir.formats.format import (
    Format,
    Spots,
    inexpressible,
    known_op,
    place_in,
    refuse_node_ops,
)
from nasir.genotype import CellGenotype, Edge, Genotype, check_genotype

KIND = "cell"
NODES = 3

_EDGE = re.compile(r"([^|+~]*)~([0-9]{1,3})")
_SHAPE = "a node is written |op~source|op~source|, and nodes are joined by +"


def load(cursor: Cursor) -> Genotype:
    """The genotype in full form: missing edges are `none`, each node's edges go by source."""
    text = str(cursor.value)
    spots = Spots()
    spots.mark((KIND,), lambda: cursor.where)
    nodes: list[tuple[Edge, ...]] = []
    offset = 0
    texts = text.split("+", NODES + 1)
    if len(texts) > NODES:
        raise _wrong_number(cursor, text.count("+") + 1)
    for state, part in enumerate(texts, start=1):
        edges = _read_node(cursor, spots, state, (offset, part))
        check_genotype(genotype_of((*nodes, edges), state), spots.place)
        nodes.append(completed(edges, state))
        offset += len(part) + 1
    if len(nodes) < NODES:
        raise _wrong_number(cursor, len(nodes))
    return genotype_of(tuple(nodes), NODES)


def dump(genotype: Genotype) -> str:
    """The string, all six edges in order. Raises E208 for any other cell."""
    rows = rows_of_edges(genotype, "nasbench201")
    return "+".join("|" + "|".join(f"{e.op}~{e.source}" for e in edges) + "|" for edges in rows)


def rows_of_edges(genotype: Genotype, format_name: str) -> list[list[Edge]]:
    """All six edges of the cell, by node and source. Raises E208, as that format's, for others."""

    def cannot(what: str) -> NasirError:
        message = f"{what}: it holds one cell of {NODES} nodes with one edge from each earlier node"
        return inexpressible(format_name, message)

    cell = genotype.cells[0]
    if len(genotype.cells) > 1 or cell.inputs != 1 or len(cell.nodes) != NODES:
        raise cannot(f"the cells {_describe(genotype)}")
    refuse_node_ops(cell, format_name)
    if cell.output != (NODES,):
        raise cannot(f"the output {list(cell.output)}")
    rows = [sorted(edges, key=lambda edge: edge.source) for edges in cell.nodes]
    for state, edges in enumerate(rows, start=1):
        sources = [edge.source for edge in edges]
        if sources != list(range(state)):
            raise cannot(f"node {state}, which reads {sources}")
    return rows


def genotype_of(nodes: tuple[tuple[Edge, ...], ...], output: int) -> Genotype:
    """A genotype of one cell, whose last node leaves it."""
    return Genotype("nasbench201", (CellGenotype(KIND, 1, nodes, (output,)),))


def _wrong_number(cursor: Cursor, count: int) -> NasirError:
    code = "E202" if count > NODES else "E104"
    message = f"a NAS-Bench-201 cell has {NODES} nodes, and this has {count}"
    return NasirError(code, message, place_in(cursor, len(str(cursor.value))), hint=_SHAPE)


def _read_node(
    cursor: Cursor, spots: Spots, state: int, piece: tuple[int, str]
) -> tuple[Edge, ...]:
    start, text = piece
    stripped = text.strip()
    start += len(text) - len(text.lstrip())
    spots.mark((KIND, state), _placed(cursor, start))
    if len(stripped) < 2 or stripped[0] != "|" or stripped[-1] != "|":
        at = start if stripped[:1] != "|" else start + len(stripped)
        message = f"node {state} must open and close with |"
        raise NasirError("E104", message, place_in(cursor, at), hint=_SHAPE)
    edges: list[Edge] = []
    offset = start + 1
    for slot, part in enumerate(stripped[1:-1].split("|")):
        edge = _read_edge(part, _placed(cursor, offset))
        where = _placed(cursor, offset + len(edge.op) + 1)
        if any(edge.source == other.source for other in edges):
            raise NasirError("E202", f"node {state} reads node {edge.source} twice", where())
        spots.mark((KIND, state, slot), where)
        edges.append(edge)
        offset += len(part) + 1
    return tuple(edges)


def _placed(cursor: Cursor, offset: int) -> Callable[[], Where]:
    return lambda: place_in(cursor, offset)


def _read_edge(part: str, where: Callable[[], Where]) -> Edge:
    match = _EDGE.fullmatch(part)
    if not match:
        message = f"{quoted(part)} is not an op and its source"
        raise NasirError("E104", message, where(), hint="write op~source, as nor_conv_3x3~0")
    return Edge(known_op(match[1], where), int(match[2]))


def completed(edges: tuple[Edge, ...], state: int) -> tuple[Edge, ...]:
    """A node's edges by source, with `none` for those that are missing."""
    by_source = {edge.source: edge for edge in edges}
    return tuple(by_source.get(source, Edge("none", source)) for source in range(state))


def _describe(genotype: Genotype) -> str:
    return ", ".join(
        f"'{cell.kind}' ({cell.inputs} inputs, {len(cell.nodes)} nodes)" for cell in genotype.cells
    )


def _recognises(cursor: Cursor) -> bool:
    return isinstance(cursor.value, str) and cursor.value[:1] == "|"


_NODE = r"\|(?:\w{1,40}~\d\|){1,8}"
NASBENCH201 = Format(
    "nasbench201",
    "the NAS-Bench-201 string",
    _recognises,
    load,
    dump,
    word=rf"{_NODE}(?:\+{_NODE}){{1,8}}",
)
