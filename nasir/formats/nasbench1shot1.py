"""NAS-Bench-1Shot1's configurations: an op for each node, and what nodes and the output read."""

import json
import re

from nasir.document import Cursor
from nasir.errors import NasirError, Where, unknown_op
from nasir.formats.format import Format, inexpressible
from nasir.genotype import CellGenotype, Edge, Genotype, Path, check_genotype
from nasir.nasbench101 import KIND
from nasir.space.load import load_space

SPACES = ("nasbench1shot1_1", "nasbench1shot1_2", "nasbench1shot1_3")

_FIELD = re.compile(r"choice_block_([0-9]{1,2})_(op|parents)")


def load(root: Cursor) -> Genotype:
    """The genotype of `{"choice_block_1_op": op, …, "choice_block_1_parents": [0], …}`.

    Blocks are numbered from 1, and the one after the last node is the output. The numbers of
    parents say which of the three spaces it is. Raises E201 to E206, E109.
    """
    count = _nodes(root)
    ops = [f"choice_block_{node}_op" for node in range(1, count + 1)]
    parents = [f"choice_block_{node}_parents" for node in range(1, count + 2)]
    fields = root.fields("a NAS-Bench-1Shot1 configuration", (*ops, *parents))
    rows = [_read_parents(fields[name]) for name in parents]
    nodes = tuple(tuple(Edge("", source) for source in row) for row in rows[:-1])
    names = tuple(_read_op(fields[name]) for name in ops)
    cell = CellGenotype(KIND, 1, nodes, rows[-1], ops=names)

    def place(path: Path) -> Where:
        _, *rest = path
        if not rest:
            return root.where
        node, slot = count + 1 if rest[0] == "output" else rest[0], rest[1:]
        return root.place(f"choice_block_{node}_parents", *slot)

    genotype = check_genotype(Genotype("", (cell,)), place)
    space = _space_of(cell)
    if not space:
        raise root.fault(
            "E202",
            f"no space of NAS-Bench-1Shot1 has {_counts(cell)} parents",
            hint=_hint(),
        )
    return Genotype(space, genotype.cells)


def dump(genotype: Genotype) -> str:
    """The configuration as JSON, one block on a line. Raises E208 for what is in no space."""
    cell = genotype.cells[0]
    if len(genotype.cells) > 1 or cell.inputs != 1 or not cell.ops:
        have = ", ".join(genotype.kinds)
        raise _cannot(f"the cells '{have}': it holds one cell of one input with ops on its nodes")
    if not _space_of(cell):
        raise _cannot(f"a cell with {_counts(cell)} parents", _hint())
    for op in cell.ops:
        if op not in load_space(SPACES[0]).cells[0].node_ops:
            raise _cannot(f"the op '{op}'")
    lines = [f'"choice_block_{i}_op": {json.dumps(op)}' for i, op in enumerate(cell.ops, start=1)]
    lines += [
        f'"choice_block_{i}_parents": {json.dumps(sources)}'
        for i, sources in enumerate((*cell.sources, cell.output), start=1)
    ]
    return "{\n  " + ",\n  ".join(lines) + "\n}\n"


def _nodes(root: Cursor) -> int:
    """The number of nodes: that of the last block with an op."""
    names = [_FIELD.fullmatch(name) for name in root.entries("a NAS-Bench-1Shot1 configuration")]
    numbers = [int(name[1]) for name in names if name and name[2] == "op"]
    if not numbers:
        raise root.fault("E207", "the configuration has no ops")
    return max(numbers)


def _read_op(field: Cursor) -> str:
    op = field.text("an op")
    known = load_space(SPACES[0]).cells[0].node_ops
    if op not in known:
        raise unknown_op(op, known, field.where)
    return op


def _read_parents(field: Cursor) -> tuple[int, ...]:
    return tuple(item.integer("a parent") for item in field.items("the parents"))


def _space_of(cell: CellGenotype) -> str:
    """The space whose numbers of parents the cell has; empty where there is none."""
    found = tuple(len(sources) for sources in (*cell.sources, cell.output))
    spaces = (name for name in SPACES if load_space(name).cells[0].parents == found)
    return next(spaces, "")


def _counts(cell: CellGenotype) -> str:
    return ", ".join(str(len(sources)) for sources in (*cell.sources, cell.output))


def _hint() -> str:
    rows = [load_space(name).cells[0].parents for name in SPACES]
    shown = "; ".join(", ".join(map(str, row)) for row in rows)
    return f"the numbers of parents of nodes and output are: {shown}"


def _cannot(what: str, hint: str = "") -> NasirError:
    return inexpressible("nasbench1shot1", what, hint)


def _recognises(cursor: Cursor) -> bool:
    value = cursor.value
    return isinstance(value, dict) and any(_FIELD.fullmatch(key) for key in list(value)[:1])


NASBENCH1SHOT1 = Format(
    "nasbench1shot1",
    "the NAS-Bench-1Shot1 configuration",
    _recognises,
    load,
    dump,
    opens=r"\{(?=\s{0,40}[\"']choice_block_\d{1,2}_(?:op|parents)[\"'])",
)
