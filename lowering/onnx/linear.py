"""Flattening and linear maps in ONNX."""

import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
from nasir.ops import NoAttrs
from nasir.ops.linear import (
    CHUNK,
    FLATTEN,
    LINEAR,
    PROJECT,
    ChunkAttrs,
    LinearAttrs,
    ProjectAttrs,
)


def _flatten(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    return e.node("Flatten", inputs[0], axis=1)


def _linear(e: OnnxEmitter, a: LinearAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Torch keeps the weight as (out, in)."""
    del a
    return e.node("Gemm", inputs[0], *weights, transB=1)


def _project(e: OnnxEmitter, a: ProjectAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a
    return e.node("MatMul", inputs[0], weights[0])


def _chunk(e: OnnxEmitter, a: ChunkAttrs, inputs: Values, weights: Values) -> ir.Value:
    """ONNX cuts into all parts at once."""
    del weights
    names = (e.body.fresh(f"{e.result.name}.other") for _ in range(a.of - 1))
    outputs = [ir.Value(name=name) for name in names]
    outputs.insert(a.part, e.result)
    attributes = {"axis": -1, "num_outputs": a.of}
    e.body.nodes.append(ir.node("Split", inputs, attributes, outputs=outputs, name=e.result.name))
    return e.result


RULES = (
    OnnxRule(FLATTEN, _flatten),
    OnnxRule(LINEAR, _linear),
    OnnxRule(PROJECT, _project),
    OnnxRule(CHUNK, _chunk),
)
