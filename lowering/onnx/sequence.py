"""Tokens and sequences in ONNX, as they are in inference. A body stands in a Scan."""

import numpy as np
import onnx_ir as ir

from lowering.onnx.rule import OnnxEmitter, OnnxRule, Values
from nasir.graph import graph_of
from nasir.ops import Attrs, NoAttrs
from nasir.ops.sequence import (
    DECODER,
    DROPOUT_MASK,
    EMBEDDING,
    LAST,
    LOG_SOFTMAX,
    MASKED,
    SCAN,
    WORD_DROPOUT,
    ScanAttrs,
    WidthAttrs,
)


def _embedding(e: OnnxEmitter, a: WidthAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a
    return e.node("Gather", weights[0], inputs[0], axis=0)


def _first(e: OnnxEmitter, a: Attrs, inputs: Values, weights: Values) -> ir.Value:
    """Dropout drops nothing."""
    del a, weights
    return e.node("Identity", inputs[0])


def _ones(e: OnnxEmitter, a: Attrs, inputs: Values, weights: Values) -> ir.Value:
    """The mask that drops nothing."""
    del a, weights
    shape = e.part("shape", "Shape", inputs[0], start=-2)
    return e.node("ConstantOfShape", shape, value=ir.tensor(np.ones(1, dtype=np.float32)))


def _scan(e: OnnxEmitter, a: ScanAttrs, inputs: Values, weights: Values) -> ir.Value:
    """The state is what the Scan carries and, once more, what it collects."""
    sequence, state, *constants = inputs
    name = e.result.name
    (_, step_type), (_, state_type), *_ = a.body.inputs
    step = _vector(e.body.fresh(f"{name}.step"), step_type.shape[0])
    before = _vector(e.body.fresh(f"{name}.state"), state_type.shape[0])
    after = _vector(e.body.fresh(f"{name}.next"), state_type.shape[0])
    shown = _vector(e.body.fresh(f"{name}.shown"), state_type.shape[0])
    inner = e.body.inner()
    e.apply(inner, graph_of(a.body), (step, before, *constants), weights, after)
    inner.nodes.append(ir.node("Identity", [after], outputs=[shown], name=shown.name))
    body = ir.Graph([before, step], [after, shown], nodes=inner.nodes, name=f"{name}.body")
    attributes = [ir.AttrGraph("body", body), ir.AttrInt64("num_scan_inputs", 1)]
    outputs = [_vector(e.body.fresh(f"{name}.last"), state_type.shape[0]), e.result]
    e.body.nodes.append(
        ir.Node("", "Scan", [state, sequence], attributes, outputs=outputs, name=name)
    )
    return e.result


def _vector(name: str, width: int) -> ir.Value:
    shape = ir.Shape(["batch", width])
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.FLOAT), shape=shape)


def _last(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    index = e.part("index", "Constant", value=ir.tensor(np.array(-1, dtype=np.int64)))
    return e.node("Gather", inputs[0], index, axis=0)


def _decoder(e: OnnxEmitter, a: WidthAttrs, inputs: Values, weights: Values) -> ir.Value:
    """Torch keeps the weight as (out, in), and the embedding may share it."""
    del a
    weight = e.part("transposed", "Transpose", weights[0], perm=(1, 0))
    product = e.part("product", "MatMul", inputs[0], weight)
    return e.node("Add", product, weights[1])


def _log_softmax(e: OnnxEmitter, a: NoAttrs, inputs: Values, weights: Values) -> ir.Value:
    del a, weights
    return e.node("LogSoftmax", inputs[0], axis=-1)


RULES = (
    OnnxRule(EMBEDDING, _embedding),
    OnnxRule(WORD_DROPOUT, _first),
    OnnxRule(DROPOUT_MASK, _ones),
    OnnxRule(MASKED, _first),
    OnnxRule(SCAN, _scan),
    OnnxRule(LAST, _last),
    OnnxRule(DECODER, _decoder),
    OnnxRule(LOG_SOFTMAX, _log_softmax),
)
