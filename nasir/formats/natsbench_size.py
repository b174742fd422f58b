"""NATS-Bench's sizes: `64:32:48:16:8`, the widths of five stages of one cell that all share."""

import re

from nasir.document import Cursor
from nasir.errors import NasirError
from nasir.formats.format import Format, Parsed, inexpressible, place_in
from nasir.genotype import CellGenotype, Edge
from nasir.space.adoption import home_of
from nasir.space.load import load_space
from nasir.space.sizes import WIDTHS
from nasir.space.space import Genotype, Space

_NAME = "natsbench_size"
_TEXT = re.compile(r"[0-9]{1,4}(?::[0-9]{1,4}){4}")
_WIDTHS = range(8, 65, 8)


def parse(cursor: Cursor, _: Space | None) -> Parsed:
    """The shared cell, and the widths as its size. Raises an error for other widths."""
    text = str(cursor.value)
    widths: list[int] = []
    for match in re.finditer("[0-9]+", text):
        width = int(match[0])
        if width not in _WIDTHS:
            where = place_in(cursor, match.start())
            hint = f"widths are {_WIDTHS[0]}, {_WIDTHS[1]}, … {_WIDTHS[-1]}"
            raise NasirError("E107", f"a stage of NATS-Bench has no {width} channels", where, hint)
        widths.append(width)
    size = tuple(zip(WIDTHS, widths, strict=True))
    genotype = Genotype(_NAME, (_shared_cell(),), text, "", load_space(_NAME), size)
    return Parsed(genotype, lambda _: cursor.where)


def dump(genotype: Genotype) -> str:
    """The widths of a genotype. Raises an error for a genotype of another space."""
    home = home_of(genotype)
    if home is None or home.skeleton != _NAME:
        what = f"a genotype of the space '{genotype.space}', which has no widths"
        raise inexpressible(
            _NAME, what, hint="give the widths of the size space, as 64:64:64:64:64"
        )
    if genotype.cells != (_shared_cell(),):
        raise inexpressible(_NAME, "another cell than the one that all its networks share")
    known = {**dict(home.size), **dict(genotype.size)}
    widths = [known.get(name, _WIDTHS[-1]) for name in WIDTHS]
    for width in widths:
        if width not in _WIDTHS:
            raise inexpressible(_NAME, f"a stage of {width} channels")
    return ":".join(map(str, widths))


def _shared_cell() -> CellGenotype:
    """The one cell of the space, whose every edge has one op."""
    cell = load_space(_NAME).cells[0]
    nodes = (
        tuple(Edge(edge.ops[0], edge.source) for edge in cell.into(node))
        for node in range(cell.inputs, cell.inputs + cell.nodes)
    )
    return CellGenotype(cell.kind, cell.inputs, tuple(nodes), cell.output)


NATSBENCH_SIZE = Format(
    _NAME,
    "NATS-Bench's widths of five stages",
    lambda cursor: isinstance(cursor.value, str) and bool(_TEXT.fullmatch(cursor.value)),
    parse,
    dump,
    word=r"(?<![\w:.])[0-9]{1,4}(?::[0-9]{1,4}){4}(?![\w:.])",
)
