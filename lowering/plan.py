"""Functions for the bodies that a graph's nodes apply: one for each kind of cell.

`call-cells` makes a body of each cell; those of one kind differ in the sizes of their images and
weights, and in width attributes (`OpSpec.widths`). Where bodies of a kind differ in more (an edited
cell), the kind has several functions: `normal`, `normal_2`, …
"""

from collections.abc import Container, Hashable, Mapping
from dataclasses import dataclass

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import OpSpec


@dataclass(frozen=True, slots=True)
class Function:
    """What stands for all bodies that are equal up to sizes.

    `body` is the first of them. `widths` maps a node's attributes to the formal integers that
    stand for them; attributes that are not in it are equal in all bodies. `values` are the formals'
    values for each body.
    """

    name: str
    body: Graph
    widths: Mapping[str, Mapping[str, str]]
    values: Mapping[Graph, Mapping[str, int]]


def functions_of(graph: Graph) -> tuple[Function, ...]:
    """The functions of the graph's bodies, in order of first use."""
    groups: dict[Hashable, list[Graph]] = {}
    for body in graph.bodies:
        groups.setdefault(_signature(body), []).append(body)
    functions: dict[str, Function] = {}
    for bodies in groups.values():
        name = _fresh(bodies[0].about.get("cell") or "body", functions)
        functions[name] = _function(name, bodies)
    return tuple(functions.values())


def _signature(body: Graph) -> Hashable:
    """Equal for bodies that one function can stand for."""
    places = {ref.key: place for place, ref in enumerate(body.params)}
    rows = [
        (
            node.name,
            node.op,
            node.inputs,
            tuple(row for row in node.attrs if row[0] not in _widths(node)),
            tuple(places[ref.key] for ref in node.params),
        )
        for node in body
    ]
    inputs = tuple(name for name, _ in body.inputs)
    return (body.about.get("cell"), inputs, body.outputs, *rows)


def _function(name: str, bodies: list[Graph]) -> Function:
    formals: dict[tuple[int, ...], str] = {}
    widths: dict[str, dict[str, str]] = {}
    for nodes in zip(*bodies, strict=True):
        for attribute in _widths(nodes[0]):
            values = tuple(getattr(node.attrs, attribute) for node in nodes)
            if len({*values}) > 1:
                formal = formals.setdefault(values, f"width{len(formals) or ''}")
                widths.setdefault(nodes[0].name, {})[attribute] = formal
    values = {
        body: {formal: row[place] for row, formal in formals.items()}
        for place, body in enumerate(bodies)
    }
    return Function(name, bodies[0], widths, values)


def _widths(node: Node) -> tuple[str, ...]:
    assert isinstance(node.op, OpSpec)
    return node.op.widths


def _fresh(kind: str, taken: Container[str]) -> str:
    number, name = 1, kind
    while name in taken:
        number += 1
        name = f"{kind}_{number}"
    return name
