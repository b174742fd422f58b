"""What an op on an edge computes, read off its primitives: their traits and wiring, never names."""

from dataclasses import dataclass, replace
from functools import cache, lru_cache
from hashlib import sha256
from typing import Literal

from nasir.errors import NasirError
from nasir.node import Node
from nasir.ops import Macro, Op
from nasir.template import Template, make_attrs, template
from nasir.types import ImageType

Strides = tuple[int, ...]
"""The strides at which an edge may stand: what is said of an op holds at each."""

Kind = Literal["zero", "identity", "linear", "shared", "own"]
"""`linear`: without weights, and linear; `shared`: without weights; `own`: has weights or draws."""

_EXAMPLES = (ImageType(8, 16, 16), ImageType(24, 20, 12))
"""Two ops are the same if they are on all of these."""

_INPUT, _ZERO = -1, -2


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What an op does to a value, and to zero.

    `label` is equal for two ops exactly when they consist of the same primitives. Of zero an op
    makes zero where `at_zero` is empty, and otherwise what that label says. `reads`: whether the
    input's values matter; `regular`: whether the result has the input's type but for the stride.
    """

    kind: Kind
    label: bytes
    at_zero: bytes
    reads: bool
    regular: bool

    @property
    def opaque(self) -> "Behaviour":
        """The same without what holds only among values of one type: zeros and blindness."""
        return replace(self, kind="shared" if self.kind == "zero" else self.kind, reads=True)


@lru_cache(1 << 14)
def behaviour(op: Op, strides: Strides) -> Behaviour:
    """What an op on an edge of one of these strides does. Raises an error for what is none."""
    if not isinstance(op, Macro):
        raise NasirError("E201", f"'{op.name}' is no op for an edge")
    macro = op
    found = [_Reading.of(macro, stride, type_) for stride in strides for type_ in _EXAMPLES]
    if not any(reading.fits for reading in found):
        name = f"{macro.name} {macro.definition}"
        return Behaviour("own", _digest([name]), _digest([name, "zero"]), reads=True, regular=False)
    zero = [reading.at_zero for reading in found]
    return Behaviour(
        kind=_common([reading.kind for reading in found if reading.fits]),
        label=_digest([reading.text for reading in found]),
        at_zero=_digest(zero) if any(zero) else b"",
        reads=any(reading.reads for reading in found),
        regular=all(reading.regular for reading in found),
    )


@cache
def highway(op: Op, strides: Strides) -> Behaviour:
    """What a recurrent cell's edge with that activation f does: p + σ(c)·(f(h) − p), (c, h) = p·W.

    DARTS, arXiv:1806.09055. It has the weight W whatever f is, the identity too; of zero it makes
    zero where f does, since p·W has no bias.
    """
    del strides
    if isinstance(op, Macro) and op.on_edge:
        return behaviour(op, (1,))  # `none`, which has no highway around it
    keeps = "keeps_zero" in op.traits or isinstance(op, Macro)
    at_zero = b"" if keeps else _digest([f"highway {op.name} of zero"])
    return Behaviour("own", _digest([f"highway {op.name}"]), at_zero, reads=True, regular=True)


def _common(kinds: list[Kind]) -> Kind:
    """What holds at every stride and type."""
    if len(set(kinds)) == 1:
        return kinds[0]
    return "own" if "own" in kinds else "shared"


def _digest(texts: list[str]) -> bytes:
    return sha256("\n\n".join(texts).encode()).digest()


@dataclass(frozen=True, slots=True)
class _Reading:
    """One op at one stride and type: its kind, and its primitives as text, also of zero."""

    kind: Kind
    text: str
    at_zero: str
    reads: bool
    regular: bool
    fits: bool = True

    @staticmethod
    def of(macro: Macro, stride: int, type_: ImageType) -> "_Reading":
        """The reading. An op that does not take the type says so in its text."""
        try:
            spelled = template(macro, make_attrs(macro, {"stride": stride}), (type_,))
        except NasirError as error:
            text = f"{error.code} at {stride} {type_}"
            return _Reading("own", text, text, reads=True, regular=False, fits=False)
        like = replace(type_, h=-(-type_.h // stride), w=-(-type_.w // stride))
        of_value, of_zero = _Flow(spelled, _INPUT), _Flow(spelled, _ZERO)
        return _Reading(
            of_value.kind, of_value.text, of_zero.text, of_value.reads, spelled.type == like
        )


class _Flow:
    """The primitives through which an input, or zero, gets to a macro's result."""

    def __init__(self, spelled: Template, start: int) -> None:
        self.nodes: list[tuple[Node, tuple[int, ...]]] = []
        values = {"%0": start}
        for node in spelled.nodes:
            values[node.name] = self.add(node, [values[name] for name in node.inputs])
        self.output = values[spelled.output]
        self.live = self.find_live()

    def add(self, node: Node, inputs: list[int]) -> int:
        """The value of a node: an earlier one, zero, or the node's own."""
        if node.has("sum"):
            inputs = [value for value in inputs if value != _ZERO]
        if node.has("zero") or (_keeps_zero(node) and all(value == _ZERO for value in inputs)):
            return _ZERO
        if len(inputs) == 1 and (node.has("sum") or node.has("join")):
            return inputs[0]
        self.nodes.append((node, () if node.has("blind") else tuple(inputs)))
        return len(self.nodes) - 1

    def find_live(self) -> list[int]:
        """The nodes that the output needs, in order."""
        wanted = {self.output}
        for index in range(len(self.nodes) - 1, -1, -1):
            if index in wanted:
                wanted.update(self.nodes[index][1])
        return sorted(index for index in wanted if index >= 0)

    @property
    def kind(self) -> Kind:
        """What the whole does."""
        if self.output < 0:
            return "zero" if self.output == _ZERO else "identity"
        nodes = [self.nodes[index][0] for index in self.live]
        if any(node.params or node.has("random") for node in nodes):
            return "own"
        return "linear" if all(node.has("linear") for node in nodes) else "shared"

    @property
    def reads(self) -> bool:
        """Whether the input gets to the result at all."""
        return self.output == _INPUT or any(_INPUT in self.nodes[index][1] for index in self.live)

    @property
    def text(self) -> str:
        """The live primitives with attributes, shapes and wiring; empty for zero."""
        if self.output == _ZERO:
            return ""
        place = {_INPUT: "input", _ZERO: "zero"}
        lines: list[str] = []
        for number, index in enumerate(self.live):
            node, inputs = self.nodes[index]
            # Without what is at its default, so that an op can get an attribute more.
            attrs = sorted(node.attrs.model_dump(exclude_defaults=True).items())
            shapes = [param.shape for param in node.params]
            reads = [place[value] for value in inputs]
            lines.append(f"{node.op.name} {attrs} {shapes} {reads}")
            place[index] = str(number)
        return "\n".join([*lines, place[self.output]])


def _keeps_zero(node: Node) -> bool:
    """Whether the node makes zero of zero, whatever its weights."""
    biased = any(param.name == "bias" for param in node.params)
    return node.has("keeps_zero") or (node.has("linear") and not biased)
