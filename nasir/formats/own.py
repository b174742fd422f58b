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
from nasir.formats.shape import OpAt, OpNames, Parts, Shape, SourceAt, read, write
from nasir.space.decisions import CellGenotype, Numbers
from nasir.space.layout import SIZE_NAMES
from nasir.space.load import home_of, is_named, is_shipped, load_space
from nasir.space.space import Genotype, Space

_SUFFIXES = (".yaml", ".yml", ".json")
_WHOLE = 10**9
_WIDTHS = {"space": 90, "size": _WHOLE, "output": _WHOLE}
"""The width up to which fields stand on one line; the nodes of a cell do at any width."""

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
    space, parts = given or _read_space(fields["space"]), Parts(fields["cells"])
    genotype = Genotype(
        space=space if isinstance(space, str) else space.name,
        cells=tuple(_read_cell(kind, entry, parts) for kind, entry in entries.items()),
        name=fields["name"].text("the name") if "name" in fields else "",
        source=fields["source"].text("the source") if "source" in fields else "",
        definition=None if isinstance(space, str) else space,
        size=_read_size(fields["size"]) if "size" in fields else (),
    )
    return Parsed(genotype, parts.place, home_of(genotype))


def dump(genotype: Genotype) -> str:
    """The genotype as JSON, one node on a line."""
    facts: dict[str, Json] = {"name": genotype.name, "space": space_data(genotype)}
    facts |= {"size": cast("Json", dict(genotype.size)), "source": genotype.source}
    facts["cells"] = {cell.kind: _cell_data(cell) for cell in genotype.cells}
    data: Json = {name: fact for name, fact in facts.items() if fact}
    return "\n".join(_lines({"nasir": VERSION, "genotype": data}, 0, 0)) + "\n"


def _lines(value: Json, indent: int, width: int) -> list[str]:
    """The value as JSON; lists and mappings stand on one line where they have that width."""
    whole = json_text(value)
    if not isinstance(value, (dict, list)) or len(whole) + indent <= width:
        return [whole]
    is_mapping = isinstance(value, dict)
    pairs = value.items() if isinstance(value, dict) else [("", part) for part in value]
    blocks: list[list[str]] = []
    for key, part in pairs:
        inner = width or _WIDTHS.get(key, 0 if is_mapping else _WHOLE)
        first, *rest = _lines(part, indent + 2, inner)
        lead = f"{json_text(key)}: " if is_mapping else ""
        blocks.append([f"{' ' * (indent + 2)}{lead}{first}", *rest])
    for block in blocks[:-1]:
        block[-1] += ","
    brackets = "{}" if is_mapping else "[]"
    lines = (line for block in blocks for line in block)
    return [brackets[0], *lines, " " * indent + brackets[1]]


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


def space_data(genotype: Genotype) -> Json:
    """The space: its name where it is shipped or not known, else the whole of it."""
    space = genotype.definition
    if space is None or not space.text:
        return genotype.space
    shipped = is_shipped(space.name) and is_named(space)
    return genotype.space if shipped else json.loads(space.text)


def _cell_data(cell: CellGenotype) -> Json:
    parts = Parts.of((cell,), (cell.kind,))
    states = range(cell.inputs, cell.inputs + len(cell.nodes))
    nodes = [
        _node(
            cell.kind,
            state,
            len(parts.slots(cell.kind, state)),
            (cell.kind, state, "op") in parts.values,
        )
        for state in states
    ]
    return {"inputs": cell.inputs, "nodes": write(nodes, parts), "output": list(cell.output)}


def _node(kind: str, state: int, slots: int, has_op: bool) -> Shape:
    """A node with an op of its own {"op": op, "from": [source, ...]}, or [[op, source], ...]."""
    paths = [(kind, state, slot) for slot in range(slots)]
    if has_op:
        return {"op": OpAt((kind, state), OpNames()), "from": [SourceAt(path) for path in paths]}
    return [[OpAt(path, OpNames()), SourceAt(path)] for path in paths]


def _read_cell(kind: str, cursor: Cursor, parts: Parts) -> CellGenotype:
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
    have_ops = bool(nodes) and isinstance(nodes[0].value, dict)
    for state, node in enumerate(nodes, start=inputs):
        value = node.value.get("from") if isinstance(node.value, dict) else node.value
        slots = len(value) if isinstance(value, list) else 1
        read(_node(kind, state, slots, have_ops), node, parts)
        parts.cursors[kind, state] = node
    states = fields["output"].items("the output of a cell")
    for slot, state in enumerate(states):
        parts.put((kind, "output", slot), state, state.integer("a state"))
    parts.cursors |= {(kind,): cursor, (kind, "output"): fields["output"]}
    return parts.cell(kind, inputs, len(nodes))


def _read_size(cursor: Cursor) -> Numbers:
    """Numbers of the network's size by name, in the order of SIZE_NAMES, whatever the file's."""
    fields = cursor.fields("the size of a genotype", (), SIZE_NAMES)
    numbers = {name: field.integer(f"the size '{name}'") for name, field in fields.items()}
    for name, number in numbers.items():
        if number < 1:
            raise fields[name].fault("E107", f"the size '{name}' must be 1 or more, not {number}")
    return tuple((name, numbers[name]) for name in SIZE_NAMES if name in numbers)


def _is_entry(cursor: Cursor) -> bool:
    return len(cursor.path) == 2 and cursor.path[0] == "genotypes"


def _recognises(cursor: Cursor) -> bool:
    """True if it is a file of one genotype, or an entry of a catalogue `{"genotypes": [...]}`."""
    value = cursor.value
    if _is_entry(cursor):
        return isinstance(value, dict) and has_keys(cursor.document.data, "nasir")
    return has_keys(value, "nasir") and not has_keys(value, "genotypes")


OWN = Format("nasir", "nasir's own JSON or YAML", _recognises, parse, dump, whole=True)


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
