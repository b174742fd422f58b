"""ONNX files in 8-bit whole numbers, by ONNX Runtime's own tools."""

import logging
import tempfile
from collections.abc import Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import onnx

import lowering
from nasir import Graph, NasirError
from nasir.files import write_atomically
from nasir.formats.onnx_model import seal
from runners.forms.table import refused
from runners.task.images import Images
from runners.task.task import Task

Kind = Literal["dynamic", "static"]
"""`dynamic`: ranges of values are found as the network runs. `static`: beforehand, on images."""

CALIBRATION = 8
"""Batches of training images that a static file's ranges come from."""

AT_ONCE = 4
"""Images in one run of the tools, which keep all values of a network at a time."""


def quantise(graph: Graph, module: Any, path: Path, kind: Kind, task: Task) -> Path:
    """Writes the network with 8-bit weights, and products of 8-bit numbers, to an ONNX file.

    The file has no functions, which the tools do not know. Weights get a range for each channel.
    Raises E501 without onnxruntime, E504 where its tools refuse the network, E505 for static text.
    """
    if kind == "static" and not isinstance(task, Images):
        message = "static quantisation needs images to find ranges on"
        raise NasirError("E505", message, hint="--quantise dynamic")
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "int8.onnx"
        lowering.to_onnx(graph, module, plain, inline=True)
        before = _model(plain)
        try:
            _tools(plain, made, kind, task)
            after = _model(made)
        except NasirError:
            raise
        except Exception as error:  # the tools' own exceptions share no class
            message = "ONNX Runtime's tools refuse to quantise the network"
            raise refused(message, error) from error
    for entry in before.metadata_props:
        if entry.key not in {other.key for other in after.metadata_props}:
            after.metadata_props.append(entry)
    seal(after)
    return write_atomically(path, after.SerializeToString())


def _tools(plain: Path, made: Path, kind: Kind, task: Task) -> None:
    try:
        tools: Any = import_module("onnxruntime.quantization")
        shapes: Any = import_module("onnxruntime.quantization.shape_inference")
    except ImportError:
        raise NasirError(
            "E501", "onnxruntime is not installed", hint="pip install nasir[runtime]"
        ) from None
    ready = plain.with_name("ready.onnx")
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # its tools advise on what was just done
    try:
        shapes.quant_pre_process(plain, ready)
        if kind == "dynamic":
            # Of products with whole numbers, the CPU has those of unsigned weights.
            tools.quantize_dynamic(ready, made, weight_type=tools.QuantType.QUInt8)
            return
        assert isinstance(task, Images)
        images = calibration(_model(ready).graph.input[0].name, task)
        tools.quantize_static(
            ready,
            made,
            SimpleNamespace(get_next=lambda: next(images, None)),
            quant_format=tools.QuantFormat.QDQ,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
            per_channel=True,
        )
    finally:
        logging.root.setLevel(level)


def _model(path: Path) -> onnx.ModelProto:
    return onnx.load_model_from_string(path.read_bytes())


def calibration(name: str, task: Images) -> Iterator[dict[str, Any]]:
    """Training images, few at a time, as the tools take them."""
    for batch in islice(task.plain(), CALIBRATION):
        images = batch.inputs[0].cpu().numpy()
        for start in range(0, len(images), AT_ONCE):
            yield {name: images[start : start + AT_ONCE]}
