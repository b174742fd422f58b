"""NAS-Bench-101's modules: a matrix and ops as JSON, or a row of the benchmark's tfrecord file."""

import json

from nasir.document import Cursor
from nasir.formats.format import Format, call_of, has_keys, inexpressible, known_op
from nasir.genotype import Genotype, check_genotype
from nasir.nasbench101 import (
    INPUT,
    OUTPUT,
    Module,
    cell_of,
    limits_broken,
    module_hash,
    module_of,
    pruned,
    started,
)

SPACE = "nasbench101"

_NAMES = (("module_adjacency", "module_operations"), ("matrix", "ops"))
_RESULTS = (
    "trainable_parameters",
    "training_time",
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
)
"""What the benchmark's answers have beside the module; it is not read."""

_MOST_VERTICES = 64


def load(root: Cursor) -> Genotype:
    """The genotype of a matrix and its ops: a mapping, a pair, or a tfrecord row.

    Vertices that the input does not reach are left out (they could read nothing); other loose
    ends stay. Raises E202 to E206, and E109 where a row's hash is not its module's.
    """
    matrix, ops = _parts(root)
    names = _read_ops(ops)
    rows = _read_matrix(matrix)
    if len(names) == len(rows) - 2:
        names = (INPUT, *names, OUTPUT)
    module = Module(rows, names)
    _check_ends(module, ops)
    if pruned(module) is None:
        raise matrix.fault("E204", "the output cannot be reached from the input")
    # Only faults of the module as a whole are left: each number is checked by now.
    genotype = check_genotype(Genotype(SPACE, (cell_of(started(module)),)), lambda _: matrix.where)
    if len(root.items("a row") if isinstance(root.value, list) else ()) == 5:
        _check_hash(root, module)
    return genotype


def dump(genotype: Genotype) -> str:
    """The matrix, one vertex on a line, and the ops. Raises E208 for any other cell."""
    if len(genotype.cells) != 1:
        have = ", ".join(genotype.kinds)
        raise inexpressible(SPACE, f"the cells '{have}': it holds one cell")
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


def _read_ops(ops: Cursor) -> tuple[str, ...]:
    if isinstance(ops.value, str):
        names = ops.value.split(",")
        places = [ops] * len(names)
    else:
        places = list(ops.items("the ops"))
        names = [place.text("an op") for place in places]
    for name, place in zip(names, places, strict=True):
        if name not in (INPUT, OUTPUT):
            known_op(name, lambda place=place: place.where)
    return tuple(names)


def _read_matrix(matrix: Cursor) -> tuple[tuple[int, ...], ...]:
    """The rows of zeros and ones. Raises E109, E203 for an edge that does not lead forward."""
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
        raise matrix.fault("E205", message)
    for x, row in enumerate(rows):
        if len(row) != len(rows):
            message = f"row {x} of the matrix has {len(row)} numbers, not {len(rows)}"
            raise matrix.fault("E109", message)
        for y in range(x + 1):
            if row[y]:
                what = "itself" if x == y else f"vertex {x}, which comes later"
                raise cells[x][y].fault("E203", f"vertex {y} reads {what}")
    return tuple(map(tuple, rows))


def _digit(cell: Cursor) -> int:
    """0 or 1; a matrix of floating-point numbers has them as 0.0 and 1.0."""
    if isinstance(cell.value, bool) or cell.value not in (0, 1):
        raise cell.fault("E109", "a number in the matrix must be 0 or 1")
    return int(cell.value)


def _check_ends(module: Module, ops: Cursor) -> None:
    """Raises E109 unless there is an op for each vertex, `input` first and `output` last."""
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
    """Raises E109 where a row's hash is not that of its module."""
    stated = row.items("a row")[0]
    live = pruned(module)
    if live is None or limits_broken(live):
        return
    found = module_hash(live)
    if stated.value != found:
        message = "the row's hash is not that of its module"
        raise stated.fault("E109", message, hint=f"the module's is {found}")


def _recognises(cursor: Cursor) -> bool:
    """Whether it has the fields of a module, or is a matrix and ops, or a row of the benchmark."""
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


NASBENCH101 = Format(
    SPACE,
    "the NAS-Bench-101 matrix and ops",
    _recognises,
    load,
    dump,
    opens=r"ModelSpec\s{0,4}\(|[\[(](?=(?:np\.)?array\(\[\[[01])"
    r"|\{(?=\s{0,40}[\"'](?:matrix|module_adjacency)[\"'])",
)
