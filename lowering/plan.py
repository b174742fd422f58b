"""Cuts a graph into one function for each kind of cell, and calls of it.

Instances of one kind have the same nodes in the same order and differ only in weights and in
width attributes (`OpSpec.widths`). Where instances of a kind differ in more (an edited cell), the
kind has several functions: `normal`, `normal_2`, …
"""

from collections.abc import Container, Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import OpSpec, ParamRef


@dataclass(frozen=True, slots=True)
class Step:
    """A primitive inside a function: local names, and weights as positions in `params`.

    `widths` maps an attribute to the function's formal width that stands for it; attributes that
    are not in it have the same value in every instance.
    """

    name: str
    node: Node
    inputs: tuple[str, ...]
    params: tuple[int, ...]
    widths: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A kind of cell. `inputs`, `params` and `outputs` are local names; `widths` formal integers.

    `node` of a step is the first instance's: its attributes hold wherever `widths` does not say
    otherwise. Instances may differ in the sizes of their images and weights.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    params: tuple[str, ...]
    widths: tuple[str, ...]
    steps: tuple[Step, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A cell instance: the function with this instance's values, weights and widths."""

    function: str
    cell: str
    inputs: tuple[str, ...]
    params: tuple[ParamRef, ...]
    widths: tuple[int, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The graph's nodes outside cells and the calls of cells, in order.

    `bodies` are the functions of the graphs that nodes apply, in the order of `graph.bodies`;
    they are in `functions` too.
    """

    graph: Graph
    functions: tuple[Function, ...]
    steps: tuple[Node | Call, ...]
    bodies: tuple[Function, ...] = ()

    def function(self, name: str) -> Function:
        """The function of that name."""
        return next(f for f in self.functions if f.name == name)


@dataclass(frozen=True, slots=True)
class _Instance:
    """A run of consecutive nodes of one cell."""

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: tuple[ParamRef, ...]
    kind: str
    cell: str
    locals: Mapping[str, str]
    """The nodes' and the keys' names without the cell's own prefix; inputs are `x0`, `x1`, …"""

    @property
    def signature(self) -> Hashable:
        """Equal for instances that one function can stand for."""
        positions = {ref.key: i for i, ref in enumerate(self.params)}
        rows: list[Hashable] = [self.kind, tuple(self.locals[name] for name in self.outputs)]
        for node in self.nodes:
            widths = _widths(node)
            attrs = tuple((k, v) for k, v in node.attrs if k not in widths)
            refs = tuple(positions[ref.key] for ref in node.params)
            inputs = tuple(self.locals[name] for name in node.inputs)
            rows.append((self.locals[node.name], node.op, inputs, attrs, refs))
        return tuple(rows)


def make_plan(graph: Graph) -> Plan:
    """The plan of a graph of primitives (expand macros first)."""
    shown = {*graph.outputs, *graph.auxiliary}
    runs = [
        _instance(graph, tuple(nodes), shown) if cell else tuple(nodes)
        for cell, nodes in groupby(graph.nodes, key=lambda node: node.cell)
    ]
    by_signature: dict[Hashable, list[_Instance]] = {}
    for run in runs:
        if isinstance(run, _Instance):
            by_signature.setdefault(run.signature, []).append(run)
    functions: dict[Hashable, Function] = {}
    widths: dict[str, tuple[int, ...]] = {}
    for signature, instances in by_signature.items():
        name = _fresh(instances[0].kind, [function.name for function in functions.values()])
        functions[signature], values = _function(name, instances)
        widths |= {one.nodes[0].name: row for one, row in zip(instances, values, strict=True)}
    steps: list[Node | Call] = []
    for run in runs:
        if isinstance(run, _Instance):
            steps.append(_call(run, functions[run.signature], widths[run.nodes[0].name]))
        else:
            steps += run
    bodies: list[Function] = []
    for body in graph.bodies:
        taken = [function.name for function in (*functions.values(), *bodies)]
        bodies.append(body_function(body, _fresh(body.about.get("cell") or "body", taken)))
    return Plan(graph, (*functions.values(), *bodies), tuple(steps), tuple(bodies))


def body_function(body: Graph, name: str) -> Function:
    """A graph that nodes apply, as a function: its inputs, then its weights."""
    positions = {ref.key: i for i, ref in enumerate(body.params)}
    steps = (
        Step(node.name, node, node.inputs, tuple(positions[ref.key] for ref in node.params), ())
        for node in body.nodes
    )
    inputs = tuple(input_ for input_, _ in body.inputs)
    params = tuple(positions)
    return Function(name, name, inputs, params, (), tuple(steps), body.outputs)


def _instance(graph: Graph, nodes: tuple[Node, ...], shown: set[str]) -> _Instance:
    cell = nodes[0].cell
    assert cell is not None
    names = {node.name for node in nodes}
    inputs = dict.fromkeys(x for node in nodes for x in node.inputs if x not in names)
    outputs = [
        name
        for name in names
        if name in shown or any(reader not in names for reader in graph.readers[name])
    ]
    order = {node.name: i for i, node in enumerate(nodes)}
    params = {ref.key: ref for node in nodes for ref in node.params}
    inputs = _stable(inputs, graph)
    return _Instance(
        nodes,
        inputs,
        tuple(sorted(outputs, key=order.__getitem__)),
        tuple(params.values()),
        cell.kind,
        cell.name,
        _locals(cell.name, nodes, inputs, params),
    )


def _locals(
    cell: str, nodes: tuple[Node, ...], inputs: tuple[str, ...], keys: Iterable[str]
) -> Mapping[str, str]:
    """Different names for different things, equal for equal instances."""
    wanted = {node.name: node.name.removeprefix(f"{cell}/") for node in nodes}
    wanted |= {name: f"x{number}" for number, name in enumerate(inputs)}
    wanted |= {key: key.removeprefix(f"{cell}/") for key in keys if key not in wanted}
    taken: set[str] = set()
    for name, local in wanted.items():
        wanted[name] = _fresh(local, taken)
        taken.add(wanted[name])
    return wanted


def _stable(inputs: Iterable[str], graph: Graph) -> tuple[str, ...]:
    """Inputs in the order in which the graph defines them, so that s0 comes before s1."""
    order = {name: i for i, name in enumerate(graph.types)}
    return tuple(sorted(inputs, key=order.__getitem__))


def _widths(node: Node) -> tuple[str, ...]:
    assert isinstance(node.op, OpSpec)
    return node.op.widths


def _fresh(kind: str, taken: Container[str]) -> str:
    number, name = 1, kind
    while name in taken:
        number += 1
        name = f"{kind}_{number}"
    return name


def _function(name: str, instances: list[_Instance]) -> tuple[Function, list[tuple[int, ...]]]:
    """The function of these instances, and each one's values of its formal widths."""
    first = instances[0]
    formals: dict[tuple[int, ...], str] = {}
    steps: list[Step] = []
    positions = {ref.key: i for i, ref in enumerate(first.params)}
    for number, node in enumerate(first.nodes):
        widths: list[tuple[str, str]] = []
        for attribute in _widths(node):
            values = tuple(_value(one.nodes[number], attribute) for one in instances)
            if len(set(values)) > 1:
                formal = formals.setdefault(values, f"width{len(formals) or ''}")
                widths.append((attribute, formal))
        steps.append(
            Step(
                first.locals[node.name],
                node,
                tuple(first.locals[x] for x in node.inputs),
                tuple(positions[ref.key] for ref in node.params),
                tuple(widths),
            )
        )
    function = Function(
        name,
        first.kind,
        tuple(first.locals[name] for name in first.inputs),
        tuple(first.locals[ref.key] for ref in first.params),
        tuple(formals.values()),
        tuple(steps),
        tuple(first.locals[output] for output in first.outputs),
    )
    return function, [tuple(row[i] for row in formals) for i in range(len(instances))]


def _value(node: Node, attribute: str) -> int:
    value: Any = getattr(node.attrs, attribute)
    assert isinstance(value, int)
    return value


def _call(run: _Instance, function: Function, widths: tuple[int, ...]) -> Call:
    return Call(function.name, run.cell, run.inputs, run.params, widths, run.outputs)
