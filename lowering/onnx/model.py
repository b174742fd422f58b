"""Makes ONNX models of graphs in memory: functions, calls, initializers and metadata.

`OPSET`, 21 (IR version 10) is the newest in which onnxruntime 1.32 has a kernel for every op that
the rules emit: from opset 22 on it has none for RandomNormalLike.
"""

import re
from collections.abc import Mapping

import onnx_ir as ir
import torch
from torch import Tensor

from lowering.onnx import layers
from lowering.onnx.rule import OPSETS, Dialect, Emit, OnnxBody, OnnxEmitter, Values
from lowering.plan import Function
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
from nasir.errors import visible
from nasir.graph import body_of
from nasir.node import Node
from nasir.ops import Op, ParamRef
from nasir.ops.fused import CALL
from nasir.table import Table
from nasir.types import TokenType, WeightsType

DOMAIN = "nasir"
"""The domain of the functions, and the prefix of the metadata."""

FLOAT = ir.DataType.FLOAT

RULES = Table.of(layers.RULES, "onnx")
"""Rules of the primitives, by name."""


def make_model(
    graph: Graph,
    weights: Mapping[str, Tensor],
    dialect: Dialect,
    stand_ins: tuple[Function, ...] = (),
) -> ir.Model:
    """The model for inference; every value of its main graph has a shape.

    `stand_ins` are the functions of bodies that nodes apply; other bodies are written where they
    are applied. `weights` are found by the keys of the graph's parameters.
    """
    functions = _Functions(stand_ins, dialect)
    main = _Main(graph, weights, functions).graph()
    return ir.Model(
        main,
        ir_version=OPSETS[dialect.opset],
        producer_name="nasir",
        producer_version=__version__,
        functions=tuple(functions.made.values()),
        doc_string=f"A network for inference, by nasir {__version__}, in opset {dialect.opset}.",
        metadata_props=_metadata(graph, dialect),
    )


def _titles(names: list[str]) -> dict[str, str]:
    """Returns the name of each function: ONNX Runtime joins it and the names inside by `_`.

    No title may be another with `_` and something behind it, but for a number.
    """
    body = OnnxBody(Dialect())
    titles = {name: body.fresh(name) for name in names}
    for name, title in titles.items():
        others = (title.removeprefix(f"{other}_") for other in titles.values())
        if any(rest != title and not rest.isdecimal() for rest in others):
            titles[name] = body.fresh("function")
    return titles


def _metadata(graph: Graph, dialect: Dialect) -> dict[str, str]:
    """The graph's origin. An edited graph has `edited` instead of a genotype."""
    opset, ir_version = str(dialect.opset), str(OPSETS[dialect.opset])
    facts = {"version": __version__, "opset": opset, "ir_version": ir_version}
    facts |= {name: "yes" for name in ("dynamic", "half") if getattr(dialect, name)}
    facts |= {name: value for name, value in graph.meta if value}
    return {f"{DOMAIN}.{visible(name)}": _encodable(text) for name, text in facts.items()}


def _encodable(text: str) -> str:
    """The text with escapes for halves of characters, which UTF-8 has not."""
    return text.encode("utf-8", "backslashreplace").decode()


class _Functions:
    """The functions of a model, and the application of bodies."""

    def __init__(self, functions: tuple[Function, ...], dialect: Dialect) -> None:
        self.dialect = dialect
        self.by_body = {body: function for function in functions for body in function.values}
        self.titles = _titles([function.name for function in functions])
        self.made: dict[str, ir.Function] = {}
        for function in functions:
            self.made[function.name] = self._function(function)

    def apply(
        self,
        body: OnnxBody,
        graph: Graph,
        inputs: Values,
        weights: Values,
        result: ir.Value,
        name: str = "",
    ) -> None:
        """Writes a graph as a call of its function, or node by node where it has none.

        `name` is that of the call, and else that of the result.
        """
        function = self.by_body.get(graph)
        if function is None:
            self._write(body, graph, (inputs, weights), result, f"{result.name}/", {})
            return
        made, widths = self.made[function.name], function.values[graph]
        attributes = [ir.AttrInt64(formal, widths[formal]) for formal in made.attributes]
        call = ir.Node(DOMAIN, made.name, [*inputs, *weights], attributes, outputs=[result])
        call.name = body.fresh(name) if name else result.name
        body.nodes.append(call)

    def _function(self, function: Function) -> ir.Function:
        graph, title, body = function.body, self.titles[function.name], OnnxBody(self.dialect)
        inputs = tuple(ir.Value(name=body.fresh(name)) for name, _ in graph.inputs)
        weights = tuple(ir.Value(name=body.fresh(ref.key)) for ref in graph.params)
        result = ir.Value(name=body.fresh(_initial(graph.outputs[0])))
        self._write(body, graph, (inputs, weights), result, "", function.widths)
        imports = {"": self.dialect.opset}
        made = ir.Graph(
            [*inputs, *weights], [result], nodes=body.nodes, opset_imports=imports, name=title
        )
        formals = [ir.Attr(name, ir.AttributeType.INT, None) for name in body.formals]
        return ir.Function(DOMAIN, title, graph=made, attributes=formals)

    def _write(
        self,
        body: OnnxBody,
        graph: Graph,
        given: tuple[Values, Values],
        result: ir.Value,
        prefix: str,
        widths: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Writes the nodes of a graph of one output, which are named with that prefix."""
        inputs, weights = given
        values = dict(zip((name for name, _ in graph.inputs), inputs, strict=True))
        refs = dict(zip((ref.key for ref in graph.params), weights, strict=True))
        for node in graph.nodes:
            value = result
            if node.name != graph.outputs[0]:
                value = ir.Value(name=body.fresh(_initial(f"{prefix}{node.name}")))
            emitter = OnnxEmitter(body, value, widths.get(node.name, {}), self.apply)
            read = (values[name] for name in node.inputs)
            params = (refs[ref.key] for ref in node.params)
            rule = find_rule(node.op, self.dialect)
            values[node.name] = rule(emitter, node.attrs, *read, *params)


def find_rule(op: Op, dialect: Dialect) -> Emit:
    """The rule of an op. Raises an error if there is none, or none in that opset."""
    if op.name not in RULES:
        raise NasirError("E306", f"ONNX has no rule for the op '{op.name}'")
    dialect.check(op.name)
    return RULES[op.name]


def _initial(name: str) -> str:
    """The name with a letter at its beginning."""
    return re.sub(r"^(?=[\d_])", "n", name)


class _Main:
    """The main graph while it is written. Its names are the graph's, but for the outputs'."""

    def __init__(self, graph: Graph, weights: Mapping[str, Tensor], functions: _Functions) -> None:
        self.source = graph
        self.functions = functions
        self.dialect = functions.dialect
        self.body = OnnxBody(self.dialect)
        self.inputs = [
            _value(
                self.body.fresh(name), type_, ("height", "width") if self.dialect.dynamic else ()
            )
            for name, type_ in graph.inputs
        ]
        self.outputs = tuple(map(self.body.fresh, output_names(graph)))
        self.weights = {
            ref.key: _initializer(self.body.fresh(ref.key), ref, weights, self.dialect)
            for ref in graph.params
        }
        names = (name for name, _ in graph.inputs)
        self.values = dict(zip(names, map(self._taken, self.inputs), strict=True))

    def graph(self) -> ir.Graph:
        """The finished graph."""
        for node in self.source:
            self._node(node)
        outputs = [
            self._output(source, name)
            for source, name in zip(self.source.outputs, self.outputs, strict=True)
        ]
        return ir.Graph(
            self.inputs,
            outputs,
            nodes=self.body.nodes,
            initializers=list(self.weights.values()),
            opset_imports={"": self.dialect.opset, **({DOMAIN: 1} if self.functions.made else {})},
            name=visible(self.source.about.get("name", "")) or "network",
        )

    def _node(self, node: Node) -> None:
        inputs = tuple(self.values[name] for name in node.inputs)
        weights = tuple(self.weights[ref.key] for ref in node.params)
        result = self._result(node.name)
        body = body_of(node)
        if node.op is CALL and body:
            name = node.cell.name if node.cell else ""
            self.functions.apply(self.body, body, inputs, weights, result, name)
            return
        emitter = OnnxEmitter(self.body, result, {}, self.functions.apply)
        rule = find_rule(node.op, self.dialect)
        rule(emitter, node.attrs, *inputs, *weights)

    def _taken(self, value: ir.Value) -> ir.Value:
        """An input in the type of the model's values."""
        if not self.dialect.half or value.dtype != FLOAT:
            return value
        half = ir.Value(name=self.body.fresh(f"{value.name}.half"), shape=value.shape)
        half.type = ir.TensorType(self.dialect.floats)
        emitter = OnnxEmitter(self.body, half, {}, self.functions.apply)
        return emitter.node("Cast", value, to=self.dialect.floats)

    def _value(self, name: str, type_: Type) -> ir.Value:
        """A value in between; in a dynamic model, images have an unknown height and width."""
        kind, sides = self.dialect.floats, (None, None) if self.dialect.dynamic else ()
        return _value(name, type_, sides, kind)

    def _result(self, name: str) -> ir.Value:
        """The value for a node's result; a node that is an output has the output's name."""
        if name in self.source.outputs and not self.dialect.half:
            shown = self.outputs[self.source.outputs.index(name)]
        else:
            shown = self.body.fresh(name)
        self.values[name] = self._value(shown, self.source.types[name])
        return self.values[name]

    def _output(self, source: str, name: str) -> ir.Value:
        """The output of that name; a copy if it is an input, in half, or an output already."""
        value = self.values[source]
        if value.name == name:
            return value
        copy = self._value(name, self.source.types[source])
        emitter = OnnxEmitter(self.body, copy, {}, self.functions.apply)
        if not self.dialect.half or value.dtype == ir.DataType.INT64:
            return emitter.node("Identity", value)
        copy.type = ir.TensorType(FLOAT)
        return emitter.node("Cast", value, to=FLOAT)


def output_names(graph: Graph) -> tuple[str, ...]:
    """Returns the skeleton's names of the outputs, or else `logits`, `logits_2`, …."""
    names = graph.words("outputs")
    if len(names) == len(graph.outputs):
        return names
    return tuple(f"logits_{i + 1}" if i else "logits" for i in range(len(graph.outputs)))


Sides = tuple[str | None, ...]


def _value(name: str, type_: Type, sides: Sides = (), kind: ir.DataType = FLOAT) -> ir.Value:
    """A value; `sides` are the height and width of images, if they are not the type's."""
    kind = ir.DataType.INT64 if isinstance(type_, TokenType) else kind
    return ir.Value(name=name, type=ir.TensorType(kind), shape=_shape(type_, sides))


def _shape(type_: Type, sides: Sides) -> ir.Shape:
    match type_:
        case ImageType(c, h, w):
            return ir.Shape(["batch", c, *(sides or (h, w))])
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


def _initializer(
    name: str, ref: ParamRef, weights: Mapping[str, Tensor], dialect: Dialect
) -> ir.Value:
    tensor = resolve(ref, weights).detach()
    if tuple(tensor.shape) != ref.shape:
        raise NasirError(
            "E503",
            f"'{ref.key}' has shape {list(tensor.shape)}, the network's is {list(ref.shape)}",
        )
    array = tensor.to("cpu", torch.float32).contiguous().numpy().astype(dialect.floats.numpy())
    return ir.Value(name=name, const_value=ir.tensor(array, name=name))
