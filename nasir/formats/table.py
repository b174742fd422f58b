"""Every genotype format, in the order in which a value is offered to them."""

import re
from functools import lru_cache

from nasir.document import Cursor
from nasir.errors import NasirError, nearest, quoted
from nasir.formats.darts import AW_NAS, DARTS, PTDARTS
from nasir.formats.darts_data import BANANAS, ENAS, NASBENCH301, NASLIB, NNABLA, NNI_DARTS
from nasir.formats.format import Format
from nasir.formats.nasbench101 import NASBENCH1SHOT1, NASBENCH101
from nasir.formats.nasbench201 import (
    AUTODL,
    NASBENCH201,
    NATSBENCH_SIZE,
    NNI_NASBENCH201,
    SIX_BY_NODE,
    SIX_BY_SOURCE,
    TRANSNASBENCH101,
)
from nasir.formats.own import ONNX, OWN
from nasir.space.decisions import CellGenotype
from nasir.space.space import Genotype, Space
from nasir.table import Table

FORMATS: Table[Format] = Table(
    ONNX,
    NASBENCH201,
    AUTODL,
    OWN,
    NNABLA,
    NASBENCH301,
    NNI_DARTS,
    NNI_NASBENCH201,
    AW_NAS,
    ENAS,
    TRANSNASBENCH101,
    NATSBENCH_SIZE,
    PTDARTS,
    DARTS,
    NASBENCH1SHOT1,
    NASBENCH101,
    BANANAS,
    NASLIB,
    SIX_BY_NODE,
    SIX_BY_SOURCE,
    kinds=("format",),
)


def named_format(name: str) -> Format:
    """The format of that name. Raises an error with the nearest one."""
    row = FORMATS.get(name)
    if row is None:
        raise NasirError("E108", f"unknown format {quoted(name)}", hint=nearest(name, FORMATS))
    return row


def rows_of(cursor: Cursor) -> tuple[Format, ...]:
    """The formats that recognise a value: one, or several that share its brackets."""
    rows = (row for row in FORMATS.values() if row.recognises(cursor))
    first = next(rows, None)
    if first is None or not first.shared:
        return (first,) if first else ()
    return (first, *(row for row in rows if row.shared))


def read_value(
    cursor: Cursor, rows: tuple[Format, ...], space: Space | None = None
) -> tuple[Format, Genotype]:
    """The reading on which the formats agree. Raises what they raise, and an error if they do not.

    A format that cannot read the value (a number that it does not have) has no say.
    """
    if len(rows) == 1:
        return rows[0], rows[0].read(cursor, space)
    readings: dict[str, tuple[Format, Genotype]] = {}
    faults: list[NasirError] = []
    for row in rows:
        try:
            readings[row.name] = (row, row.read(cursor, space))
        except NasirError as error:
            faults.append(error)
    if not readings:
        raise faults[0]
    distinct: dict[Genotype, Format] = {}
    for row, genotype in readings.values():
        distinct.setdefault(genotype, row)
    if len(distinct) > 1:
        names = ", ".join(row.name for row in distinct.values())
        shown = "".join(
            f"\n  --from {row.name}: {_described(genotype)}" for genotype, row in distinct.items()
        )
        raise cursor.fault(
            "E108",
            f"the numbers alone do not say which format this is: {names}",
            hint=f"choose one (format= in Python):{shown}",
        )
    return next(iter(readings.values()))


def in_running_text() -> re.Pattern[str]:
    """Pattern of a genotype in a line of a log: group `word` is one, else one begins."""
    return _pattern(rows=tuple(FORMATS.values()))


@lru_cache(4)
def _pattern(*, rows: tuple[Format, ...] = ()) -> re.Pattern[str]:
    rows = rows or tuple(FORMATS.values())
    words = "|".join(f"(?:{row.word})" for row in rows if row.word)
    opens = "|".join(f"(?:{row.opens})" for row in rows if row.opens)
    return re.compile(f"(?P<word>{words})|{opens}")


def _described(genotype: Genotype) -> str:
    """The cells on one line: a NAS-Bench-201 cell as its string, others edge by edge."""
    try:
        return NASBENCH201.write(genotype)
    except NasirError:
        return "; ".join(_described_cell(cell) for cell in genotype.cells)


def _described_cell(cell: CellGenotype) -> str:
    nodes = (" + ".join(f"{edge.op}({edge.source})" for edge in edges) for edges in cell.nodes)
    return f"{cell.kind}: {', '.join(nodes)}"
