"""A cell as sums of terms, everything that computes nothing left out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from nasir.canonical.behaviour import Behaviour, Strides, behaviour
from nasir.genotype import CellGenotype, Combine
from nasir.limits import LABEL_STEPS, Budget
from nasir.ops import Op
from nasir.template import find_op

Sum = tuple[tuple[int, int], ...]
"""Terms by number, each with how often it is added, in the order of the numbers; () is zero."""

Does = Callable[[Op, Strides], Behaviour]

Place = tuple[int, int]
"""An edge of a cell: the state of its node, and its slot there."""


_HINT = "a cell with fewer edges, or with fewer interchangeable ones, has an id"


@dataclass(slots=True)
class Terms:
    """The terms of a cell in an order in which each comes after what it reads.

    A term is an input, or an op applied to a sum. Ops without weights are terms by value: equal
    ones are one term. An op that has weights, or draws, is a term of its own for each edge, found
    at its place in `places`. `outputs` are the sums that leave the cell.
    """

    labels: list[bytes] = field(default_factory=list[bytes])
    reads: list[Sum] = field(default_factory=list[Sum])
    places: list[Place | None] = field(default_factory=list["Place | None"])
    outputs: tuple[Sum, ...] = ()
    shared: dict[tuple[bytes, Sum], int] = field(default_factory=dict[tuple[bytes, Sum], int])
    budget: Budget = field(default_factory=lambda: Budget(LABEL_STEPS, "the id", "steps", _HINT))

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
    """What leaves the cell: values side by side, or their sum or mean."""
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
    """What the cell's ops do, by name and by whether they read an input of the cell.

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
