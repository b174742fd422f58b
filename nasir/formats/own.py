"""nasir's own format: JSON (or the same as YAML), versioned, naming its space and its ops."""

import re
from collections.abc import Sequence

from nasir.document import VERSION, Cursor, check_version
from nasir.errors import NasirError, Where
from nasir.formats.format import Format, has_keys, known_op
from nasir.formats.own_space import format_space_field, read_space_field
from nasir.genotype import CellGenotype, Edge, Genotype, Numbers, Path, check_genotype
from nasir.limits import CELL_NODE_LIMIT
from nasir.quoting import json_text
from nasir.space.adoption import adopt, in_force
from nasir.space.sizes import SIZE_NAMES

CATALOGUE_FIELDS = ("name", "size", "sources", "paper", "aliases")
"""The fields that a genotype of a catalogue may have beside space and cells."""


def load(root: Cursor) -> Genotype:
    """The genotype of a file `{"nasir": 1, "genotype": {...}}`, or of an entry of a catalogue."""
    if _is_entry(root):
        return read_genotype(root, CATALOGUE_FIELDS)
    check_version(root, "a nasir file")
    fields = root.fields("a nasir file", ("nasir", "genotype"))
    return read_genotype(fields["genotype"], ("name", "size", "source"))


def read_genotype(cursor: Cursor, optional: Sequence[str]) -> Genotype:
    """A genotype, where its fields beyond space and cells are `optional`."""
    fields = cursor.fields("a genotype", ("space", "cells"), optional)
    entries = fields["cells"].entries("the cells of a genotype")
    if not entries:
        raise fields["cells"].fault("E207", "the genotype has no cells")
    space = read_space_field(fields["space"])
    with in_force(space):
        cells = tuple(_read_cell(kind, entry) for kind, entry in entries.items())
    genotype = Genotype(
        space=space if isinstance(space, str) else space.name,
        cells=cells,
        name=fields["name"].text("the name") if "name" in fields else "",
        source=fields["source"].text("the source") if "source" in fields else "",
        size=_read_size(fields["size"]) if "size" in fields else (),
    )

    def place(path: Path) -> Where:
        return cursor.document.place(_document_path(fields["cells"].path, genotype, path))

    check_genotype(genotype, place)
    return genotype if isinstance(space, str) else adopt(genotype, space)


def dump(genotype: Genotype) -> str:
    """The genotype as JSON, one node on a line."""
    body = "\n".join(format_genotype(genotype, indent=2))
    return f'{{\n  "nasir": {VERSION},\n  "genotype": {body.lstrip()}\n}}\n'


def format_genotype(genotype: Genotype, indent: int) -> list[str]:
    """The lines of a genotype's mapping, indented."""
    space = format_space_field(genotype)
    size = json_text(dict(genotype.size)) if genotype.size else '""'
    head = {"name": _json(genotype.name), "space": space, "size": size}
    head["source"] = _json(genotype.source)
    text = "".join(f"  {_json(key)}: {value},\n" for key, value in head.items() if value != '""')
    lines = text.splitlines()
    cells = [_format_cell(cell) for cell in genotype.cells]
    body = ["{", *lines, '  "cells": {', *_joined(cells), "  }", "}"]
    return [" " * indent + line for line in body]


def _format_cell(cell: CellGenotype) -> list[str]:
    nodes = [f"        {_format_node(cell, index)}" for index in range(len(cell.nodes))]
    return [
        f"    {_json(cell.kind)}: {{",
        f'      "inputs": {cell.inputs},',
        '      "nodes": [',
        *_joined([[node] for node in nodes]),
        "      ],",
        f'      "output": [{", ".join(map(str, cell.output))}]',
        "    }",
    ]


def _format_node(cell: CellGenotype, index: int) -> str:
    edges = cell.nodes[index]
    if cell.ops:
        sources = ", ".join(str(edge.source) for edge in edges)
        return f'{{"op": {_json(cell.ops[index])}, "from": [{sources}]}}'
    return "[" + ", ".join(f"[{_json(e.op)}, {e.source}]" for e in edges) + "]"


def _joined(blocks: list[list[str]]) -> list[str]:
    """The blocks' lines, with a comma after each block but the last."""
    for block in blocks[:-1]:
        block[-1] += ","
    return [line for block in blocks for line in block]


def _json(value: str) -> str:
    return json_text(value)


def _read_cell(kind: str, cursor: Cursor) -> CellGenotype:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,40}", kind):
        where = cursor.document.key_place(cursor.path)
        raise NasirError("E210", "a cell kind is a word of letters, digits and underscores", where)
    fields = cursor.fields(f"cell '{kind}'", ("inputs", "nodes", "output"))
    inputs = fields["inputs"].integer("the number of inputs")
    if not 1 <= inputs <= 16:
        raise fields["inputs"].fault("E205", f"a cell has 1 to 16 inputs, not {inputs}")
    nodes = fields["nodes"].items("the nodes of a cell")
    if len(nodes) > CELL_NODE_LIMIT:
        message = f"a cell has at most {CELL_NODE_LIMIT} nodes, not {len(nodes)}"
        raise fields["nodes"].fault("E205", message)
    on_nodes = bool(nodes) and isinstance(nodes[0].value, dict)
    read = [_read_op_node(node) if on_nodes else _read_node(node, kind) for node in nodes]
    return CellGenotype(
        kind=kind,
        inputs=inputs,
        nodes=tuple(edges for _, edges in read),
        output=tuple(s.integer("a state") for s in fields["output"].items("the output of a cell")),
        ops=tuple(op for op, _ in read) if on_nodes else (),
    )


def _read_size(cursor: Cursor) -> Numbers:
    """Numbers of the network's size by name, in the order of SIZE_NAMES, whatever the file's."""
    fields = cursor.fields("the size of a genotype", (), SIZE_NAMES)
    numbers = {name: field.integer(f"the size '{name}'") for name, field in fields.items()}
    for name, number in numbers.items():
        if number < 1:
            raise fields[name].fault("E107", f"the size '{name}' must be 1 or more, not {number}")
    return tuple((name, numbers[name]) for name in SIZE_NAMES if name in numbers)


def _read_node(cursor: Cursor, kind: str) -> tuple[str, tuple[Edge, ...]]:
    """A node whose ops stand on its edges: [[op, source], ...]."""
    return "", tuple(_read_edge(edge, kind) for edge in cursor.items("a node"))


def _read_op_node(cursor: Cursor) -> tuple[str, tuple[Edge, ...]]:
    """A node with an op of its own: {"op": op, "from": [source, ...]}."""
    fields = cursor.fields("a node with an op", ("op", "from"))
    op = fields["op"]
    name = known_op(op.text("an op"), lambda: op.where)
    sources = fields["from"].items("the sources of a node")
    return name, tuple(Edge("", source.integer("a source")) for source in sources)


def _read_edge(cursor: Cursor, kind: str) -> Edge:
    pair = cursor.items("an edge [op, source]")
    if len(pair) != 2:
        raise cursor.fault("E109", f"an edge is [op, source], and this has {len(pair)} parts")
    op, source = pair
    name = known_op(op.text("an op"), lambda: op.where, kind)
    return Edge(name, source.integer("a source"))


def _document_path(cells: Path, genotype: Genotype, path: Path) -> Path:
    """Where in the document the part of a genotype at `path` is."""
    if not path:
        return cells
    kind, *rest = path
    if not rest:
        return (*cells, kind)
    if rest[0] == "output":
        return (*cells, kind, *rest)
    cell = genotype.cell(str(kind))
    node = int(rest[0]) - cell.inputs
    if cell.ops:
        return (*cells, kind, "nodes", node, *(("from", *rest[1:]) if len(rest) > 1 else ()))
    # An edge's faults are those of its source, the second of the pair.
    return (*cells, kind, "nodes", node, *((rest[1], 1) if len(rest) > 1 else ()))


def _is_entry(cursor: Cursor) -> bool:
    return len(cursor.path) == 2 and cursor.path[0] == "genotypes"


def _recognises(cursor: Cursor) -> bool:
    """Whether it is a file of one genotype, or an entry of a catalogue `{"genotypes": [...]}`."""
    value = cursor.value
    if _is_entry(cursor):
        return isinstance(value, dict) and has_keys(cursor.document.data, "nasir")
    return has_keys(value, "nasir") and not has_keys(value, "genotypes")


OWN = Format("nasir", "nasir's own JSON or YAML", _recognises, load, dump)
