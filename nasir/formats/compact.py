"""Cells as bare numbers: BANANAS's lists and NASLib's tuples.

Both write an edge of a DARTS cell as (source, op), the reverse of a DARTS genotype, but number the
ops differently. What tells them apart is the outermost bracket, as their own code prints it:
BANANAS has a list of two lists, NASLib a tuple of two tuples.
"""

import re
from collections.abc import Callable
from itertools import combinations

from nasir.document import Cursor
from nasir.errors import NasirError, Where
from nasir.formats.format import Format, inexpressible, normal_and_reduce, refuse_node_ops
from nasir.formats.literal import parse_literal
from nasir.genotype import CellGenotype, Edge, Genotype, Path, check_genotype
from nasir.source import Source

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
NASLIB_201_EDGES = tuple(combinations(range(4), 2))
"""(source, node) in NASLib's order, by source: 0 1, 0 2, 0 3, 1 2, 1 3, 2 3."""

_KINDS = ("normal", "reduce")
_NODES = 4
_OUTPUT = (2, 3, 4, 5)
_PAIRS = re.compile(r"^\s*([\[(])\s*[\[(]\s*[\[(]\s*-?[0-9]+\s*,")
_SIX = re.compile(r"^\s*[\[(]\s*[0-9]+\s*,[0-9\s,]*[\])]\s*$")


def load_bananas(source: Source) -> Genotype:
    """The genotype of `[[(source, op), … eight], [(source, op), … eight]]`.

    Raises E108 where every bracket is square: then it could be NASLib's as well.
    """
    if "(" not in source.text:
        raise NasirError(
            "E108",
            "these numbers could be BANANAS's or NASLib's, which number the ops differently",
            source.at(0),
            hint="write [[(0, 4), …], […]] for BANANAS and (((0, 3), …), (…)) for NASLib",
        )
    return _load_pairs(source, BANANAS_OPS)


def load_naslib(source: Source) -> Genotype:
    """The genotype of NASLib's pairs for DARTS, or of its six numbers for NAS-Bench-201."""
    if _SIX.search(source.text):
        return _load_six(source)
    return _load_pairs(source, NASLIB_OPS)


def dump_bananas(genotype: Genotype) -> str:
    """The lists as Python prints them. Raises E208 for what they cannot hold."""
    return repr([list(row) for row in _pairs(genotype, "bananas", BANANAS_OPS)])


def dump_naslib(genotype: Genotype) -> str:
    """The tuples as Python prints them. Raises E208 for what they cannot hold."""
    if len(genotype.cells) == 1:
        return repr(_six(genotype.cells[0]))
    return repr(_pairs(genotype, "naslib", NASLIB_OPS))


def _load_pairs(source: Source, ops: tuple[str, ...]) -> Genotype:
    document = parse_literal(source)
    rows = document.root.items("an architecture")
    if len(rows) != len(_KINDS):
        message = f"an architecture has a normal and a reduce cell, and this has {len(rows)} parts"
        raise document.root.fault("E210", message)
    cells = tuple(_read_cell(kind, row, ops) for kind, row in zip(_KINDS, rows, strict=True))

    def place(path: Path) -> Where:
        row = _KINDS.index(str(path[0]))
        if len(path) < 3 or path[1] == "output":
            return document.place((row,))
        return document.place((row, 2 * (int(path[1]) - 2) + int(path[2]), 0))

    return check_genotype(Genotype("darts", cells), place)


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
        names = ", ".join(f"{place} {name}" for place, name in enumerate(ops))
        raise number.fault("E201", f"unknown op number {index}", hint=f"the numbers: {names}")
    return ops[index]


def _load_six(source: Source) -> Genotype:
    root = parse_literal(source).root
    numbers = root.items("six numbers")
    if len(numbers) != len(NASLIB_201_EDGES):
        message = f"a NAS-Bench-201 cell has {len(NASLIB_201_EDGES)} edges, not {len(numbers)}"
        raise root.fault("E202", message)
    found = {
        edge: _op(number, NASLIB_201_OPS)
        for edge, number in zip(NASLIB_201_EDGES, numbers, strict=True)
    }
    nodes = tuple(
        tuple(Edge(found[source, node], source) for source in range(node)) for node in range(1, 4)
    )
    return Genotype("nasbench201", (CellGenotype("cell", 1, nodes, (3,)),))


Pairs = tuple[tuple[int, int], ...]


def _pairs(genotype: Genotype, name: str, ops: tuple[str, ...]) -> tuple[Pairs, ...]:
    """(source, op) of both cells. Raises E208."""
    rows: list[Pairs] = []
    for cell in normal_and_reduce(genotype, name):
        if len(cell.nodes) != _NODES or cell.output != _OUTPUT:
            what = f"{len(cell.nodes)} nodes with the output {list(cell.output)}"
            message = f"cell '{cell.kind}': {what}, it has {_NODES} with {list(_OUTPUT)}"
            raise inexpressible(name, message)
        edges = [edge for edges in cell.nodes for edge in edges]
        number = _numbers(name, cell, ops)
        rows.append(tuple((edge.source, number(edge.op)) for edge in edges))
    return tuple(rows)


def _six(cell: CellGenotype) -> tuple[int, ...]:
    """The op of each edge of a NAS-Bench-201 cell, by source. Raises E208."""
    refuse_node_ops(cell, "naslib")
    found = {
        (edge.source, node): edge.op
        for node, edges in enumerate(cell.nodes, start=1)
        for edge in edges
    }
    count = sum(map(len, cell.nodes))
    if cell.inputs != 1 or cell.output != (3,) or count != 6 or len(cell.nodes) != 3:
        what = f"{cell.inputs} inputs, {len(cell.nodes)} nodes, {count} edges"
        raise inexpressible("naslib", f"cell '{cell.kind}': {what}; it has 1, 3 and 6")
    if sorted(found) != list(NASLIB_201_EDGES):
        raise inexpressible("naslib", f"cell '{cell.kind}': two edges from one node to another")
    number = _numbers("naslib", cell, NASLIB_201_OPS)
    return tuple(number(found[edge]) for edge in NASLIB_201_EDGES)


def _numbers(name: str, cell: CellGenotype, ops: tuple[str, ...]) -> Callable[[str], int]:
    def number(op: str) -> int:
        if op not in ops:
            raise inexpressible(name, f"cell '{cell.kind}': op '{op}' has no number")
        return ops.index(op)

    return number


def _recognises_bananas(source: Source) -> bool:
    match = _PAIRS.search(source.text)
    return match is not None and match[1] == "["


def _recognises_naslib(source: Source) -> bool:
    match = _PAIRS.search(source.text)
    return bool(_SIX.search(source.text)) or (match is not None and match[1] == "(")


BANANAS = Format(
    "bananas", "BANANAS's lists of numbers", _recognises_bananas, load_bananas, dump_bananas
)
NASLIB = Format(
    "naslib", "NASLib's tuples of numbers", _recognises_naslib, load_naslib, dump_naslib
)
