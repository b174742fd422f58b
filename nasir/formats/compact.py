"""Cells as bare numbers, which different programs give different meanings.

An edge of a DARTS cell is (source, op), the reverse of a DARTS genotype. BANANAS numbers eight ops;
NASLib, and nasbench301's copy of BANANAS's code, the seven without `none`. Six numbers are the ops
of a NAS-Bench-201 cell, in NASLib's numbering by source, or in the benchmark's by node or source.
Brackets do not tell them apart, for tuples become lists on their way through files.
"""

from collections.abc import Callable
from itertools import combinations

from nasir.document import Cursor
from nasir.errors import Where
from nasir.formats.format import (
    Format,
    Parsed,
    are_edges,
    darts_cells,
    inexpressible,
    numbers_of,
    refuse_node_ops,
)
from nasir.genotype import CellGenotype, Edge, Path
from nasir.plain import Json
from nasir.space.space import Genotype, Space

BANANAS_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The ops of numbers 0 to 7, which are those of DARTS."""

NASLIB_OPS = BANANAS_OPS[1:]
"""NASLib has no `none`, and numbers from the next op on."""

NASLIB_201_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

BY_SOURCE = tuple(combinations(range(4), 2))
"""(source, node) by source: 0 1, 0 2, 0 3, 1 2, 1 3, 2 3."""

BY_NODE = tuple(sorted(BY_SOURCE, key=lambda edge: edge[1]))
"""(source, node) by node, as the benchmark's strings go: 0 1, 0 2, 1 2, 0 3, 1 3, 2 3."""

_KINDS = ("normal", "reduce")
_NODES = 4
_OUTPUT = (2, 3, 4, 5)


def parse_bananas(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of `[[(source, op), … eight], [(source, op), … eight]]`."""
    return _read_pairs(cursor, BANANAS_OPS)


def parse_naslib(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of NASLib's pairs for DARTS, or of its six numbers for NAS-Bench-201."""
    if _are_six(cursor.value):
        return _read_six(cursor, NASLIB_201_OPS, BY_SOURCE)
    return _read_pairs(cursor, NASLIB_OPS)


def dump_bananas(genotype: Genotype) -> str:
    """The lists as Python prints them. Raises an error for what they cannot hold."""
    return repr([list(row) for row in _pairs(genotype, "bananas", BANANAS_OPS)])


def dump_naslib(genotype: Genotype) -> str:
    """The tuples as Python prints them. Raises an error for what they cannot hold."""
    if len(genotype.cells) == 1:
        return repr(_six("naslib", genotype.cells[0], NASLIB_201_OPS, BY_SOURCE))
    return repr(_pairs(genotype, "naslib", NASLIB_OPS))


def _six_numbers(name: str, title: str, order: tuple[tuple[int, int], ...]) -> Format:
    """Six numbers of NAS-Bench-201's own ops, the edges in that order."""

    def dump(genotype: Genotype) -> str:
        if len(genotype.cells) != 1:
            raise inexpressible(name, f"the cells {', '.join(genotype.kinds)}: it holds one cell")
        return repr(list(_six(name, genotype.cells[0], NASBENCH201_OPS, order)))

    return Format(
        name,
        title,
        lambda cursor: _are_six(cursor.value),
        lambda cursor, _: _read_six(cursor, NASBENCH201_OPS, order),
        dump,
        shared=True,
        numbering=lambda _: _numbering_of_six(NASBENCH201_OPS, order),
    )


def _numbering_of_six(ops: tuple[str, ...], order: tuple[tuple[int, int], ...]) -> str:
    edges = ", ".join(f"{source} {node}" for source, node in order)
    return f"{numbers_of(ops)}; edges {edges}"


def _naslib_numbering(genotype: Genotype) -> str:
    if len(genotype.cells) == 1:
        return _numbering_of_six(NASLIB_201_OPS, BY_SOURCE)
    return numbers_of(NASLIB_OPS)


def _read_pairs(cursor: Cursor, ops: tuple[str, ...]) -> Parsed:
    rows = cursor.items("an architecture")
    if len(rows) != len(_KINDS):
        message = f"an architecture has a normal and a reduce cell, and this has {len(rows)} parts"
        raise cursor.fault("E202", message)
    cells = tuple(_read_cell(kind, row, ops) for kind, row in zip(_KINDS, rows, strict=True))

    def place(path: Path) -> Where:
        row = _KINDS.index(str(path[0]))
        if len(path) < 3 or path[1] == "output":
            return cursor.place(row)
        return cursor.place(row, 2 * (int(path[1]) - 2) + int(path[2]), 0)

    return Parsed(Genotype("darts", cells), place)


def _read_cell(kind: str, row: Cursor, ops: tuple[str, ...]) -> CellGenotype:
    pairs = row.items(f"cell '{kind}'")
    if len(pairs) != 2 * _NODES:
        raise row.fault("E202", f"cell '{kind}' has {len(pairs)} edges, not {2 * _NODES}")
    edges = [_read_pair(pair, ops) for pair in pairs]
    nodes = tuple((edges[i], edges[i + 1]) for i in range(0, 2 * _NODES, 2))
    return CellGenotype(kind, 2, nodes, _OUTPUT)


def _read_pair(pair: Cursor, ops: tuple[str, ...]) -> Edge:
    parts = pair.items("an edge (source, op)")
    if len(parts) != 2:
        raise pair.fault("E109", f"an edge is (source, op), and this has {len(parts)} parts")
    return Edge(_op(parts[1], ops), parts[0].integer("a source"))


def _op(number: Cursor, ops: tuple[str, ...]) -> str:
    index = number.integer("an op's number")
    if not 0 <= index < len(ops):
        hint = f"the numbers: {numbers_of(ops)}"
        raise number.fault("E201", f"unknown op number {index}", hint=hint)
    return ops[index]


def _read_six(cursor: Cursor, ops: tuple[str, ...], order: tuple[tuple[int, int], ...]) -> Parsed:
    numbers = cursor.items("six numbers")
    if len(numbers) != len(order):
        message = f"a NAS-Bench-201 cell has {len(order)} edges, not {len(numbers)}"
        raise cursor.fault("E202", message)
    found = {edge: _op(number, ops) for edge, number in zip(order, numbers, strict=True)}
    nodes = tuple(
        tuple(Edge(found[source, node], source) for source in range(node)) for node in range(1, 4)
    )
    cell = CellGenotype("cell", 1, nodes, (3,))
    return Parsed(Genotype("nasbench201", (cell,)), lambda _: cursor.where)


Pairs = tuple[tuple[int, int], ...]


def _pairs(genotype: Genotype, name: str, ops: tuple[str, ...]) -> tuple[Pairs, ...]:
    """(source, op) of both cells."""
    rows: list[Pairs] = []
    for cell in darts_cells(genotype, name):
        edges = [edge for edges in cell.nodes for edge in edges]
        number = _numbers(name, cell, ops)
        rows.append(tuple((edge.source, number(edge.op)) for edge in edges))
    return tuple(rows)


def _six(
    name: str, cell: CellGenotype, ops: tuple[str, ...], order: tuple[tuple[int, int], ...]
) -> tuple[int, ...]:
    """The number of each edge's op in a NAS-Bench-201 cell, in that order."""
    refuse_node_ops(cell, name)
    found = {
        (edge.source, node): edge.op
        for node, edges in enumerate(cell.nodes, start=1)
        for edge in edges
    }
    count = sum(map(len, cell.nodes))
    if cell.inputs != 1 or cell.output != (3,) or count != 6 or len(cell.nodes) != 3:
        what = f"{cell.inputs} inputs, {len(cell.nodes)} nodes, {count} edges"
        raise inexpressible(name, f"cell '{cell.kind}': {what}; it has 1, 3 and 6")
    if sorted(found) != list(BY_SOURCE):
        raise inexpressible(name, f"cell '{cell.kind}': two edges from one node to another")
    number = _numbers(name, cell, ops)
    return tuple(number(found[edge]) for edge in order)


def _numbers(name: str, cell: CellGenotype, ops: tuple[str, ...]) -> Callable[[str], int]:
    def number(op: str) -> int:
        if op not in ops:
            raise inexpressible(name, f"cell '{cell.kind}': op '{op}' has no number")
        return ops.index(op)

    return number


def _are_six(value: Json) -> bool:
    """Whether it is a list of whole numbers; another number of them than six is told later."""
    return (
        isinstance(value, list)
        and 4 <= len(value) <= 8
        and all(isinstance(number, int) for number in value)
    )


def _are_pairs(value: Json) -> bool:
    """Whether it begins with a list of pairs of numbers."""
    return isinstance(value, list) and bool(value) and _begins_with_pair(value[0])


def _begins_with_pair(row: Json) -> bool:
    return isinstance(row, list) and are_edges(row[:1], int, int)


BANANAS = Format(
    "bananas",
    "BANANAS's lists of numbers",
    lambda cursor: _are_pairs(cursor.value),
    parse_bananas,
    dump_bananas,
    shared=True,
    numbering=lambda _: numbers_of(BANANAS_OPS),
)
NASLIB = Format(
    "naslib",
    "NASLib's and nasbench301's tuples of numbers",
    lambda cursor: _are_pairs(cursor.value) or _are_six(cursor.value),
    parse_naslib,
    dump_naslib,
    shared=True,
    numbering=_naslib_numbering,
)
SIX_BY_NODE = _six_numbers("nasbench201_by_node", "six numbers of NAS-Bench-201, by node", BY_NODE)
SIX_BY_SOURCE = _six_numbers(
    "nasbench201_by_source", "six numbers of NAS-Bench-201, by source", BY_SOURCE
)
