"""TransNAS-Bench-101's strings: `64-41414-1_02_333`, one digit for each edge of the cell."""

import re

from nasir.document import Cursor
from nasir.errors import NasirError, quoted
from nasir.formats.format import (
    Format,
    Parsed,
    inexpressible,
    numbers_of,
    place_in,
    refuse_node_ops,
)
from nasir.genotype import CellGenotype, Edge
from nasir.space.space import Genotype, Space

OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
"""The ops of digits 0 to 3."""

_TEXT = re.compile(r"([0-9]{1,5})-([0-9]{1,12})-(basic|[0-9]{1,8}(?:_[0-9]{1,8}){1,8})")
_SKELETON = ("64", "41414")
_NODES = (1, 2, 3)


def parse(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of the cell; its skeleton, 64-41414, is that of all micro architectures.

    Raises an error for a macro architecture, or for another skeleton.
    """
    text = str(cursor.value)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise cursor.fault("E109", f"{quoted(text)} is no TransNAS-Bench-101 string")
    if match[3] == "basic":
        message = "the macro level of TransNAS-Bench-101 is not read: its modules are basic "
        message += f"blocks, without cells, and {quoted(text)} only orders them"
        raise cursor.fault("E108", message, hint="cells are written as 64-41414-1_02_333")
    if (match[1], match[2]) != _SKELETON:
        message = (
            f"the cells stand in the skeleton {'-'.join(_SKELETON)}, not {match[1]}-{match[2]}"
        )
        raise cursor.fault("E109", message, hint="--channels sets other base channels")
    offset = match.start(3)
    groups = match[3].split("_")
    if [len(group) for group in groups] != list(_NODES):
        message = f"a cell has nodes of 1, 2 and 3 edges, as 1_02_333, not {match[3]}"
        raise NasirError("E202", message, place_in(cursor, offset))
    nodes: list[tuple[Edge, ...]] = []
    for group in groups:
        edges: list[Edge] = []
        for source, digit in enumerate(group):
            if int(digit) >= len(OPS):
                where, hint = place_in(cursor, offset + source), f"the digits: {numbers_of(OPS)}"
                raise NasirError("E201", f"unknown op number {digit}", where, hint)
            edges.append(Edge(OPS[int(digit)], source))
        nodes.append(tuple(edges))
        offset += len(group) + 1
    cell = CellGenotype("cell", 1, tuple(nodes), (3,))
    return Parsed(Genotype("transnasbench101", (cell,)), lambda _: cursor.where)


def dump(genotype: Genotype) -> str:
    """The string. Raises an error for what is no cell of its space."""
    name, cell = "transnasbench101", genotype.cells[0]
    refuse_node_ops(cell, name)
    ordered = [sorted(edges, key=lambda edge: edge.source) for edges in cell.nodes]
    sources = [[edge.source for edge in edges] for edges in ordered]
    full = [list(range(node)) for node in _NODES]
    if len(genotype.cells) > 1 or cell.inputs != 1 or cell.output != (3,) or sources != full:
        what = f"the cells {', '.join(genotype.kinds)}"
        raise inexpressible(name, f"{what}: it holds one cell of three nodes and six edges")
    for edge in (edge for edges in ordered for edge in edges):
        if edge.op not in OPS:
            raise inexpressible(name, f"the op '{edge.op}', which has no digit")
    digits = ("".join(str(OPS.index(edge.op)) for edge in edges) for edges in ordered)
    return "-".join((*_SKELETON, "_".join(digits)))


TRANSNASBENCH101 = Format(
    "transnasbench101",
    "the TransNAS-Bench-101 string",
    lambda cursor: isinstance(cursor.value, str) and bool(_TEXT.fullmatch(cursor.value)),
    parse,
    dump,
    word=r"(?<![\w-])[0-9]{1,4}-[1-4]{1,10}-(?:basic|[0-9]_[0-9]{2}_[0-9]{3})(?![\w-])",
    numbering=lambda _: numbers_of(OPS),
)
