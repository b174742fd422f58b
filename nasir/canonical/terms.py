"""A cell as sums of terms, without what computes nothing: an op counts by its primitives alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from hashlib import sha256
from typing import Literal

from nasir.errors import LABEL_STEPS, Budget, NasirError
from nasir.genotype import CellGenotype, Combine
from nasir.node import Node
from nasir.ops import Macro, Op
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

Does = Callable[[Op, Strides], Behaviour]

Place = tuple[int, int]
"""An edge of a cell: the state of its node, and its slot there."""


_HINT = "a cell with fewer edges, or with fewer interchangeable ones, has an id"


class Terms:
    """The terms of a cell in an order in which each comes after what it reads.

    A term is an input, or an op applied to a sum. Ops without weights are terms by value: equal
    ones are one term. An op that has weights, or draws, is a term of its own for each edge, found
    at its place in `places`. `outputs` are the sums that leave the cell.
    """

    def __init__(self) -> None:
        self.labels: list[bytes] = []
        self.reads: list[Sum] = []
        self.places: list[Place | None] = []
        self.outputs: tuple[Sum, ...] = ()
        self.shared: dict[tuple[bytes, Sum], int] = {}
        self.budget = Budget(LABEL_STEPS, "the id", "steps", _HINT)

    def add(self, label: bytes, reads: Sum, place: Place | None) -> int:
        """A new term."""
        self.labels.append(label)
        self.reads.append(reads)
        self.places.append(place)
        return len(self.labels) - 1

    def add_shared(self, label: bytes, reads: Sum) -> int:
        """The term of an op without weights, which is there once."""
        number = self.shared.get((label, reads))
        if number is None:
            number = self.shared[label, reads] = self.add(label, reads, None)
        return number


def cell_terms(
    cell: CellGenotype, strides: Strides, known: Mapping[str, Op], does: Does = behaviour
) -> Terms:
    """The terms of a cell whose edges from its inputs have one of `strides`, all others 1.

    Identities are what they read, zeros leave sums, sums in sums are one sum, and a linear op
    without weights is applied to each term of a sum; a mean is a sum, each of whose terms is
    divided. Nodes must not be concatenations. `known` has the ops by name, and `does` says what one
    of them does on an edge.
    """
    assert cell.combine != "concat"
    terms = Terms()
    for number in range(cell.inputs):
        terms.add(_input_label(number), (), None)
    values: list[Sum] = [((number, 1),) for number in range(cell.inputs)]
    inputs, ops = cell.inputs, _behaviours(cell, strides, known, does)
    for state, edges in enumerate(cell.nodes, start=inputs):
        total: dict[int, int] = {}
        steps = len(edges)
        for slot, edge in enumerate(edges):
            op, value = ops[edge.op, edge.source < inputs], values[edge.source]
            steps += len(value)
            for term, count in _apply(terms, op, value, (state, slot)):
                total[term] = total.get(term, 0) + count
        terms.budget.spend(steps)
        value = tuple(sorted(total.items())) if len(total) > 1 else tuple(total.items())
        values.append(_divided(terms, value, len(edges)) if cell.combine == "mean" else value)
    terms.outputs = _joined(terms, [values[state] for state in cell.output], cell.join)
    return terms


def _divided(terms: Terms, value: Sum, count: int) -> Sum:
    """The value divided by a number of summands, term by term."""
    if count == 1:
        return value
    label = sha256(b"divided by %d" % count).digest()
    return tuple([(terms.add_shared(label, ((term, 1),)), times) for term, times in value])


def _joined(terms: Terms, values: list[Sum], join: Combine) -> tuple[Sum, ...]:
    """Results of the cell: values side by side, or their sum or mean."""
    if join == "concat" or len(values) == 1:
        return tuple(values)
    total: dict[int, int] = {}
    for term, count in (pair for value in values for pair in value):
        total[term] = total.get(term, 0) + count
    whole = tuple(sorted(total.items()))
    return (_divided(terms, whole, len(values)) if join == "mean" else whole,)


def _apply(terms: Terms, op: Behaviour, value: Sum, place: Place) -> Sum:
    kind = op.kind
    if kind == "identity":
        return value
    if kind == "zero":
        return ()
    if kind == "linear":
        return tuple([(terms.add_shared(op.label, ((t, 1),)), count) for t, count in value])
    label = op.label
    if not op.reads:
        value = ()
    elif not value:
        label = op.at_zero
        if not label:
            return ()
    if kind == "shared":
        return ((terms.add_shared(label, value), 1),)
    return ((terms.add(label, value, place), 1),)


def _behaviours(
    cell: CellGenotype, strides: Strides, known: Mapping[str, Op], does: Does
) -> dict[tuple[str, bool], Behaviour]:
    """Behaviours of the cell's ops, by name and by whether they read an input of the cell.

    Where some op changes the type, values of a cell differ in type, and a zero is not any zero:
    then zeros and draws count as ops like all others.
    """
    found: dict[tuple[str, bool], Behaviour] = {}
    regular = True
    for edges in cell.nodes:
        for edge in edges:
            name, first = key = edge.op, edge.source < cell.inputs
            if key not in found:
                op = known.get(name) or find_op(name, known)
                found[key] = does(op, strides if first else (1,))
                regular = regular and found[key].regular
    if regular:
        return found
    return {key: op.opaque for key, op in found.items()}


def _input_label(number: int) -> bytes:
    return sha256(b"input %d" % number).digest()
