"""NAS-Bench-101's modules, and NAS-Bench-1Shot1's cells, which are some of them.

A module is a matrix and ops as JSON, or a row of the benchmark's tfrecord file; a configuration of
NAS-Bench-1Shot1 has an op for each node, and what nodes and the output read.
"""

import json
import re
from collections.abc import Sequence

from nasir.document import Cursor
from nasir.formats.format import (
    ANY_KIND,
    Format,
    Holds,
    Parsed,
    call_of,
    has_keys,
    inexpressible,
)
from nasir.formats.shape import OpAt, OpNames, Parts, Shape, SourceAt, json_lines, read, write
from nasir.space.decisions import CellGenotype
from nasir.space.load import check_ops, load_space
from nasir.space.nasbench101 import (
    INPUT,
    KIND,
    OUTPUT,
    Module,
    cell_of,
    limits_broken,
    module_hash,
    module_of,
    pruned,
    started,
)
from nasir.space.space import Genotype, Space

SPACE = "nasbench101"

_ONE_SHOT = "nasbench1shot1"
SPACES = ("nasbench1shot1_1", "nasbench1shot1_2", "nasbench1shot1_3")

_FIELD = re.compile(r"choice_block_([0-9]{1,2})_(op|parents)")

_NAMES = (("module_adjacency", "module_operations"), ("matrix", "ops"))
_RESULTS = (
    "trainable_parameters",
    "training_time",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
)
"""Fields of the benchmark's answers beside the module, which are not read."""

_MOST_VERTICES = 64


def parse(root: Cursor, space: Space | None) -> Parsed:
    """The genotype of a matrix and its ops: a mapping, a pair, or a tfrecord row.

    Vertices that the input does not reach are left out (they could read nothing); other loose ends
    stay. Raises an error where a row's hash is not its module's.
    """
    matrix, ops = _parts(root)
    names = _read_ops(ops, space)
    rows = _read_matrix(matrix)
    if len(names) == len(rows) - 2:
        names = (INPUT, *names, OUTPUT)
    module = Module(rows, names)
    _check_ends(module, ops)
    if pruned(module) is None:
        raise matrix.fault("E202", "the output cannot be reached from the input")
    if len(root.items("a row") if isinstance(root.value, list) else ()) == 5:
        _check_hash(root, module)
    # Only faults of the module as a whole are left: each number is checked by now.
    return Parsed(Genotype(SPACE, (cell_of(started(module)),)), lambda _: matrix.where)


def dump(genotype: Genotype) -> str:
    """The matrix, one vertex on a line, and the ops."""
    module = module_of(genotype.cells[0])
    rows = ",\n".join(f"    {json.dumps(row)}" for row in module.matrix)
    ops = json.dumps(module.ops)
    return f'{{\n  "module_adjacency": [\n{rows}\n  ],\n  "module_operations": {ops}\n}}\n'


def _parts(root: Cursor) -> tuple[Cursor, Cursor]:
    """The matrix and the ops, in whatever way they stand together."""
    if isinstance(root.value, dict):
        names = next((names for names in _NAMES if names[0] in root.entries("")), _NAMES[0])
        fields = root.fields("a NAS-Bench-101 module", names, _RESULTS)
        return fields[names[0]], fields[names[1]]
    items = root.items("a NAS-Bench-101 module")
    if len(items) == 2:
        return items[0], items[1]
    if len(items) == 5:
        return items[2], items[3]
    raise root.fault(
        "E109",
        f"a list of {len(items)} parts is no NAS-Bench-101 module",
        hint="write [matrix, ops], or the row [hash, epochs, digits, ops, metrics]",
    )


def _read_ops(ops: Cursor, space: Space | None) -> tuple[str, ...]:
    """The ops, checked here: those at the ends and of loose vertices are in no cell."""
    if isinstance(ops.value, str):
        names = ops.value.split(",")
        places = [ops] * len(names)
    else:
        places = list(ops.items("the ops"))
        names = [place.text("an op") for place in places]
    named = [i for i, name in enumerate(names) if name not in (INPUT, OUTPUT)]
    cell = CellGenotype(KIND, 1, (), (), ops=tuple(names[i] for i in named))
    check_ops(Genotype(SPACE, (cell,)), space, lambda path: places[named[int(path[1]) - 1]].where)
    return tuple(names)


def _read_matrix(matrix: Cursor) -> tuple[tuple[int, ...], ...]:
    """The rows of zeros and ones. Raises an error for an edge that does not lead forward."""
    text = matrix.value
    if isinstance(text, str):
        size = round(len(text) ** 0.5)
        if size * size != len(text) or not set(text) <= {"0", "1"}:
            raise matrix.fault("E109", "the matrix must be a square of the digits 0 and 1")
        cells = [[matrix] * size for _ in range(size)]
        rows = [[int(digit) for digit in text[y * size :][:size]] for y in range(size)]
    else:
        cells = [list(row.items("a row of the matrix")) for row in matrix.items("the matrix")]
        rows = [[_digit(cell) for cell in row] for row in cells]
    if not 2 <= len(rows) <= _MOST_VERTICES:
        message = f"a module has 2 to {_MOST_VERTICES} vertices, not {len(rows)}"
        raise matrix.fault("E202", message)
    for x, row in enumerate(rows):
        if len(row) != len(rows):
            message = f"row {x} of the matrix has {len(row)} numbers, not {len(rows)}"
            raise matrix.fault("E109", message)
        for y in range(x + 1):
            if row[y]:
                what = "itself" if x == y else f"vertex {x}, which comes later"
                raise cells[x][y].fault("E202", f"vertex {y} reads {what}")
    return tuple(map(tuple, rows))


def _digit(cell: Cursor) -> int:
    """0 or 1; a matrix of floating-point numbers has them as 0.0 and 1.0."""
    if isinstance(cell.value, bool) or cell.value not in (0, 1):
        raise cell.fault("E109", "a number in the matrix must be 0 or 1")
    return int(cell.value)


def _check_ends(module: Module, ops: Cursor) -> None:
    """Raises an error unless there is an op for each vertex, `input` first and `output` last."""
    if len(module.ops) != len(module.matrix):
        message = f"there are {len(module.ops)} ops for {len(module.matrix)} vertices"
        raise ops.fault("E109", message)
    if (module.ops[0], module.ops[-1]) != (INPUT, OUTPUT):
        message = f"the first op must be '{INPUT}' and the last '{OUTPUT}'"
        raise ops.fault("E109", message)
    if {INPUT, OUTPUT} & set(module.ops[1:-1]):
        message = f"'{INPUT}' and '{OUTPUT}' stand at the ends only"
        raise ops.fault("E109", message)


def _check_hash(row: Cursor, module: Module) -> None:
    """Raises an error where a row's hash is not that of its module."""
    stated = row.items("a row")[0]
    live = pruned(module)
    if live is None or limits_broken(live):
        return
    found = module_hash(live)
    if stated.value != found:
        message = "the row's hash is not that of its module"
        raise stated.fault("E109", message, hint=f"the module's is {found}")


def _recognises(cursor: Cursor) -> bool:
    """True if it has the fields of a module, or is a matrix and ops, or a row of the benchmark."""
    value = cursor.value
    if has_keys(value, "matrix", *_NAMES[0]) or call_of(cursor) == "ModelSpec":
        return True
    if not isinstance(value, list) or len(value) not in (2, 5):
        return False
    matrix, ops = value[-3:-1] if len(value) == 5 else value
    if isinstance(ops, str):
        return isinstance(matrix, str) and "," in ops
    return (
        isinstance(matrix, list)
        and isinstance(ops, list)
        and bool(ops)
        and all(isinstance(op, str) for op in ops)
    )


def _one_shot(parents: Sequence[int]) -> dict[str, Shape]:
    """A configuration of nodes with so many parents; the last block is the output."""
    names = OpNames({op: op for op in load_space(SPACES[0]).cells[0].node_ops})
    blocks = range(1, len(parents) + 1)
    fields: dict[str, Shape] = {f"choice_block_{i}_op": OpAt((KIND, i), names) for i in blocks[:-1]}
    for block, many in zip(blocks, parents, strict=True):
        node = block if block < len(parents) else "output"
        slots: list[Shape] = [SourceAt((KIND, node, slot)) for slot in range(many)]
        fields[f"choice_block_{block}_parents"] = slots
    return fields


def parse_one_shot(root: Cursor, _: Space | None) -> Parsed:
    """The genotype of `{"choice_block_1_op": op, …, "choice_block_1_parents": [0], …}`.

    The numbers of parents say which of the three spaces it is.
    """
    entries = root.entries("a NAS-Bench-1Shot1 configuration")
    names = [_FIELD.fullmatch(name) for name in entries]
    numbers = [int(name[1]) for name in names if name and name[2] == "op"]
    if not numbers:
        raise root.fault("E202", "the configuration has no ops")
    count, parts = max(numbers), Parts(root)
    many: list[int] = []
    for node in (*range(1, count + 1), "output"):
        block = entries.get(f"choice_block_{count + 1 if node == 'output' else node}_parents")
        parts.cursors |= {(KIND, node): block} if block else {}
        many.append(len(block.value) if block and isinstance(block.value, list) else 0)
    read(_one_shot(many), root, parts)
    cell = parts.cell(KIND, 1, count)
    space = _space_of(cell)
    if not space and all((*cell.nodes, cell.output)):
        message = f"no space of NAS-Bench-1Shot1 has {_counts(cell)} parents"
        raise root.fault("E202", message, _hint())
    return Parsed(Genotype(space, (cell,)), parts.place)


def dump_one_shot(genotype: Genotype) -> str:
    """The configuration as JSON, one block on a line. Raises an error for what is in no space."""
    (cell,) = genotype.cells
    if not _space_of(cell):
        raise inexpressible(_ONE_SHOT, f"a cell with {_counts(cell)} parents", _hint())
    shape = _one_shot([*map(len, (*cell.sources, cell.output))])
    return json_lines(write(shape, Parts.of((cell,), (KIND,), _ONE_SHOT)))


def _space_of(cell: CellGenotype) -> str:
    """The space whose numbers of parents the cell has; empty where there is none."""
    found = tuple(map(len, (*cell.sources, cell.output)))
    spaces = (name for name in SPACES if load_space(name).cells[0].parents == found)
    return next(spaces, "")


def _counts(cell: CellGenotype) -> str:
    return ", ".join(str(len(sources)) for sources in (*cell.sources, cell.output))


def _hint() -> str:
    rows = [load_space(name).cells[0].parents for name in SPACES]
    shown = "; ".join(", ".join(map(str, row)) for row in rows)
    return f"the numbers of parents of nodes and output are: {shown}"


def _recognises_one_shot(cursor: Cursor) -> bool:
    value = cursor.value
    return isinstance(value, dict) and any(_FIELD.fullmatch(key) for key in list(value)[:1])


NASBENCH101 = Format(
    SPACE,
    "the NAS-Bench-101 matrix and ops",
    _recognises,
    parse,
    dump,
    (Holds(ANY_KIND, 1, on_nodes=True),),
    opens=r"ModelSpec\s{0,4}\(|[\[(](?=(?:np\.)?array\(\[\[[01])"
    r"|\{(?=\s{0,40}[\"'](?:matrix|module_adjacency)[\"'])",
)
NASBENCH1SHOT1 = Format(
    _ONE_SHOT,
    "the NAS-Bench-1Shot1 configuration",
    _recognises_one_shot,
    parse_one_shot,
    dump_one_shot,
    (Holds(ANY_KIND, 1, on_nodes=True),),
    opens=r"\{(?=\s{0,40}[\"']choice_block_\d{1,2}_(?:op|parents)[\"'])",
)
