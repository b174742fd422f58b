"""nasir's own format: JSON (or the same as YAML), versioned, naming its space and its ops.

An ONNX model that nasir exported holds such a genotype in its metadata.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, cast

from nasir.document import VERSION, Cursor, Json, check_version, parse_document
from nasir.errors import CELL_NODE_LIMIT, NasirError, Where, json_text, quoted
from nasir.files import Source, is_there, looks_like_path
from nasir.formats.format import Format, Parsed, has_keys
from nasir.genotype import CellGenotype, Edge, Numbers, Path
from nasir.space.layout import SIZE_NAMES
from nasir.space.load import home_of, is_shipped, load_space
from nasir.space.space import Genotype, Space

_SUFFIXES = (".yaml", ".yml", ".json")
_WIDTH = 88

CATALOGUE_FIELDS = ("name", "size", "sources", "paper", "aliases")
"""The fields that a genotype of a catalogue may have beside space and cells."""


def parse(root: Cursor, space: Space | None) -> Parsed:
    """The genotype of a file `{"nasir": 1, "genotype": {...}}`, or of an entry of a catalogue."""
    if _is_entry(root):
        return _read_genotype(root, CATALOGUE_FIELDS, space)
    check_version(root, "a nasir file")
    fields = root.fields("a nasir file", ("nasir", "genotype"))
    return _read_genotype(fields["genotype"], ("name", "size", "source"), space)


def _read_genotype(cursor: Cursor, optional: Sequence[str], given: Space | None) -> Parsed:
    """A genotype, where its fields beyond space and cells are `optional`."""
    fields = cursor.fields("a genotype", ("space", "cells"), optional)
    entries = fields["cells"].entries("the cells of a genotype")
    if not entries:
        raise fields["cells"].fault("E202", "the genotype has no cells")
    space = given or _read_space(fields["space"])
    genotype = Genotype(
        space=space if isinstance(space, str) else space.name,
        cells=tuple(_read_cell(kind, entry) for kind, entry in entries.items()),
        name=fields["name"].text("the name") if "name" in fields else "",
        source=fields["source"].text("the source") if "source" in fields else "",
        definition=None if isinstance(space, str) else space,
        size=_read_size(fields["size"]) if "size" in fields else (),
    )

    def place(path: Path) -> Where:
        return cursor.document.place(_document_path(fields["cells"].path, genotype, path))

    return Parsed(genotype, place, home_of(genotype))


def dump(genotype: Genotype) -> str:
    """The genotype as JSON, one node on a line."""
    body = "\n".join(format_genotype(genotype, indent=2))
    return f'{{\n  "nasir": {VERSION},\n  "genotype": {body.lstrip()}\n}}\n'


def format_genotype(genotype: Genotype, indent: int) -> list[str]:
    """The lines of a genotype's mapping, indented."""
    space = format_space(genotype)
    size = json_text(dict(genotype.size)) if genotype.size else '""'
    head = {"name": _json(genotype.name), "space": space, "size": size}
    head["source"] = _json(genotype.source)
    text = "".join(f"  {_json(key)}: {value},\n" for key, value in head.items() if value != '""')
    lines = text.splitlines()
    cells = [_format_cell(cell) for cell in genotype.cells]
    body = ["{", *lines, '  "cells": {', *_joined(cells), "  }", "}"]
    return [" " * indent + line for line in body]


def _read_space(cursor: Cursor) -> Space | str:
    """The space, or the name of one that is shipped or not known.

    A path is relative to the genotype's file.
    """
    if isinstance(cursor.value, dict):
        from nasir.space.reader import read_document

        return read_document(cursor.document.part(cursor.path, cursor.value))
    text = cursor.text("the space")
    if not looks_like_path(text, _SUFFIXES):
        return text
    path = FilePath(cursor.document.source.name).parent / text
    if not is_there(str(path)):
        hint = "the path is relative to the genotype's file"
        raise cursor.fault("E101", f"the space's file '{text}' does not exist", hint)
    return load_space(path)


def format_space(genotype: Genotype) -> str:
    """The space as JSON: its name where it is shipped or not known, else the whole of it."""
    space = genotype.definition
    if space is None or not space.text or _is_shipped(space):
        return json_text(genotype.space)
    return "\n".join(_space_lines(json.loads(space.text), 2))


def _is_shipped(space: Space) -> bool:
    return is_shipped(space.name) and load_space(space.name) == space


def _space_lines(value: Json, indent: int) -> list[str]:
    """The value as JSON, short lists and mappings on one line."""
    whole = json_text(value)
    if not isinstance(value, (dict, list)) or len(whole) + indent <= _WIDTH:
        return [whole]
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [(f"{json_text(k)}: ", v) for k, v in value.items()]
    else:
        parts = [("", v) for v in value]
    lines = ["{" if isinstance(value, dict) else "["]
    for number, (lead, part) in enumerate(parts):
        first, *rest = _space_lines(part, indent + 2)
        lines += [f"{pad}{lead}{first}", *rest]
        lines[-1] += "," if number < len(parts) - 1 else ""
    return [*lines, " " * indent + ("}" if isinstance(value, dict) else "]")]


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
        raise NasirError("E202", "a cell kind is a word of letters, digits and underscores", where)
    fields = cursor.fields(f"cell '{kind}'", ("inputs", "nodes", "output"))
    inputs = fields["inputs"].integer("the number of inputs")
    if not 1 <= inputs <= 16:
        raise fields["inputs"].fault("E202", f"a cell has 1 to 16 inputs, not {inputs}")
    nodes = fields["nodes"].items("the nodes of a cell")
    if len(nodes) > CELL_NODE_LIMIT:
        message = f"a cell has at most {CELL_NODE_LIMIT} nodes, not {len(nodes)}"
        raise fields["nodes"].fault("E202", message)
    on_nodes = bool(nodes) and isinstance(nodes[0].value, dict)
    read = [_read_op_node(node) if on_nodes else _read_node(node) for node in nodes]
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


def _read_node(cursor: Cursor) -> tuple[str, tuple[Edge, ...]]:
    """A node whose ops stand on its edges: [[op, source], ...]."""
    return "", tuple(_read_edge(edge) for edge in cursor.items("a node"))


def _read_op_node(cursor: Cursor) -> tuple[str, tuple[Edge, ...]]:
    """A node with an op of its own: {"op": op, "from": [source, ...]}."""
    fields = cursor.fields("a node with an op", ("op", "from"))
    op = fields["op"].text("an op")
    sources = fields["from"].items("the sources of a node")
    return op, tuple(Edge("", source.integer("a source")) for source in sources)


def _read_edge(cursor: Cursor) -> Edge:
    pair = cursor.items("an edge [op, source]")
    if len(pair) != 2:
        raise cursor.fault("E109", f"an edge is [op, source], and this has {len(pair)} parts")
    op, source = pair
    return Edge(op.text("an op"), source.integer("a source"))


def _document_path(cells: Path, genotype: Genotype, path: Path) -> Path:
    """The path in the document to the part of a genotype at `path`."""
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
        inner = rest[1:] if rest[-1] == "op" else ("from", *rest[1:]) if len(rest) > 1 else ()
    else:  # an edge's faults are those of its source, the second of the pair
        inner = (rest[1], 0 if rest[-1] == "op" else 1) if len(rest) > 1 else ()
    return (*cells, kind, "nodes", node, *inner)


def _is_entry(cursor: Cursor) -> bool:
    return len(cursor.path) == 2 and cursor.path[0] == "genotypes"


def _recognises(cursor: Cursor) -> bool:
    """True if it is a file of one genotype, or an entry of a catalogue `{"genotypes": [...]}`."""
    value = cursor.value
    if _is_entry(cursor):
        return isinstance(value, dict) and has_keys(cursor.document.data, "nasir")
    return has_keys(value, "nasir") and not has_keys(value, "genotypes")


OWN = Format("nasir", "nasir's own JSON or YAML", _recognises, parse, dump)


if TYPE_CHECKING:
    import onnx

METADATA_KEY = "nasir.genotype"
"""The key of the model's metadata that holds the genotype, as `dump_genotype` writes it."""


_START = METADATA_KEY.removesuffix("genotype")
_GRAPH_KEY = f"{_START}graph"


def parse_model(cursor: Cursor, space: Space | None) -> Parsed:
    """The genotype in a model's metadata.

    A model whose graph is no longer the one that was written with the genotype is refused (an
    error).
    """
    source = cursor.document.source
    model = _model(source)
    facts = _metadata(model, source)
    if METADATA_KEY not in facts:
        producer = f", but by {quoted(model.producer_name)}" if model.producer_name else ""
        raise NasirError(
            "E108",
            f"the ONNX model was not written by nasir{producer}",
            Where(source.name),
            hint=f"its metadata has no '{METADATA_KEY}'; a genotype cannot be read from a graph",
        )
    if facts.get(_GRAPH_KEY) != _digest(model):
        raise NasirError(
            "E108",
            "the ONNX model's graph is not the one that nasir wrote with its genotype",
            Where(source.name),
            hint="read the genotype from the file that nasir wrote; what changed it keeps metadata",
        )
    text = Source.of(facts[METADATA_KEY], f"{source.name}({METADATA_KEY})")
    return parse(parse_document(text).root, space)


def model_facts(source: Source) -> dict[str, str]:
    """The skeleton and the size of the network in a model of ours, by name. Raises as `parse`."""
    return {
        key.removeprefix(_START): value
        for key, value in _metadata(_model(source), source).items()
        if key.startswith(_START)
    }


def seal(model: "onnx.ModelProto") -> None:
    """Notes in a model's metadata that its graph and its other metadata belong together.

    A digest over nodes, functions, inputs, outputs, and the names and shapes of weights; their
    values may change.
    """
    for number in reversed(range(len(model.metadata_props))):
        if model.metadata_props[number].key == _GRAPH_KEY:
            del model.metadata_props[number]
    model.metadata_props.add(key=_GRAPH_KEY, value=_digest(model))


def _digest(model: "onnx.ModelProto") -> str:
    graph = model.graph
    digest = hashlib.sha256()
    parts = (graph.node, model.functions, model.opset_import, graph.input, graph.output)
    for part in parts:
        for message in part:
            digest.update(message.SerializeToString(deterministic=True) + b"\0")
    for weight in graph.initializer:
        digest.update(f"{weight.name} {weight.data_type} {list(weight.dims)}\0".encode())
    for entry in sorted(model.metadata_props, key=lambda entry: entry.key):
        if entry.key != _GRAPH_KEY and entry.key.startswith(_START):
            digest.update(f"{entry.key} {entry.value}\0".encode())
    return digest.hexdigest()


def _metadata(model: "onnx.ModelProto", source: Source) -> dict[str, str]:
    """The metadata of a model; of equal keys the first. Raises an error where it is not UTF-8."""
    found: dict[str, str] = {}
    for entry in model.metadata_props:
        key, value = cast("tuple[object, object]", (entry.key, entry.value))
        if not isinstance(key, str) or not isinstance(value, str):  # protobuf gives bytes then
            message = f"the ONNX model's metadata is not UTF-8: {quoted(key)}, {quoted(value)}"
            raise NasirError("E103", message, Where(source.name))
        found.setdefault(key, value)
    return found


def _model(source: Source) -> "onnx.ModelProto":
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(source.content)
    except (DecodeError, ValueError):
        raise NasirError(
            "E104",
            "the ONNX model cannot be parsed",
            Where(source.name),
            hint="is the file truncated?",
        ) from None
    if not model.ir_version:
        raise NasirError("E103", "the file is no ONNX model", Where(source.name))
    return model


def _is_model(cursor: Cursor) -> bool:
    return cursor.document.source.is_model


ONNX = Format("onnx", "the metadata of nasir's ONNX models", _is_model, parse_model, None)
