"""The genotype in the metadata of an ONNX model that nasir exported."""

import hashlib
from typing import TYPE_CHECKING, cast

from nasir.document import Cursor, parse_document
from nasir.errors import NasirError, Where, quoted
from nasir.formats import own
from nasir.formats.format import Format, Parsed
from nasir.source import Source
from nasir.space.space import Space

if TYPE_CHECKING:
    import onnx

METADATA_KEY = "nasir.genotype"
"""The key of the model's metadata that holds the genotype, as `dump_genotype` writes it."""


_START = METADATA_KEY.removesuffix("genotype")
_GRAPH_KEY = f"{_START}graph"


def parse(cursor: Cursor, space: Space | None) -> Parsed:
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
    return own.parse(parse_document(text).root, space)


def facts_of(source: Source) -> dict[str, str]:
    """What a model of nasir's says of its network: skeleton and size by name. Raises as `parse`."""
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


def _recognises(cursor: Cursor) -> bool:
    return cursor.document.source.is_model


ONNX = Format("onnx", "the metadata of nasir's ONNX models", _recognises, parse, None)
