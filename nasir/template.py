"""Type, parameters and expansion of an op with given attributes and input types."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from pydantic import ValidationError

from nasir.errors import NOWHERE, NasirError, Where, nearest, quoted, unknown_op
from nasir.node import At, Cell, Node, Slot, below, default_params
from nasir.ops import PRIMITIVES, Attrs, Macro, Op, OpSpec, ParamSpec
from nasir.types import ImageType, TokenType, Type

_KEPT = 1 << 14
"""The size of the caches: enough for a few large networks."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """The result's type and the parameters of an op."""

    type: Type
    params: tuple[ParamSpec, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """An expanded macro: primitives that read `%0`, `%1`, …; `output` may be an input."""

    nodes: tuple[Node, ...]
    output: str
    type: Type

    def instance(self, node: Node) -> tuple[list[Node], str]:
        """The primitives that replace `node`, named below it, and the name of the result."""
        names = {f"%{i}": name for i, name in enumerate(node.inputs)}
        names |= {inner.name: below(node.name, inner.name) for inner in self.nodes}
        nodes = [_instance(inner, names, node) for inner in self.nodes]
        return nodes, names[self.output]


def _instance(inner: Node, names: Mapping[str, str], outer: Node) -> Node:
    params = tuple([ref.called(below(outer.name, ref.key)) for ref in inner.params])
    inputs = tuple([names[name] for name in inner.inputs])
    return Node(names[inner.name], inner.op, inputs, inner.attrs, params, outer.at, outer.where)


class Scope:
    """Builds a list of nodes; every call adds a node and returns its name.

    `scope("conv2d", x, name="dw1", out=16, kernel=3)` checks the attributes and the types at once.
    """

    ops: Mapping[str, Op] = PRIMITIVES

    def __init__(self, inputs: Mapping[str, Type], cell: Cell | None = None) -> None:
        self.types: dict[str, Type] = dict(inputs)
        self.nodes: list[Node] = []
        self.at = At(cell) if cell else None

    def __call__(self, op: str | Op, *inputs: str, name: str = "", **attrs: Any) -> str:
        """Adds a node of an op or of the op of that name.

        Raises an error for wrong names, attributes or types.
        """
        spec = find_op(op, self.ops)
        name = name or self._fresh(spec.name)
        if name in self.types:
            raise NasirError("E401", f"the name {quoted(name)} is taken", self._where(name))
        missing = [x for x in inputs if x not in self.types]
        if missing:
            raise NasirError(
                "E401",
                f"there is no value {quoted(missing[0])}",
                self._where(name),
                hint=nearest(missing[0], self.types),
            )
        node, type_ = make_node(spec, name, inputs, attrs, self.types, self.at)
        self.nodes.append(node)
        self.types[name] = type_
        return name

    @property
    def cell(self) -> Cell | None:
        """The cell instance that the next nodes belong to; setting it leaves all slots."""
        return self.at.cell if self.at else None

    @cell.setter
    def cell(self, cell: Cell | None) -> None:
        self.at = At(cell) if cell else None

    @contextmanager
    def within(self, slot: Slot, op: str = "") -> Generator[None]:
        """Places the nodes added in the block at that slot, below the current one."""
        outer = self.at
        self.at = outer and At(outer.cell, (*outer.steps, (slot, op)))
        try:
            yield
        finally:
            self.at = outer

    def share(self, name: str, other: str) -> str:
        """Makes the node share the weights of `other` that have the same name and shape.

        Raises an error if there is none. Returns the node's name.
        """
        nodes = {node.name: place for place, node in enumerate(self.nodes)}
        node = self.nodes[nodes[name]]
        theirs = {(ref.name, ref.shape): ref for ref in self.nodes[nodes[other]].params}
        params = tuple(theirs.get((ref.name, ref.shape), ref) for ref in node.params)
        if params == node.params:
            message = f"{quoted(name)} and {quoted(other)} have no weight of one name and shape"
            raise NasirError("E401", message, self._where(name))
        self.nodes[nodes[name]] = replace(node, params=params)
        return name

    def keyed(self, name: str, prefix: str) -> str:
        """Changes the keys of the node's weights to `<prefix>.<parameter>`; returns its name."""
        place = next(i for i, node in enumerate(self.nodes) if node.name == name)
        node = self.nodes[place]
        params = tuple(replace(ref, key=f"{prefix}.{ref.name}") for ref in node.params)
        self.nodes[place] = replace(node, params=params)
        return name

    def type(self, name: str) -> Type:
        """The type of a value."""
        return self.types[name]

    def channels(self, name: str) -> int:
        """The first size of a value: its channels."""
        return self.types[name].shape[0]

    def _fresh(self, stem: str) -> str:
        number, name = 1, stem
        while name in self.types:
            number += 1
            name = f"{stem}{number}"
        return name

    def _where(self, name: str) -> Where:
        return Where(file=f"node {name}")


def find_op(name: str | Op, ops: Mapping[str, Op], where: Where = NOWHERE) -> Op:
    """The op of that name, or the op itself."""
    if isinstance(name, (OpSpec, Macro)):
        return name
    op = ops.get(name)
    if op is None:
        raise unknown_op(name, ops, where)
    return op


def make_attrs(op: Op, attrs: Mapping[str, Any], where: Where = NOWHERE) -> Attrs:
    """The op's checked attributes. Raises an error with the first thing that is wrong."""
    known = list(op.attrs.model_fields)
    hint = f"{op.name} takes: {', '.join(known)}" if known else f"{op.name} has no attributes"
    for name in attrs:
        if name not in known:
            message = f"{op.name} has no attribute {quoted(name)}"
            raise NasirError("E306", message, where, nearest(name, known) or hint)
    try:
        return op.attrs(**attrs)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing" and len(first["loc"]) == 1:
            message = f"{op.name} needs the attribute '{name}'"
            raise NasirError("E306", message, where, hint) from None
        reason = first["msg"].lower()
        message = f"attribute '{name}' of {op.name}: {reason} (got {quoted(str(attrs[name]))})"
        raise NasirError("E306", message, where, hint) from None


def make_node(
    op: Op,
    name: str,
    inputs: tuple[str, ...],
    attrs: Mapping[str, Any],
    types: Mapping[str, Type],
    at: At | None = None,
) -> tuple[Node, Type]:
    """A checked node with weights of its own, and the type of its value."""
    where = Where(file=f"node {name}")
    checked = make_attrs(op, attrs, where)
    found = meaning_at(op, checked, tuple(types[x] for x in inputs), where)
    node = Node(name, op, inputs, checked, default_params(name, found.params), at)
    return node, found.type


def meaning_at(op: Op, attrs: Attrs, inputs: tuple[Type, ...], where: Where) -> Meaning:
    """`meaning`, whose errors have the place `where`."""
    try:
        return meaning(op, attrs, inputs)
    except NasirError as error:
        raise error.at(where) from None


@lru_cache(_KEPT)
def meaning(op: Op, attrs: Attrs, inputs: tuple[Type, ...]) -> Meaning:
    """The type and the parameters of an op. Raises an error for a wrong number of inputs."""
    least, most = op.arity
    if len(inputs) < least or (most is not None and len(inputs) > most):
        wanted = f"{least}" if most == least else f"{least} {f'to {most}' if most else 'or more'}"
        noun = "input" if wanted == "1" else "inputs"
        raise NasirError("E401", f"{op.name} takes {wanted} {noun}, not {len(inputs)}")
    if isinstance(op, Macro):
        return Meaning(template(op, attrs, inputs).type, ())
    return Meaning(op.infer(attrs, inputs), op.params(attrs, inputs))


@lru_cache(_KEPT)
def template(op: Macro, attrs: Attrs, inputs: tuple[Type, ...]) -> Template:
    """The macro's primitives for these attributes and input types.

    Errors have no place; the caller adds that of the macro's node.
    """
    scope = Scope({f"%{i}": type_ for i, type_ in enumerate(inputs)})
    try:
        output = op.body(scope, tuple(scope.types), attrs)
    except NasirError as error:
        if error.where == NOWHERE:
            raise
        message = f"{error.message} (at {error.where} inside {op.name})"
        raise NasirError(error.code, message, hint=error.hint) from None
    return Template(tuple(scope.nodes), output, scope.types[output])


def all_types(
    inputs: tuple[tuple[str, Type], ...],
    nodes: tuple[Node, ...],
    before: Mapping[str, Node] | None,
    known: Mapping[str, Type] | None,
) -> dict[str, Type]:
    """The types of all values of a graph, in order.

    Nodes of a graph `before`, whose values have the types `known`, keep theirs if their inputs do.
    """
    before, known, types = before or {}, known or {}, dict[str, Type]()
    for name, type_ in inputs:
        if name in types:
            raise NasirError("E401", f"two inputs are called {quoted(name)}")
        if min(type_.shape, default=1) < 1 or type_ == TokenType(0):
            raise NasirError("E107", f"the input {quoted(name)} is {type_}: sizes start at 1")
        types[name] = type_
    names = {node.name for node in nodes}
    for node in nodes:
        if node.name in types:
            raise NasirError("E401", f"two nodes are called {quoted(node.name)}", node.place)
        kept = before.get(node.name) is node
        for name in node.inputs:
            kept = kept and types.get(name) is known[name]
            if name not in types:
                raise _undefined(node, name, names, types)
        if kept:
            types[node.name] = known[node.name]
            continue
        try:
            found = meaning(node.op, node.attrs, tuple([types[name] for name in node.inputs]))
        except NasirError as error:
            raise error.at(node.place) from None
        if not isinstance(node.op, Macro):
            have, wanted = ([each.shape for each in row] for row in (node.params, found.params))
            if have != wanted:
                message = f"{node.op.name} has weights of shapes {have}; its input needs "
                raise NasirError("E305", f"{message}{wanted}", node.place)
        types[node.name] = found.type
    return types


def _undefined(node: Node, name: str, names: set[str], types: Mapping[str, Type]) -> NasirError:
    if name == node.name:
        return NasirError("E401", f"node {quoted(name)} reads itself", node.place)
    if name in names:
        message = f"node {quoted(node.name)} reads {quoted(name)}, which comes later"
        return NasirError("E401", message, node.place)
    message = f"node {quoted(node.name)} reads {quoted(name)}, which is not there"
    return NasirError("E401", message, node.place, hint=nearest(name, types))


def primitives(op: Op) -> int:
    """The maximum number of primitives that an op expands to; at least 1."""
    if not isinstance(op, Macro):
        return 1
    known: int | None = getattr(op.body, "primitives", None)  # an own op's, see `Composition`
    return _shipped_primitives(op) if known is None else known


@cache
def _shipped_primitives(op: Macro) -> int:
    """The number of primitives of a shipped macro, expanded for an image."""
    wide = {"out": 8} if "out" in op.attrs.model_fields else {}
    try:
        return max(1, len(template(op, make_attrs(op, wide), (ImageType(8, 32, 32),)).nodes))
    except NasirError:
        return 16  # a head, which takes other attributes or sizes, and is there once
