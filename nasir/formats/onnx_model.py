"""The genotype in the metadata of an ONNX model that nasir exported."""

from typing import TYPE_CHECKING

from nasir.document import Cursor, parse_document
from nasir.errors import NasirError, Where
from nasir.formats import own
from nasir.formats.format import Format
from nasir.genotype import Genotype
from nasir.source import Source

if TYPE_CHECKING:
    import onnx

METADATA_KEY = "nasir.genotype"
"""The key of the model's metadata that holds the genotype, as `dump_genotype` writes it."""


def load(cursor: Cursor) -> Genotype:
    """The genotype in a model's metadata. Raises E103, E104, E111."""
    source = cursor.document.source
    model = _model(source)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            text = Source.of(entry.value, f"{source.name}({METADATA_KEY})")
            return own.load(parse_document(text).root)
    producer = f", but by {model.producer_name}" if model.producer_name else ""
    raise NasirError(
        "E111",
        f"the ONNX model was not written by nasir{producer}",
        Where(source.name),
        hint=f"its metadata has no '{METADATA_KEY}'; a genotype cannot be read from a graph",
    )


def facts_of(source: Source) -> dict[str, str]:
    """What a model of nasir's says of its network: skeleton and size by name. Raises as `load`."""
    start = METADATA_KEY.removesuffix("genotype")
    return {
        entry.key.removeprefix(start): entry.value
        for entry in _model(source).metadata_props
        if entry.key.startswith(start)
    }


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


ONNX = Format("onnx", "the metadata of nasir's ONNX models", _recognises, load, None)
