"""Rules that write one primitive in ONNX."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from nasir import Graph, NasirError
from nasir.errors import visible

Values = tuple[ir.Value, ...]

END = (1 << 63) - 1
"""ONNX's end index for the end of an axis."""

Emit = Callable[..., ir.Value]
"""A primitive's rule: (emitter, attributes, *inputs, *weights in the op's order) -> the result."""

OPSETS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10}
"""The opsets that can be written, and the IR version that came with each."""

SINCE = {"pad": 18, "chunk": 18}
"""The first opset that can express an op: its axes, its number of parts."""

OPSET = max(OPSETS)
IR_VERSION = OPSETS[OPSET]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a model is written: its opset, whether images have any height and width, its floats."""

    opset: int = OPSET
    dynamic: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        if self.opset not in OPSETS:
            message = f"the opset is {min(OPSETS)} to {OPSET}, not {self.opset}"
            raise NasirError("E505", message)

    @property
    def floats(self) -> ir.DataType:
        """The type of weights and values; inputs and outputs of the model are float32."""
        return ir.DataType.FLOAT16 if self.half else ir.DataType.FLOAT

    def check(self, op: str) -> None:
        """Raises an error for an op that this opset cannot express."""
        since = SINCE.get(op, self.opset)
        if self.opset < since:
            message = f"the op '{op}' needs opset {since}, not {self.opset}"
            raise NasirError("E505", message, hint=f"opset {since} or newer")


Attribute = int | float | str | Sequence[int] | ir.Attr | ir.TensorProtocol


class OnnxBody:
    """The nodes of a graph or of a function while they are written; mutable, names unique."""

    def __init__(self, dialect: Dialect, reserved: Iterable[str] = ()) -> None:
        self.dialect = dialect
        self.nodes: list[ir.Node] = []
        self.formals: dict[str, None] = {}
        self._taken = set(reserved)

    def inner(self) -> "OnnxBody":
        """The nodes of a graph inside this one, whose names differ from all names here."""
        inside = OnnxBody(self.dialect)
        inside.formals, inside._taken = self.formals, self._taken
        return inside

    def fresh(self, name: str) -> str:
        """The name as it prints, with a number behind it if it is taken."""
        name = visible(name)
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name}_{number}"
        self._taken.add(free)
        return free


Apply = Callable[[OnnxBody, Graph, Values, Values, ir.Value], None]
"""(where to write, a graph, its inputs, its weights, the value to compute)."""


@dataclass(frozen=True, slots=True)
class OnnxEmitter:
    """Writes one primitive. What leads to its result is called `<result>.<part>`.

    `result` is the value to compute; `widths` maps the attributes that differ between calls of
    the function to its formal integers; `apply` writes the application of a graph.
    """

    body: OnnxBody
    result: ir.Value
    widths: Mapping[str, str]
    apply: "Apply"

    def node(self, op: str, *inputs: ir.Value | None, **attributes: Attribute) -> ir.Value:
        """The ONNX node that computes the result."""
        return self._append(op, inputs, attributes, self.result)

    def part(
        self, part: str, op: str, *inputs: ir.Value | None, **attributes: Attribute
    ) -> ir.Value:
        """An ONNX node on the way to the result."""
        name = self.body.fresh(f"{self.result.name}.{part}")
        return self._append(op, inputs, attributes, ir.Value(name=name))

    def integers(self, part: str, *numbers: int) -> ir.Value:
        """A constant vector of int64."""
        return self.part(part, "Constant", value=ir.tensor(np.array(numbers, dtype=np.int64)))

    def floats(self, number: float, *shape: int) -> ir.TensorProtocol:
        """A tensor of that number in the type of the model's values."""
        return ir.tensor(np.full(shape, number, dtype=self.body.dialect.floats.numpy()))

    def width(self, name: str, attribute: str, number: int) -> ir.Attr:
        """The ONNX attribute `name` for the primitive's: a number, or the formal it stands for."""
        formal = self.widths.get(attribute)
        if formal is None:
            return ir.AttrInt64(name, number)
        self.body.formals[formal] = None
        return ir.RefAttr(name, formal, ir.AttributeType.INT)

    def _append(
        self,
        op: str,
        inputs: tuple[ir.Value | None, ...],
        attributes: Mapping[str, Attribute],
        output: ir.Value,
    ) -> ir.Value:
        self.body.nodes.append(ir.node(op, inputs, attributes, outputs=[output], name=output.name))
        return output
