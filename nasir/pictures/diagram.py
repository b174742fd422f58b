"""What pictures show: boxes and the arrows between them, which have no place yet."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from nasir.errors import shortened
from nasir.genotype import CellGenotype
from nasir.graph import Graph
from nasir.space.decisions import SpaceCell

FAMILIES = re.compile(
    "(?P<none>none|zero)|(?P<skip>skip|identity)|(?P<pool>pool)|(?P<dilated>dil)|"
    "(?P<separable>sep)|(?P<conv>conv)|(?P<activation>tanh|relu|sigmoid)"
)
"""Families of ops by parts of their names; the first part counts."""

WRITTEN = 4
"""The most options that are written on an arrow; of more it has the number."""

LEGEND = 240
"""The most characters of a legend."""


@dataclass(frozen=True, slots=True)
class Box:
    """A state of the cell; `look` names its colours, `sub` is the subscript of its only line."""

    lines: tuple[str, ...]
    look: str
    sub: str = ""
    hover: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    """An edge between two boxes, by their indices; without a label it only hands a state on."""

    tail: int
    head: int
    lines: tuple[str, ...] = ()
    look: str = "plain"
    hover: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes and the arrows between them; every arrow's tail comes before its head."""

    name: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def look(ops: Iterable[str]) -> str:
    """The family of the ops, after which their colours are named."""
    matches = map(FAMILIES.search, ops)
    found = {match.lastgroup or "" if match else "other" for match in matches}
    return found.pop() if len(found) == 1 else "other" if found else "plain"


def cell_diagram(cell: CellGenotype | SpaceCell) -> Diagram:
    """The boxes and arrows of a cell; of a space's, with all the options of each edge.

    Nodes are numbered from 0. Where a single node is the cell's output, that node is the output
    box; otherwise plain arrows join the listed states in one. A recurrent cell begins with a node 0
    that joins the input and the hidden state, as in the DARTS paper. Ops that stand on nodes are
    written in the nodes' boxes; what the output reads then joins in a box of its own.
    """
    nodes, edges = _space_parts(cell) if isinstance(cell, SpaceCell) else _parts(cell)
    if cell.kind == "recurrent":
        boxes = [Box(("x",), "input", "t"), Box(("h",), "input", "t−1"), Box(("0",), "node")]
        arrows, out = [Arrow(0, 2), Arrow(1, 2)], Box(("h",), "output", "t")
    else:
        boxes = [Box(("c",), "input", f"k−{number}") for number in range(cell.inputs, 0, -1)]
        arrows, out = [], Box(("c",), "output", "k")
    shift, first = len(boxes) - cell.inputs, int(cell.kind == "recurrent")
    last = cell.output[0] if len(cell.output) == 1 and not cell.on_nodes else -1
    for number, (ops, note) in enumerate(nodes):
        lines = ops or (f"{number + first}{note}",)
        box = Box(tuple(map(shortened, lines)), look(ops) if len(ops) == 1 else "node")
        boxes.append(out if number + cell.inputs == last else box)
    for source, node, ops in edges:
        names = tuple(map(shortened, ops))
        lines = (f"{len(ops)} ops",) if len(ops) > WRITTEN else names
        arrows.append(Arrow(source + shift, node + shift, lines, look(ops), "\n".join(names)))
    if last < cell.inputs:
        boxes.append(out)
        arrows += [Arrow(state + shift, len(boxes) - 1) for state in cell.output]
    return Diagram(f"cell '{cell.kind}'", tuple(boxes), tuple(arrows))


Nodes = list[tuple[tuple[str, ...], str]]
"""The ops of each node, and a note about its edges."""

Edges = list[tuple[int, int, tuple[str, ...]]]
"""Source, node and ops of each edge."""


def _parts(cell: CellGenotype) -> tuple[Nodes, Edges]:
    ops = [(op,) for op in cell.ops] or [()] * len(cell.nodes)
    return [(each, "") for each in ops], [
        (edge.source, node, (edge.op,) if edge.op else ())
        for node, edges in enumerate(cell.nodes, start=cell.inputs)
        for edge in edges
    ]


def _space_parts(cell: SpaceCell) -> tuple[Nodes, Edges]:
    nodes: Nodes = []
    for node in range(cell.inputs, cell.inputs + cell.nodes):
        count, keep = len(cell.into(node)), cell.keep or 0
        nodes.append((cell.node_ops, f" ({keep} of {count})" if 0 < keep < count else ""))
    return nodes, [(edge.source, edge.node, edge.ops) for edge in cell.edges]


def legend(cell: CellGenotype | SpaceCell) -> str:
    """The kind of a cell, and the options of edges that have only their number."""
    options = [edge.ops for edge in cell.edges] if isinstance(cell, SpaceCell) else []
    many = dict.fromkeys(f"{len(ops)} ops: {', '.join(ops)}" for ops in options if ops[WRITTEN:])
    return shortened(". ".join((cell.kind, *many)), LEGEND)


def graph_diagram(graph: Graph) -> Diagram:
    """The parts of a network: consecutive cells of a kind are one box, other nodes by first name.

    Arrows have the type of what is read.
    """
    choices = {choice.name for choice in graph.choices}
    inputs = [(name, type_) for name, type_ in graph.inputs if name not in choices]
    of = {name: number for number, (name, _) in enumerate(inputs)}
    boxes = [Box((shortened(name),), "input", hover=str(type_)) for name, type_ in inputs]
    arrows: dict[tuple[int, int, str], Arrow] = {}
    kinds = {cell.name: cell.kind for cell in graph.cells}
    firsts = ((node.name.partition("/")[0], node) for node in graph.nodes)
    for name, group in groupby(firsts, key=lambda each: kinds.get(each[0], each[0])):
        members = list(group)
        count = len({first for first, _ in members})
        label = f"{count} × {name}" if count > 1 else name
        head = len(boxes)
        role = "node" if members[0][0] in kinds else "plain"
        boxes.append(Box((shortened(label),), role, hover=f"{len(members)} nodes"))
        for _, node in members:
            for source in (source for source in node.inputs if source not in choices):
                tail, type_ = of[source], str(graph.types[source])
                if tail != head and (tail, head, type_) not in arrows:
                    arrows[tail, head, type_] = Arrow(tail, head, (type_,), "other")
            of[node.name] = head
    return Diagram("the graph", tuple(boxes), tuple(arrows.values()))
