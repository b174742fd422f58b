"""What pictures show, boxes and the arrows between them, and where each lies, in pixels.

y grows downwards. Boxes stand in even layers, by their longest path from an input; labels in odd
ones. An arrow that passes a layer holds a place there, so that what is drawn between the layers
meets no box and no label (Sugiyama et al., 1981, with labels as vertices and heights by a linear
program as in Gansner et al., 1993).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, groupby, pairwise, product
from random import Random
from statistics import fmean
from typing import Any
from unicodedata import east_asian_width

from nasir.errors import DRAWN_LIMIT, Budget, shortened
from nasir.graph import Graph
from nasir.node import Node
from nasir.space.decisions import CellGenotype, SpaceCell, cell_tree

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
    if cell.kind == "recurrent":
        boxes = [Box(("x",), "input", "t"), Box(("h",), "input", "t−1"), Box(("0",), "node")]
        arrows, out = [Arrow(0, 2), Arrow(1, 2)], Box(("h",), "output", "t")
    else:
        boxes = [Box(("c",), "input", f"k−{number}") for number in range(cell.inputs, 0, -1)]
        arrows, out = [], Box(("c",), "output", "k")
    shift, first = len(boxes) - cell.inputs, int(cell.kind == "recurrent")
    kept = {each.slot.node: (each.counts.start, len(each.options)) for each in cell_tree(cell)}
    for node, ops in enumerate(cell.node_options, start=cell.inputs):
        keep, count = kept.get(node, (0, 0))
        note = f" ({keep} of {count})" if keep < count else ""
        lines = ops or (f"{node - cell.inputs + first}{note}",)
        box = Box(tuple(map(shortened, lines)), look(ops) if len(ops) == 1 else "node")
        boxes.append(out if cell.output == (node,) and not ops else box)
    for edge in cell.edges:
        names = tuple(map(shortened, edge.ops))
        lines = (f"{len(names)} ops",) if len(names) > WRITTEN else names
        more = (lines, look(edge.ops), "\n".join(names))
        arrows.append(Arrow(edge.source + shift, edge.node + shift, *more))
    if out not in boxes:
        boxes.append(out)
        arrows += [Arrow(state + shift, len(boxes) - 1) for state in cell.output]
    return Diagram(f"cell '{cell.kind}'", tuple(boxes), tuple(arrows))


def legend(cell: CellGenotype | SpaceCell) -> str:
    """The kind of a cell, and the options of edges that have only their number."""
    options = (edge.ops for edge in cell.edges)
    many = dict.fromkeys(f"{len(ops)} ops: {', '.join(ops)}" for ops in options if ops[WRITTEN:])
    return shortened(". ".join((cell.kind, *many)), LEGEND)


def graph_diagram(graph: Graph) -> Diagram:
    """The parts of a network: consecutive cells of a kind are one box, each other node is one.

    Layers that make the inputs of a cell are in its box. Arrows have the type of what is read.
    """
    choices = {choice.name for choice in graph.choices}
    inputs = [(name, type_) for name, type_ in graph.inputs if name not in choices]
    of = {name: number for number, (name, _) in enumerate(inputs)}
    boxes = [Box((shortened(name),), "input", hover=str(type_)) for name, type_ in inputs]
    arrows: dict[tuple[int, int, str], Arrow] = {}
    for at, group in groupby(graph, key=lambda node: node.at.cell.kind if node.at else node):
        members = list(group)
        count = len({node.at.cell for node in members if node.at})
        name, role = (at.name, "plain") if isinstance(at, Node) else (at, "node")
        label = f"{count} × {name}" if count > 1 else name
        head = len(boxes)
        boxes.append(Box((shortened(label),), role, hover=f"{len(members)} nodes"))
        for node in members:
            for source in (source for source in node.inputs if source not in choices):
                tail, type_ = of[source], str(graph.types[source])
                if tail != head and (tail, head, type_) not in arrows:
                    arrows[tail, head, type_] = Arrow(tail, head, (type_,), "other")
            of[node.name] = head
    return Diagram("the graph", tuple(boxes), tuple(arrows.values()))


Point = tuple[float, float]

Order = list[list[int]]
"""The vertices of each layer, from top to bottom: boxes 0 .. boxes-1, then what arrows hold."""

SWEEPS = 32

FONT_SIZE = 12.0
COLUMN = 0.61 * FONT_SIZE
"""The width of a character: common fixed-width fonts are at most 0.61 of their size wide."""

MARGIN = 10.0
LINE = 18.0
"""The height of a line of a label."""

BOX_HEIGHT = 28.0
PAD = 12.0
"""How much wider a label or a box is than its text."""

GAP = 8.0
"""The least distance of what stands in one layer."""

STEP = 16.0
"""The least distance of two layers."""

HEAD = 7.0
"""The length of an arrow's head."""

PORT = 9.0
"""The distance between arrows at one side of a box."""

STRAIGHT = {0: 1, 1: 2, 2: 8}
"""The weight of a step between two vertices, by how many of them are no boxes."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A place by its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right side."""
        return self.x + self.width

    @property
    def middle(self) -> Point:
        """Its centre."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, down: float) -> "Rectangle":
        """The place further down."""
        return replace(self, y=self.y + down)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A diagram with its places, in the diagram's order.

    A path holds x and y of its points: between points 2i and 2i+1 it runs level through a layer,
    past boxes and labels; between 2i+1 and 2i+2 it curves to the next layer without a kink.
    """

    diagram: Diagram
    width: float
    height: float
    boxes: tuple[Rectangle, ...]
    labels: tuple[Rectangle | None, ...]
    paths: tuple[tuple[Point, ...], ...]


def layout(shown: Diagram) -> Drawing:
    """The diagram laid out from left to right. Deterministic.

    Raises an error for more arrows than can be told apart.
    """
    Budget(DRAWN_LIMIT, f"the drawing of {shown.name}", "arrows").spend(len(shown.arrows))
    order, chains, sizes = layers(shown)
    ports = _ports(order, chains)
    middles = _heights(order, chains, sizes, ports)
    levels: list[list[float]] = []
    steps: Counter[int] = Counter()
    for chain, ends in zip(chains, ports, strict=True):
        levels.append([middles[vertex] + port for vertex, port in zip(chain, ends, strict=True)])
        for vertex, (one, other) in zip(chain[1:], pairwise(levels[-1]), strict=True):
            steps[vertex] = max(steps[vertex], int(abs(one - other)))
    places: dict[int, Rectangle] = {}
    right = MARGIN
    for layer in order:
        left = right + (STEP + min(28, max(steps[vertex] for vertex in layer) // 4)) * bool(places)
        right = left + max(sizes[vertex][0] for vertex in layer)
        for vertex in layer:
            height = sizes[vertex][1]
            places[vertex] = Rectangle(left, middles[vertex] - height / 2, right - left, height)
    paths: list[tuple[Point, ...]] = []
    for chain, heights in zip(chains, levels, strict=True):
        sides = [x for vertex in chain for x in (places[vertex].x, places[vertex].right)]
        sides[-2:] = sides[-2] - HEAD, sides[-2]
        points = zip(sides, (y for y in heights for _ in "xx"), strict=True)
        paths.append(tuple(points)[1:])
    labels = [next((v for v in chain[1:-1] if sizes[v][1]), 0) for chain in chains]
    return Drawing(
        diagram=shown,
        width=right + MARGIN,
        height=max(place.y + place.height for place in places.values()) + MARGIN,
        boxes=tuple(places[box] for box in range(len(shown.boxes))),
        labels=tuple(places[label] if label else None for label in labels),
        paths=tuple(paths),
    )


def layers(shown: Diagram) -> tuple[Order, list[tuple[int, ...]], list[Point]]:
    """The layers, ordered so that few arrows cross; every arrow's vertices; every vertex's size.

    A label has the emptiest odd layer that its arrow passes, of those the most central. A place
    where an arrow only passes has no size.
    """
    ranks, sizes = _ranks(shown), _sizes(shown)
    order: Order = [[] for _ in range(max(ranks) + 1)]
    for box, rank in enumerate(ranks):
        order[rank].append(box)
    load: Counter[int] = Counter()
    spans = [ranks[arrow.head] - ranks[arrow.tail] for arrow in shown.arrows]
    chains: list[tuple[int, ...]] = [()] * len(spans)
    for index in sorted(range(len(spans)), key=spans.__getitem__):
        arrow = shown.arrows[index]
        passed, first = range(ranks[arrow.tail] + 1, ranks[arrow.head]), len(sizes)
        middle = (passed[0] + passed[-1]) / 2
        at = min(passed[::2], key=lambda rank: (load[rank], abs(rank - middle)))
        load[at] += len(arrow.lines)
        for rank in passed:
            order[rank].append(len(sizes))
            sizes.append(label_size(arrow.lines) if rank == at else (0.0, 0.0))
        chains[index] = arrow.tail, *range(first, len(sizes)), arrow.head
    return _untangle(order, chains), chains, sizes


def _ranks(shown: Diagram) -> list[int]:
    """Twice the longest path from an input."""
    ranks = [0] * len(shown.boxes)
    for arrow in sorted(shown.arrows, key=lambda arrow: arrow.head):
        ranks[arrow.head] = max(ranks[arrow.head], ranks[arrow.tail] + 2)
    return ranks


def _untangle(order: Order, chains: Iterable[tuple[int, ...]]) -> Order:
    """The order with the fewest crossings that barycentre sweeps find, some after a shuffle."""
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for chain in chains:
        for left, right in pairwise(chain):
            before[right].append(left)
            after[left].append(right)
    best, fewest, random = order, _crossings(order, after), Random(0)
    for sweep in range(SWEEPS):
        near, step = (after, -1) if sweep % 2 else (before, 1)
        order = [list(layer) for layer in order]
        place = _places(order)
        for layer in order[::step]:
            if sweep % 4 == 0:
                random.shuffle(layer)  # of equal means, another comes first
            means = {v: fmean(place[w] for w in near[v]) if near[v] else place[v] for v in layer}
            layer.sort(key=means.__getitem__)
            place |= {vertex: index for index, vertex in enumerate(layer)}
        crossings = _crossings(order, after)
        if crossings < fewest:
            best, fewest = order, crossings
    return best


def _crossings(order: Order, after: Mapping[int, list[int]]) -> int:
    place = _places(order)
    return sum(
        place[one] > place[other]
        for layer in order
        for upper, lower in combinations(layer, 2)
        for one, other in product(after[upper], after[lower])
    )


def _places(order: Order) -> dict[int, int]:
    return {vertex: index for layer in order for index, vertex in enumerate(layer)}


def _sizes(shown: Diagram) -> list[Point]:
    """Width and height of every box."""
    tails = Counter(arrow.tail for arrow in shown.arrows)
    heads = Counter(arrow.head for arrow in shown.arrows)
    sizes: list[Point] = []
    for index, box in enumerate(shown.boxes):
        width, height = label_size([*box.lines[:-1], box.lines[-1] + box.sub])
        ports = (max(tails[index], heads[index]) + 1) * PORT
        sizes.append((max(BOX_HEIGHT, width + 2), max(BOX_HEIGHT, height + 10, ports)))
    return sizes


def label_size(lines: Sequence[str]) -> Point:
    """Width and height of lines in a fixed-width font, where East Asian ones take two columns."""
    columns = [len(line) + sum(east_asian_width(each) in "WF" for each in line) for line in lines]
    return max(columns) * COLUMN + PAD if columns else 0.0, LINE * len(lines)


def _ports(order: Order, chains: Sequence[tuple[int, ...]]) -> list[list[float]]:
    """How far from the centre of each of its vertices every arrow runs: spread along a box."""
    place = _places(order)
    ports = [[0.0] * len(chain) for chain in chains]
    for end, beside in ((0, 1), (-1, -2)):
        meeting: dict[int, list[int]] = defaultdict(list)
        for index in sorted(range(len(chains)), key=lambda index: place[chains[index][beside]]):
            meeting[chains[index][end]].append(index)
        for arrows in meeting.values():
            for rank, index in enumerate(arrows):
                ports[index][end] = (rank - (len(arrows) - 1) / 2) * PORT
    return ports


def _heights(
    order: Order,
    chains: Sequence[tuple[int, ...]],
    sizes: Sequence[Point],
    ports: Sequence[Sequence[float]],
) -> list[float]:
    """The y of every vertex: arrows as straight as the order and the distances allow.

    Minimises the weighted sum of the steps between neighbours, a variable for each.
    """
    from scipy.optimize import linprog  # pyright: ignore[reportUnknownVariableType] untyped
    from scipy.sparse import coo_array

    count = len(sizes)
    costs = [0.0] * count
    rows: list[tuple[float, Mapping[int, float]]] = [(0.0, {0: -1})]
    for chain, ends in zip(chains, ports, strict=True):
        for (a, c), (b, d) in pairwise(zip(chain, ends, strict=True)):
            step = len(costs)
            rows += [(d - c, {a: 1, b: -1, step: -1}), (c - d, {b: 1, a: -1, step: -1})]
            costs.append(STRAIGHT[sum(sizes[each][1] < BOX_HEIGHT for each in (a, b))])
    for layer in order:
        for upper, lower in pairwise(layer):
            distance = (sizes[upper][1] + sizes[lower][1]) / 2 + GAP
            rows.append((-distance, {upper: 1, lower: -1}))
    entries = [(row, *each) for row, (_, line) in enumerate(rows) for each in line.items()]
    at, columns, values = zip(*entries, strict=True)
    matrix: Any = coo_array((values, (at, columns)), shape=(len(rows), len(costs)))
    found: Any = linprog(costs, A_ub=matrix, b_ub=[limit for limit, _ in rows])
    y: list[float] = found.x.tolist()[:count]
    top = MARGIN - min(each - height / 2 for each, (_, height) in zip(y, sizes, strict=True))
    return [each + top for each in y]
