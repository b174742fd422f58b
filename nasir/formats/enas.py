"""ENAS's integers: 40 for two convolutional cells of five nodes, 23 for a recurrent cell of twelve.

Of the former four numbers a node: input, op, input, op; of the latter the op of the first node,
then source and op of each other one. What no node reads leaves the cell.
"""

import re
from collections.abc import Callable, Sequence

from nasir.document import Cursor
from nasir.errors import NasirError, Where
from nasir.formats.format import (
    Format,
    Parsed,
    inexpressible,
    numbers_of,
    paired_cells,
    place_in,
)
from nasir.genotype import CellGenotype, Edge, Path
from nasir.space.space import Genotype, Space

OPS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")

_KINDS = ("normal", "reduce")
_NODES = 5
_LENGTH = 2 * 4 * _NODES
_RECURRENT_NODES = 11
_RECURRENT_LENGTH = 1 + 2 * _RECURRENT_NODES
_TEXT = re.compile(r"[0-9]{1,2}(?:[\s,]{1,4}[0-9]{1,2}){22,39}")
_MORE = r"(?:[\s,]{1,3}[0-9]{1,2})"
_WORD = (
    rf"(?<![\w.,])[0-9]{{1,2}}{_MORE}{{{_RECURRENT_LENGTH - 1}}}"
    rf"(?:{_MORE}{{{_LENGTH - _RECURRENT_LENGTH}}})?(?![\w.])"
)


def parse(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of 40 or 23 integers.

    The output of a cell is what nobody reads, an input of a normal cell too.
    """
    numbers, places = _numbers(cursor)
    if len(numbers) == _RECURRENT_LENGTH:
        return _recurrent(numbers, places)
    half = _LENGTH // 2
    cells = tuple(
        _cell(kind, numbers[start : start + half], places[start : start + half])
        for kind, start in zip(_KINDS, (0, half), strict=True)
    )

    def place(path: Path) -> Where:
        kind, *rest = path
        node, slot = (*rest, 0, 0)[:2] if rest and rest[0] != "output" else (2, 0)
        return places[half * _KINDS.index(str(kind)) + 4 * (int(node) - 2) + 2 * int(slot)]()

    return Parsed(Genotype("nasnet", cells), place)


def dump(genotype: Genotype) -> str:
    """The numbers on one line."""
    if genotype.kinds == ("recurrent",):
        return _dump_recurrent(genotype.cells[0])
    numbers: list[int] = []
    for cell in paired_cells(genotype, "enas"):
        if len(cell.nodes) != _NODES:
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


def _numbers(cursor: Cursor) -> tuple[list[int], list[Callable[[], Where]]]:
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


def _cell(kind: str, numbers: list[int], places: list[Callable[[], Where]]) -> CellGenotype:
    edges = [
        Edge(_op(numbers[i + 1], OPS, places[i + 1]), numbers[i]) for i in range(0, len(numbers), 2)
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
        name = _op(numbers[0], ACTIVATIONS, places[0])
        message = f"the first node has '{name}'; the recurrent network here always has tanh there"
        raise NasirError("E109", message, places[0](), hint="0 is tanh")
    nodes = tuple(
        (Edge(_op(numbers[i + 1], ACTIVATIONS, places[i + 1]), numbers[i]),)
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


def _op(number: int, ops: tuple[str, ...], where: Callable[[], Where]) -> str:
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
    parse,
    dump,
    word=_WORD,
    numbering=_numbering,
)
