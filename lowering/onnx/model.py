"""Makes ONNX models of plans in memory: functions, calls, initializers and metadata.

Opset 21 (IR version 10) is the newest in which onnxruntime 1.32 has a kernel for every op that
the rules emit: from opset 22 on it has none for RandomNormalLike.
"""

import re
from collections.abc import Mapping

import onnx_ir as ir
import torch
from torch import Tensor

from lowering.onnx import layers
from lowering.onnx.rule import Apply, OnnxBody, OnnxEmitter, OnnxRule, Values
from lowering.plan import Call, Function, Plan
from lowering.torch.store import resolve
from nasir import (
    Graph,
    ImageType,
    NasirError,
    SequenceType,
    SignalType,
    Type,
    VectorType,
    __version__,
)
from nasir.node import Node
from nasir.ops import ParamRef
from nasir.quoting import visible
from nasir.table import Table
from nasir.types import TokenType, WeightsType

OPSET = 21
IR_VERSION = 10
"""The IR version that came with `OPSET`."""

DOMAIN = "nasir"
"""The domain of the functions, and the prefix of the metadata."""

FLOAT = ir.DataType.FLOAT

RULES: Table[OnnxRule] = Table(*layers.RULES, kinds=("onnx",))
"""Rules of the primitives, by name."""


def make_model(plan: Plan, weights: Mapping[str, Tensor]) -> ir.Model:
    """The model in float32 and for inference; every value of its main graph has a shape.

    `weights` are found by the keys of the graph's parameters.
    """
    titles = _titles([function.name for function in plan.functions])
    bodies = [titles[function.name] for function in plan.bodies]
    apply = _application(dict(zip(plan.graph.bodies, bodies, strict=bool(bodies))))
    functions = {
        function.name: _function(function, titles[function.name], apply)
        for function in plan.functions
    }
    graph = _Main(plan, weights, functions, apply).graph()
    return ir.Model(
        graph,
        ir_version=IR_VERSION,
        producer_name="nasir",
        producer_version=__version__,
        functions=tuple(functions.values()),
        doc_string=f"A network for inference, by nasir {__version__}, in opset {OPSET}.",
        metadata_props=_metadata(plan.graph),
    )


def _titles(names: list[str]) -> dict[str, str]:
    """Returns the name of each function: ONNX Runtime joins it and the names inside by `_`.

    No title may be another with `_` and something behind it, but for a number.
    """
    body = OnnxBody()
    titles = {name: body.fresh(name) for name in names}
    for name, title in titles.items():
        others = (title.removeprefix(f"{other}_") for other in titles.values())
        if any(rest != title and not rest.isdecimal() for rest in others):
            titles[name] = body.fresh("function")
    return titles


def _metadata(graph: Graph) -> dict[str, str]:
    """The graph's origin. An edited graph has `edited` instead of a genotype."""
    facts = {"version": __version__, "opset": str(OPSET), "ir_version": str(IR_VERSION)}
    facts |= {name: value for name, value in graph.meta if value}
    return {f"{DOMAIN}.{visible(name)}": _encodable(text) for name, text in facts.items()}


def _encodable(text: str) -> str:
    """The text with escapes for halves of characters, which UTF-8 has not."""
    return text.encode("utf-8", "backslashreplace").decode()


def _application(functions: Mapping[Graph, str]) -> Apply:
    """Writes a body as a call of its function, or node by node where it has none."""

    def apply(
        body: OnnxBody, graph: Graph, inputs: Values, weights: Values, result: ir.Value
    ) -> None:
        if graph in functions:
            name = functions[graph]
            call = ir.Node(DOMAIN, name, [*inputs, *weights], outputs=[result], name=result.name)
            body.nodes.append(call)
            return
        values = {name: value for (name, _), value in zip(graph.inputs, inputs, strict=True)}
        refs = dict(zip((ref.key for ref in graph.params), weights, strict=True))
        for node in graph.nodes:
            last = node.name == graph.outputs[0]
            value = result if last else ir.Value(name=body.fresh(f"{result.name}/{node.name}"))
            emitter = OnnxEmitter(body, value, {}, apply)
            read = tuple(values[name] for name in node.inputs)
            values[node.name] = _emit(emitter, node, read, tuple(refs[r.key] for r in node.params))

    return apply


def _function(function: Function, title: str, apply: Apply) -> ir.Function:
    names = (*function.inputs, *function.params)
    body = OnnxBody()
    values = {name: ir.Value(name=body.fresh(name)) for name in names}
    weights = [values[name] for name in function.params]
    for step in function.steps:
        inputs = tuple(values[name] for name in step.inputs)
        params = tuple(weights[i] for i in step.params)
        result = ir.Value(name=body.fresh(re.sub(r"^(?=[\d_])", "n", step.name)))
        emitter = OnnxEmitter(body, result, dict(step.widths), apply)
        values[step.name] = _emit(emitter, step.node, inputs, params)
    graph = ir.Graph(
        [values[name] for name in names],
        [values[name] for name in function.outputs],
        nodes=body.nodes,
        opset_imports={"": OPSET},
        name=title,
    )
    formals = [ir.Attr(name, ir.AttributeType.INT, None) for name in body.formals]
    return ir.Function(DOMAIN, title, graph=graph, attributes=formals)


def _emit(
    emitter: OnnxEmitter, node: Node, inputs: tuple[ir.Value, ...], weights: tuple[ir.Value, ...]
) -> ir.Value:
    return RULES[node.op.name].emit(emitter, node.attrs, *inputs, *weights)


class _Main:
    """The main graph while it is written. Its names are the plan's, but for the outputs'."""

    def __init__(
        self,
        plan: Plan,
        weights: Mapping[str, Tensor],
        functions: Mapping[str, ir.Function],
        apply: Apply,
    ) -> None:
        self.plan = plan
        self.apply = apply
        self.functions = functions
        self.body = OnnxBody()
        self.inputs = [_value(self.body.fresh(name), type_) for name, type_ in plan.graph.inputs]
        self.outputs = tuple(map(self.body.fresh, output_names(plan.graph)))
        self.weights = {
            ref.key: _initializer(self.body.fresh(ref.key), ref, weights)
            for ref in plan.graph.params
        }
        self.values = {name: self.inputs[i] for i, (name, _) in enumerate(plan.graph.inputs)}

    def graph(self) -> ir.Graph:
        """The finished graph."""
        for step in self.plan.steps:
            if isinstance(step, Call):
                self._call(step)
            else:
                self._node(step)
        outputs = [
            self._output(source, name)
            for source, name in zip(self.plan.graph.outputs, self.outputs, strict=True)
        ]
        return ir.Graph(
            self.inputs,
            outputs,
            nodes=self.body.nodes,
            initializers=list(self.weights.values()),
            opset_imports={"": OPSET, DOMAIN: 1} if self.functions else {"": OPSET},
            name=visible(self.plan.graph.about.get("name", "")) or "network",
        )

    def _node(self, node: Node) -> None:
        inputs = tuple(self.values[name] for name in node.inputs)
        weights = tuple(self.weights[ref.key] for ref in node.params)
        emitter = OnnxEmitter(self.body, self._result(node.name), {}, self.apply)
        _emit(emitter, node, inputs, weights)

    def _call(self, call: Call) -> None:
        function = self.functions[call.function]
        formals = self.plan.function(call.function).widths
        widths = dict(zip(formals, call.widths, strict=True))
        node = ir.Node(
            DOMAIN,
            function.name,
            [
                *(self.values[name] for name in call.inputs),
                *(self.weights[ref.key] for ref in call.params),
            ],
            [ir.AttrInt64(name, widths[name]) for name in function.attributes],
            outputs=[self._result(name) for name in call.outputs],
            name=self.body.fresh(call.cell),
        )
        self.body.nodes.append(node)

    def _result(self, name: str) -> ir.Value:
        """The value for a node's result; a node that is an output has the output's name."""
        graph = self.plan.graph
        if name in graph.outputs:
            shown = self.outputs[graph.outputs.index(name)]
        else:
            shown = self.body.fresh(name)
        self.values[name] = _value(shown, graph.types[name])
        return self.values[name]

    def _output(self, source: str, name: str) -> ir.Value:
        """The output of that name; a copy if it is an input, or a value that is one already."""
        value = self.values[source]
        if value.name == name:
            return value
        copy = _value(name, self.plan.graph.types[source])
        return OnnxEmitter(self.body, copy, {}, self.apply).node("Identity", value)


def output_names(graph: Graph) -> tuple[str, ...]:
    """Returns the skeleton's names of the outputs, or else `logits`, `logits_2`, …."""
    names = tuple(graph.about.get("outputs", "").split())
    if len(names) == len(graph.outputs):
        return names
    return tuple(f"logits_{i + 1}" if i else "logits" for i in range(len(graph.outputs)))


def _value(name: str, type_: Type) -> ir.Value:
    kind = ir.DataType.INT64 if isinstance(type_, TokenType) else FLOAT
    return ir.Value(name=name, type=ir.TensorType(kind), shape=_shape(type_))


def _shape(type_: Type) -> ir.Shape:
    match type_:
        case ImageType(c, h, w):
            return ir.Shape(["batch", c, h, w])
        case SignalType(c, t):
            return ir.Shape(["batch", c, t])
        case SequenceType(c):
            return ir.Shape(["time", "batch", c])
        case TokenType():
            return ir.Shape(["time", "batch"])
        case VectorType(c):
            return ir.Shape(["batch", c])
        case WeightsType(options):
            return ir.Shape([options])


def _initializer(name: str, ref: ParamRef, weights: Mapping[str, Tensor]) -> ir.Value:
    tensor = resolve(ref, weights).detach()
    if tuple(tensor.shape) != ref.shape:
        raise NasirError(
            "E503",
            f"'{ref.key}' has shape {list(tensor.shape)}, the network's is {list(ref.shape)}",
        )
    array = tensor.to("cpu", torch.float32).contiguous().numpy()
    return ir.Value(name=name, const_value=ir.tensor(array, name=name))
