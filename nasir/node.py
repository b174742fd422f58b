"""A node of a graph: an op, its inputs, its weights, and its decision; their values as text."""

import json
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast, get_args

from pydantic.fields import FieldInfo

from nasir.errors import NOWHERE, Where
from nasir.ops import Attrs, Body, BodyAttrs, Op, ParamRef, ParamSpec

_INHERITED = ("random", "stateful")
"""Traits that a node inherits from the nodes of its body."""


ChoiceKind = Literal["op on edge", "op on node", "edge into node", "input", "output", "size"]

_SLOTS: dict[ChoiceKind, tuple[str, re.Pattern[str]]] = {
    "op on edge": ("n{0.node}.e{0.source}", re.compile(r"n([0-9]{1,4})\.e([0-9]{1,4})")),
    "op on node": ("n{0.node}", re.compile(r"n([0-9]{1,4})")),
    "edge into node": ("n{0.node}", re.compile(r"n([0-9]{1,4})")),
    "input": ("n{0.node}.in", re.compile(r"n([0-9]{1,4})\.in")),
    "output": ("out", re.compile(r"out")),
    "size": ("{0.name}", re.compile(r"(?!)")),
}
"""Formats and patterns of the slots of each role within their kind of cell."""

MIXED = "*"
"""The option of a slot at nodes that mix its options."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The address of a decision in a kind of cell: the op of an edge or node, or its sources.

    Printed as the name of the supernet's choice: `normal/n2.e0`, `normal/n2`, `cell/n2.in`,
    `cell/out`. A node's op and the edges into it print alike and differ in role. Numbers of the
    skeleton's size have names such as `skeleton/stage1`; they are no choices of a supernet.
    """

    kind: str
    role: ChoiceKind
    node: int = 0
    source: int = 0
    name: str = field(default="", kw_only=True)

    @property
    def local(self) -> str:
        """The slot's name within the kind of cell: `n2.e0`."""
        return _SLOTS[self.role][0].format(self)

    def __str__(self) -> str:
        return f"{self.kind}/{self.local}"

    @classmethod
    def parse(cls, name: str, *roles: ChoiceKind) -> "Slot":
        """The slot of that name, with the first fitting role of `roles` (default: all).

        Raises ValueError if none fits.
        """
        kind, _, rest = name.rpartition("/")
        for role in roles or _SLOTS:
            found = _SLOTS[role][1].fullmatch(rest)
            slot = found and cls(kind, role, *map(int, found.groups()))
            if slot and str(slot) == name:
                return slot
        raise ValueError(f"{name} is not the name of a choice")


@dataclass(frozen=True, slots=True)
class Cell:
    """The cell instance that a node belongs to: its kind (`normal`) and its name (`c03`)."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Step = tuple[Slot, str]
"""A slot, and the option that a node is part of: MIXED at the mixture, "" for none."""


@dataclass(frozen=True, slots=True)
class At:
    """The place of a node: a cell instance, and a slot in it.

    The first step is a slot of the instance's kind; an option that is a cell itself brings the
    next one. Equal options of one slot are numbered: `sep_conv_3x3`, `sep_conv_3x3#2`. A layer that
    makes an input of the cell from an earlier value has the slot of that state's input.
    """

    cell: Cell
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        steps = (f", {slot.role} {slot}{op and f': {op}'}" for slot, op in self.steps)
        return f"{self.cell}{''.join(steps)}"

    @property
    def slot(self) -> Slot | None:
        """The innermost slot."""
        return self.steps[-1][0] if self.steps else None

    @property
    def op(self) -> str:
        """The option of the innermost slot."""
        return self.steps[-1][1] if self.steps else ""

    @property
    def before(self) -> bool:
        """True where an input of the cell is made."""
        return bool(self.steps) and self.steps[0][0].role == "input" and self.op not in ("", MIXED)

    @property
    def local(self) -> str:
        """The name of the place within the cell instance: `n2.e0/sep_conv_3x3`."""
        steps = ((slot.local, op if op != MIXED else "") for slot, op in self.steps)
        return "/".join(word for step in steps for word in step if word)

    @property
    def name(self) -> str:
        """The name of a node that stands there alone: `c00/n2.e0/sep_conv_3x3`."""
        return below(self.cell.name, self.local)

    def option(self, op: str) -> "At":
        """The place of another option of the slot."""
        return replace(self, steps=(*self.steps[:-1], (self.steps[-1][0], op)))


def plain_op(option: str) -> str:
    """The op of an option: equal ones of a slot are numbered."""
    return option.partition("#")[0]


def twin_option(op: str, number: int) -> str:
    """The option of that number, from 1, among equal ones of a slot: `plain_op` inverts it."""
    return f"{op}#{number}" if number > 1 else op


def below(outer: str, name: str) -> str:
    """The name, or the key, of what stands in something of another name: `c03/pre0/bn`."""
    return f"{outer}/{name}" if outer else name


def inside(name: str, outer: str) -> str:
    """The name within what it stands in, or "" where it does not: `below` inverts it."""
    return name.removeprefix(start) if name.startswith(start := below(outer, "")) else ""


@dataclass(frozen=True, slots=True)
class Node:
    """`name` is also the name of its value. A macro has no params until it is expanded."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    attrs: Attrs
    params: tuple[ParamRef, ...] = ()
    at: At | None = None
    where: Where = field(default=NOWHERE, compare=False)

    @property
    def cell(self) -> Cell | None:
        """The cell instance that it belongs to; layers that make its inputs stand before it."""
        return self.at.cell if self.at and not self.at.before else None

    @property
    def identity(self) -> Hashable:
        """Equal for nodes that compute the same from the same inputs and weights.

        Not valid for random ops: see the `random` trait.
        """
        return (self.op, self.inputs, self.attrs, self.params)

    def rewired(self, names: Mapping[str, str]) -> "Node":
        """The node with each input x replaced by `names[x]`."""
        if names.keys().isdisjoint(self.inputs):
            return self
        inputs = tuple([names.get(name, name) for name in self.inputs])
        return Node(self.name, self.op, inputs, self.attrs, self.params, self.at, self.where)

    def has(self, trait: str) -> bool:
        """True if the op has that trait, or for `random` and `stateful` a node of its body."""
        if trait in self.op.traits:
            return True
        body = self.body if trait in _INHERITED else None
        return body is not None and body.has(trait)

    @property
    def body(self) -> Body | None:
        """The graph that the node applies, or None; `body_of` returns it as a Graph."""
        return self.attrs.body if isinstance(self.attrs, BodyAttrs) else None

    @property
    def place(self) -> Where:
        """The node's place in its file, or its name if it was not parsed."""
        return self.where if self.where != NOWHERE else Where(file=f"node {self.name}")


def default_params(name: str, specs: tuple[ParamSpec, ...]) -> tuple[ParamRef, ...]:
    """The refs of a node's own weights: `<node>.<parameter>`, of a body `<node>/<key>`."""
    return tuple(
        ParamRef(f"{name}{'/' if '.' in s.name else '.'}{s.name}", s.shape, s.init, s.buffer)
        for s in specs
    )


def is_list(field: FieldInfo) -> bool:
    """True if an attribute is a list of numbers, not a pair."""
    return get_args(field.annotation)[1:] == (Ellipsis,)


def print_value(value: Any, *, listed: bool = False) -> str:
    """An attribute's value: a number, true, false, none, or a pair as 1x7 (7 for 7x7).

    A list of numbers is written [0,2,3], one of other things as a string of JSON.
    """
    if listed and value and isinstance(value[0], Attrs):
        parts = [each.model_dump(mode="json", exclude_defaults=True) for each in value]
        return json.dumps(json.dumps(parts))
    if listed:
        return f"[{','.join(str(each) for each in value)}]"
    if isinstance(value, tuple):
        first, second = cast(tuple[int, int], value)
        return str(first) if first == second else f"{first}x{second}"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def print_ref(ref: ParamRef) -> str:
    """A weight: key[shape] init(value), with its parts and `buffer` where there are any."""
    parts = "".join(f"; {role}={print_ref(part)}" for role, part in ref.parts)
    shape = ",".join(str(size) for size in ref.shape)
    text = f"{ref.key}[{shape}] {ref.init.kind}({ref.init.value!r}{parts})"
    return text + " buffer" if ref.buffer else text
