"""A cell as sums of terms, without what computes nothing: an op counts by its primitives alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from hashlib import sha256
from typing import Literal

from nasir.errors import LABEL_STEPS, Budget, NasirError
from nasir.node import Node
from nasir.ops import Macro, Op
from nasir.space.decisions import CellGenotype
from nasir.template import Template, find_op, make_attrs, template
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
    """Effect of an op on a value, and on zero.

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
        """The behaviour without what holds only among values of one type: zeros and blindness."""
        return replace(self, kind="shared" if self.kind == "zero" else self.kind, reads=True)


@lru_cache(1 << 14)
def behaviour(op: Op, strides: Strides) -> Behaviour:
    """Behaviour of an op on an edge of one of these strides. Raises an error for what is none."""
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
    """Behaviour of a recurrent edge with the activation f: p + σ(c)·(f(h) − p), (c, h) = p·W.

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
    """The behaviour that holds at every stride and type."""
    if len(set(kinds)) == 1:
        return kinds[0]
    return "own" if "own" in kinds else "shared"


def _digest(texts: list[str]) -> bytes:
    return sha256("\n\n".join(texts).encode()).digest()


@dataclass(frozen=True, slots=True)
class _Reading:
    """An op at a stride and type: its kind, and its primitives as text, also for zeros."""

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
        """Behaviour of the whole."""
        if self.output < 0:
            return "zero" if self.output == _ZERO else "identity"
        nodes = [self.nodes[index][0] for index in self.live]
        if any(node.params or node.has("random") for node in nodes):
            return "own"
        return "linear" if all(node.has("linear") for node in nodes) else "shared"

    @property
    def reads(self) -> bool:
        """True if the input gets to the result at all."""
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
    """True if the node makes zero of zero, whatever its weights."""
    biased = any(param.name == "bias" for param in node.params)
    return node.has("keeps_zero") or (node.has("linear") and not biased)


Sum = tuple[tuple[int, int], ...]
"""Terms by number, each with how often it is added, in the order of the numbers; () is zero."""

Place = tuple[int, int]
"""An edge of a cell: the state of its node, and its slot there."""

Does = Callable[[Op, Strides], Behaviour]

HINT = "a cell with fewer edges, or with fewer interchangeable ones, has an id"


class Behaviours(dict[tuple[str, bool], Behaviour]):
    """Behaviours of ops, by name and by whether they read an input of the cell; found when asked.

    Edges from inputs have one of `strides`, all others 1. `known` has the ops by name, and `does`
    says what one of them does on an edge. `regular`: whether all that were asked for are.
    """

    def __init__(self, strides: Strides, known: Mapping[str, Op], does: Does = behaviour) -> None:
        self.strides, self.known, self.does = strides, known, does
        self.regular = True

    def __missing__(self, key: tuple[str, bool]) -> Behaviour:
        name, first = key
        op = self.known.get(name) or find_op(name, self.known)
        found = self[key] = self.does(op, self.strides if first else (1,))
        self.regular = self.regular and found.regular
        return found


Term = tuple[bytes, Sum, Place | None]
"""A label, what it reads, and the edge that an op with weights, or one that draws, is on."""


class Terms:
    """The terms of a cell in an order in which each comes after what it reads.

    A term is an input, or an op applied to a sum. Ops without weights are terms by value: equal
    ones are one term. An op that has weights, or draws, is a term of its own for each edge.
    `outputs` are the sums that leave the cell.
    """

    def __init__(self, inputs: int) -> None:
        self.rows = list(_inputs(inputs))
        self.outputs: tuple[Sum, ...] = ()
        self.shared: dict[tuple[bytes, Sum], int] = {}
        self.budget = Budget(LABEL_STEPS, "the id", "steps", HINT)

    def add(self, label: bytes, reads: Sum, place: Place | None = None) -> int:
        """The number of a term; one without a place, an op without weights, is there once."""
        number = None if place else self.shared.get((label, reads))
        if number is not None:
            return number
        number = len(self.rows)
        self.rows.append((label, reads, place))
        if not place:
            self.shared[label, reads] = number
        return number

    def each(self, label: bytes, value: Sum) -> Sum:
        """A linear op without weights, applied to each term of a sum."""
        return tuple([(self.add(label, ((term, 1),)), count) for term, count in value])

    def divided(self, value: Sum, count: int) -> Sum:
        """The value divided by a number of summands, term by term."""
        return self.each(sha256(b"divided by %d" % count).digest(), value) if count > 1 else value

    def apply(self, op: Behaviour, value: Sum, place: Place) -> Sum:
        """What an op on an edge makes of a value."""
        kind, label = op.kind, op.label
        if kind == "identity":
            return value
        if kind == "zero":
            return ()
        if kind == "linear":
            return self.each(label, value)
        if not op.reads:
            value = ()
        elif not value:
            label = op.at_zero
            if not label:
                return ()
        return ((self.add(label, value, None if kind == "shared" else place), 1),)


def cell_terms(cell: CellGenotype, ops: Behaviours) -> Terms:
    """The terms of a cell.

    Identities are what they read, zeros leave sums, sums in sums are one sum, and a linear op
    without weights is applied to each term of a sum; a mean is a sum, each of whose terms is
    divided. Nodes must not be concatenations.

    Where some op changes the type, values of a cell differ in type, and a zero is not any zero:
    then zeros and draws count as ops like all others.
    """
    assert cell.combine != "concat"
    terms = _terms(cell, ops)
    if not ops.regular:
        edges = (edge for edges in cell.nodes for edge in edges)
        if not all(ops[edge.op, edge.source < cell.inputs].regular for edge in edges):
            return _terms(cell, {key: op.opaque for key, op in ops.items()})
    return terms


def _terms(cell: CellGenotype, ops: Mapping[tuple[str, bool], Behaviour]) -> Terms:
    inputs = cell.inputs
    terms = Terms(inputs)
    rows = terms.rows
    values: list[Sum] = [((number, 1),) for number in range(inputs)]
    for state, edges in enumerate(cell.nodes, start=inputs):
        total: dict[int, int] = {}
        steps = len(edges)
        for slot, edge in enumerate(edges):
            source = edge.source
            op, value = ops[edge.op, source < inputs], values[source]
            steps += len(value)
            if value and op.kind == "own" and op.reads:  # most edges: nothing to look up
                total[len(rows)] = 1
                rows.append((op.label, value, (state, slot)))
                continue
            for term, count in terms.apply(op, value, (state, slot)):
                total[term] = total.get(term, 0) + count
        terms.budget.spend(steps)
        value = tuple(sorted(total.items())) if len(total) > 1 else tuple(total.items())
        values.append(terms.divided(value, len(edges)) if cell.combine == "mean" else value)
    leaving = [values[state] for state in cell.output]
    if cell.join == "concat" or len(leaving) == 1:
        terms.outputs = tuple(leaving)
    else:
        total = {}
        for term, count in (pair for value in leaving for pair in value):
            total[term] = total.get(term, 0) + count
        whole = tuple(sorted(total.items()))
        terms.outputs = (terms.divided(whole, len(leaving)) if cell.join == "mean" else whole,)
    return terms


@cache
def _inputs(count: int) -> tuple[Term, ...]:
    return tuple((sha256(b"input %d" % number).digest(), (), None) for number in range(count))
