"""Cells as bare numbers, which different programs give different meanings.

An edge of a DARTS cell is (source, op), the reverse of a DARTS genotype. BANANAS numbers eight ops;
NASLib, and nasbench301's copy of BANANAS's code, the seven without `none`. Six numbers are the ops
of a NAS-Bench-201 cell, in NASLib's numbering by source, or in the benchmark's by node or source.
Brackets do not tell them apart, for tuples become lists on their way through files.

ENAS has 40 integers for two convolutional cells of five nodes, four a node (input, op, input, op),
and 23 for a recurrent cell of twelve: the op of the first node, then source and op of each other
one. What no node reads leaves the cell.
"""

import re
from collections.abc import Callable, Sequence
from itertools import combinations

from nasir.document import Cursor, Json
from nasir.errors import NasirError, Where
from nasir.formats.format import (
    Format,
    Parsed,
    are_edges,
    darts_cells,
    inexpressible,
    numbers_of,
    paired_cells,
    place_in,
    refuse_node_ops,
)
from nasir.genotype import CellGenotype, Edge, Path
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
    """True for a list of whole numbers; a count other than six is reported later."""
    return (
        isinstance(value, list)
        and 4 <= len(value) <= 8
        and all(isinstance(number, int) for number in value)
    )


def _are_pairs(value: Json) -> bool:
    """True if it begins with a list of pairs of numbers."""
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


OPS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")

_ENAS_NODES = 5
_LENGTH = 2 * 4 * _ENAS_NODES
_RECURRENT_NODES = 11
_RECURRENT_LENGTH = 1 + 2 * _RECURRENT_NODES
_TEXT = re.compile(r"[0-9]{1,2}(?:[\s,]{1,4}[0-9]{1,2}){22,39}")
_MORE = r"(?:[\s,]{1,3}[0-9]{1,2})"
_WORD = (
    rf"(?<![\w.,])[0-9]{{1,2}}{_MORE}{{{_RECURRENT_LENGTH - 1}}}"
    rf"(?:{_MORE}{{{_LENGTH - _RECURRENT_LENGTH}}})?(?![\w.])"
)


def parse_enas(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of 40 or 23 integers.

    The output of a cell is what nobody reads, an input of a normal cell too.
    """
    numbers, places = _enas_numbers(cursor)
    if len(numbers) == _RECURRENT_LENGTH:
        return _recurrent(numbers, places)
    half = _LENGTH // 2
    cells = tuple(
        _enas_cell(kind, numbers[start : start + half], places[start : start + half])
        for kind, start in zip(_KINDS, (0, half), strict=True)
    )

    def place(path: Path) -> Where:
        kind, *rest = path
        node, slot = (*rest, 0, 0)[:2] if rest and rest[0] != "output" else (2, 0)
        return places[half * _KINDS.index(str(kind)) + 4 * (int(node) - 2) + 2 * int(slot)]()

    return Parsed(Genotype("nasnet", cells), place)


def dump_enas(genotype: Genotype) -> str:
    """The numbers on one line."""
    if genotype.kinds == ("recurrent",):
        return _dump_recurrent(genotype.cells[0])
    numbers: list[int] = []
    for cell in paired_cells(genotype, "enas"):
        if len(cell.nodes) != _ENAS_NODES:
            what = f"cell '{cell.kind}': {len(cell.nodes)} nodes, ENAS has {_NODES}"
            raise inexpressible("enas", what)
        _check_output(cell)
        for edge in (edge for edges in cell.nodes for edge in edges):
            numbers += [edge.source, _number(edge.op, OPS)]
    return " ".join(map(str, numbers)) + "\n"


def _dump_recurrent(cell: CellGenotype) -> str:
    edges = [edge for edges in cell.nodes for edge in edges]
    if len(cell.nodes) != _RECURRENT_NODES or len(edges) != _RECURRENT_NODES:
        what = f"a recurrent cell of {len(cell.nodes)} nodes and {len(edges)} edges"
        raise inexpressible("enas", f"{what}: it has {_RECURRENT_NODES} of each")
    _check_output(cell)
    pairs = [(edge.source, _number(edge.op, ACTIVATIONS)) for edge in edges]
    return " ".join(str(number) for number in (0, *(n for pair in pairs for n in pair))) + "\n"


def _enas_numbers(cursor: Cursor) -> tuple[list[int], list[Callable[[], Where]]]:
    """The numbers, and where each stands. Raises an error for another count than 40 or 23."""
    if isinstance(cursor.value, str):
        found = list(re.finditer("[0-9]+", cursor.value))
        numbers = [int(match[0]) for match in found]
        places = [_offset(cursor, match.start()) for match in found]
    else:
        items = cursor.items("ENAS's numbers")
        numbers = [item.integer("a number") for item in items]
        places = [_at(item) for item in items]
    if len(numbers) not in (_LENGTH, _RECURRENT_LENGTH):
        message = f"there are {len(numbers)} numbers; ENAS has {_LENGTH}, or {_RECURRENT_LENGTH} "
        raise cursor.fault("E109", f"{message}of a recurrent cell")
    return numbers, places


def _at(cursor: Cursor) -> Callable[[], Where]:
    return lambda: cursor.where


def _offset(cursor: Cursor, offset: int) -> Callable[[], Where]:
    return lambda: place_in(cursor, offset)


def _enas_cell(kind: str, numbers: list[int], places: list[Callable[[], Where]]) -> CellGenotype:
    edges = [
        Edge(_enas_op(numbers[i + 1], OPS, places[i + 1]), numbers[i])
        for i in range(0, len(numbers), 2)
    ]
    nodes = tuple((edges[i], edges[i + 1]) for i in range(0, len(edges), 2))
    output = _unread(nodes, 2)
    if kind == "reduce" and output[0] < 2:
        raise NasirError(
            "E202",
            f"no node of cell 'reduce' reads input {output[0]}: it would leave a cell whose other "
            "states are half as large",
            places[0](),
        )
    return CellGenotype(kind, 2, nodes, output)


def _recurrent(numbers: list[int], places: list[Callable[[], Where]]) -> Parsed:
    if numbers[0] != 0:
        name = _enas_op(numbers[0], ACTIVATIONS, places[0])
        message = f"the first node has '{name}'; the recurrent network here always has tanh there"
        raise NasirError("E109", message, places[0](), hint="0 is tanh")
    nodes = tuple(
        (Edge(_enas_op(numbers[i + 1], ACTIVATIONS, places[i + 1]), numbers[i]),)
        for i in range(1, len(numbers), 2)
    )
    cell = CellGenotype("recurrent", 1, nodes, _unread(nodes, 1))

    def place(path: Path) -> Where:
        node = path[1] if len(path) > 1 and path[1] != "output" else 1
        return places[2 * int(node) - 1]()

    return Parsed(Genotype("darts_rnn", (cell,)), place)


def _unread(nodes: Sequence[Sequence[Edge]], inputs: int) -> tuple[int, ...]:
    read = {edge.source for edges in nodes for edge in edges}
    return tuple(state for state in range(inputs + len(nodes)) if state not in read)


def _enas_op(number: int, ops: tuple[str, ...], where: Callable[[], Where]) -> str:
    if number >= len(ops) or number < 0:
        hint = f"the numbers: {numbers_of(ops)}"
        raise NasirError("E201", f"unknown op number {number}", where(), hint)
    return ops[number]


def _number(op: str, ops: tuple[str, ...]) -> int:
    if op not in ops:
        raise inexpressible("enas", f"the op '{op}', which has no number")
    return ops.index(op)


def _check_output(cell: CellGenotype) -> None:
    unread = _unread(cell.nodes, cell.inputs)
    if cell.output != unread or (cell.kind == "reduce" and unread[0] < 2):
        what = f"the output {list(cell.output)} of cell '{cell.kind}'"
        raise inexpressible("enas", f"{what}: no node reads {list(unread)}, which leaves the cell")


def _recognises(cursor: Cursor) -> bool:
    value = cursor.value
    if isinstance(value, str):
        return bool(_TEXT.fullmatch(value)) and len(re.findall("[0-9]+", value)) in (
            _LENGTH,
            _RECURRENT_LENGTH,
        )
    return (
        isinstance(value, list)
        and len(value) in (_LENGTH, _RECURRENT_LENGTH)
        and all(isinstance(number, int) for number in value)
    )


def _numbering(genotype: Genotype) -> str:
    return numbers_of(ACTIVATIONS if genotype.kinds == ("recurrent",) else OPS)


ENAS = Format(
    "enas",
    "ENAS's 40 integers, or 23 of a recurrent cell",
    _recognises,
    parse_enas,
    dump_enas,
    word=_WORD,
    numbering=_numbering,
)
