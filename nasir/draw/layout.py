"""Layout of a drawing: positions of boxes, labels and arrows in pixels; y grows downwards.

Boxes stand in even layers, by their longest path from an input; labels in odd ones. An arrow that
passes a layer holds a place there, so that what is drawn between the layers meets no box and no
label (Sugiyama et al., 1981, with labels as vertices as in Gansner et al., 1993).
"""

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from nasir.draw.picture import Arrow, Picture

Order = list[list[int]]
"""The vertices of each layer, from top to bottom."""

ORDER_SWEEPS = 24


@dataclass(frozen=True, slots=True)
class Layers:
    """Boxes are vertices 0 .. boxes-1; the others are the places that arrows hold.

    `chains` gives every arrow's vertices from tail to head, `labels` the vertex that is its label
    (None without one).
    """

    order: tuple[tuple[int, ...], ...]
    chains: tuple[tuple[int, ...], ...]
    labels: tuple[int | None, ...]


def layers(shown: Picture) -> Layers:
    """The layers of a drawing, ordered so that few arrows cross. Deterministic."""
    ranks = _ranks(shown)
    label_ranks = _label_ranks(shown.arrows, ranks)
    order: Order = [[] for _ in range(max(ranks) + 1)]
    for box, rank in enumerate(ranks):
        order[rank].append(box)
    chains: list[tuple[int, ...]] = []
    labels: list[int | None] = []
    vertex = len(ranks)
    for arrow, label_rank in zip(shown.arrows, label_ranks, strict=True):
        first = ranks[arrow.tail] + 1
        places = range(vertex, vertex + ranks[arrow.head] - first)
        for rank, place in enumerate(places, start=first):
            order[rank].append(place)
        chains.append((arrow.tail, *places, arrow.head))
        labels.append(None if label_rank is None else places[label_rank - first])
        vertex += len(places)
    ordered = _untangle(order, chains)
    return Layers(tuple(tuple(layer) for layer in ordered), tuple(chains), tuple(labels))


def _ranks(shown: Picture) -> list[int]:
    """Twice the longest path from an input; a box that only joins others comes last."""
    ranks = [0] * len(shown.boxes)
    for arrow in sorted(shown.arrows, key=lambda arrow: arrow.head):
        ranks[arrow.head] = max(ranks[arrow.head], ranks[arrow.tail] + 2)
    last = len(ranks) - 1
    if all(not arrow.label for arrow in shown.arrows if arrow.head == last):
        ranks[last] = max(ranks[:last]) + 2
    return ranks


def _label_ranks(arrows: tuple[Arrow, ...], ranks: list[int]) -> list[int | None]:
    """The odd layer of each arrow's label: the emptiest it passes, then the most central."""
    chosen: list[int | None] = [None] * len(arrows)
    load: Counter[int] = Counter()
    span = [ranks[arrow.head] - ranks[arrow.tail] for arrow in arrows]
    for index in sorted(range(len(arrows)), key=lambda index: span[index]):
        arrow = arrows[index]
        if not arrow.label:
            continue
        middle = (ranks[arrow.tail] + ranks[arrow.head]) / 2
        best = min(
            range(ranks[arrow.tail] + 1, ranks[arrow.head], 2),
            key=lambda rank: (load[rank], abs(rank - middle), rank),
        )
        chosen[index] = best
        load[best] += 1
    return chosen


def _untangle(order: Order, chains: Iterable[tuple[int, ...]]) -> Order:
    """The order with the fewest crossings that barycentre sweeps and exchanges find."""
    before: dict[int, list[int]] = defaultdict(list)
    after: dict[int, list[int]] = defaultdict(list)
    for chain in chains:
        for left, right in pairwise(chain):
            before[right].append(left)
            after[left].append(right)
    best, fewest = order, _crossings(order, after)
    for start in (order, [layer[::-1] for layer in order]):
        current = [list(layer) for layer in start]
        for sweep in range(ORDER_SWEEPS):
            forward = sweep % 2 == 0
            _sort_by_neighbours(current, before if forward else after, forward)
            _exchange(current, before, after)
            crossings = _crossings(current, after)
            if crossings < fewest:
                best, fewest = [list(layer) for layer in current], crossings
    return best


def _sort_by_neighbours(order: Order, neighbours: dict[int, list[int]], forward: bool) -> None:
    """Sort every layer in place by the mean place of each vertex's neighbours."""
    place = _places(order)
    for layer in order if forward else reversed(order):
        means = {
            vertex: sum(place[other] for other in neighbours[vertex]) / len(neighbours[vertex])
            if neighbours[vertex]
            else place[vertex]
            for vertex in layer
        }
        layer.sort(key=lambda vertex: means[vertex])
        place.update({vertex: index for index, vertex in enumerate(layer)})


def _exchange(order: Order, before: dict[int, list[int]], after: dict[int, list[int]]) -> None:
    """Exchange vertices that stand side by side, in place, while that removes crossings."""
    place = _places(order)
    for layer in order:
        for _ in layer:
            changed = False
            for index in range(len(layer) - 1):
                upper, lower = layer[index], layer[index + 1]
                gain = sum(
                    _inversions(places[upper], places[lower], place)
                    - _inversions(places[lower], places[upper], place)
                    for places in (before, after)
                )
                if gain > 0:
                    layer[index], layer[index + 1] = lower, upper
                    place[lower], place[upper] = index, index + 1
                    changed = True
            if not changed:
                break


def _inversions(upper: list[int], lower: list[int], place: dict[int, int]) -> int:
    return sum(place[one] > place[other] for one in upper for other in lower)


def _crossings(order: Order, after: dict[int, list[int]]) -> int:
    place = _places(order)
    return sum(
        _inversions(after[upper], after[lower], place)
        for layer in order
        for index, upper in enumerate(layer)
        for lower in layer[index + 1 :]
    )


def _places(order: Order) -> dict[int, int]:
    return {vertex: index for layer in order for index, vertex in enumerate(layer)}


FONT_SIZE = 12.0
COLUMN = 0.61 * FONT_SIZE
"""The width of a character: common fixed-width fonts are at most 0.61 of their size wide."""

MARGIN = 12.0
LABEL_HEIGHT = 15.0
BOX_HEIGHT = 28.0
PORT = 9.0
"""The distance between arrows at one side of a box."""

THIN = 12.0
"""The width of a layer where arrows only pass."""

RISE = 5.0
"""The most an arrow leaves its height in a layer it passes: less than any distance there."""

SWEEPS = 120


@dataclass(frozen=True, slots=True)
class Point:
    """A place."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A box by its centre and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def left(self) -> float:
        """The x of its left side."""
        return self.x - self.width / 2

    @property
    def right(self) -> float:
        """The x of its right side."""
        return self.x + self.width / 2

    @property
    def top(self) -> float:
        """The y of its upper side."""
        return self.y - self.height / 2


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing with the positions of its parts, in order.

    A path alternates: between points 2i and 2i+1 it runs straight through a layer, past boxes and
    labels; between 2i+1 and 2i+2 it curves to the next layer without a kink.
    """

    picture: Picture
    width: float
    height: float
    boxes: tuple[Rectangle, ...]
    labels: tuple[Rectangle | None, ...]
    paths: tuple[tuple[Point, ...], ...]


def layout(shown: Picture) -> Drawing:
    """Lays out a drawing from left to right. Deterministic."""
    plan = layers(shown)
    sizes = _sizes(shown, plan)
    level = dict.fromkeys(sizes, 0.0)
    heights = _heights(plan, sizes, _columns(plan, sizes, level))
    top = 2 * MARGIN + FONT_SIZE if shown.title else MARGIN
    shift = top - min(heights[vertex] - sizes[vertex][1] / 2 for vertex in heights)
    columns = _columns(plan, sizes, heights)
    places = {
        vertex: Rectangle(columns[rank][0], heights[vertex] + shift, *sizes[vertex])
        for rank, layer in enumerate(plan.order)
        for vertex in layer
    }
    sides = {
        vertex: (x - width / 2, x + width / 2)
        for (x, width), layer in zip(columns, plan.order, strict=True)
        for vertex in layer
    }
    bottom = max(place.y + place.height / 2 for place in places.values())
    return Drawing(
        picture=shown,
        width=max(columns[-1][0] + columns[-1][1] / 2, text_width(shown.title) + MARGIN) + MARGIN,
        height=bottom + MARGIN,
        boxes=tuple(places[box] for box in range(len(shown.boxes))),
        labels=tuple(None if label is None else places[label] for label in plan.labels),
        paths=_paths(plan, places, sides),
    )


def outline(path: tuple[Point, ...]) -> list[tuple[str, tuple[Point, ...]]]:
    """The path in SVG's commands: straight through each layer, curves without a kink between."""
    parts = [("M", path[:1])]
    slopes = [_rise(*path[start : start + 2]) for start in range(0, len(path), 2)]
    for index, (start, end) in enumerate(pairwise(path)):
        if index % 2 == 0:
            parts += [("L", (end,))] if end.x > start.x else []
            continue
        reach = (end.x - start.x) / 2
        leaving, arriving = slopes[index // 2], slopes[index // 2 + 1]
        first = Point(start.x + reach, start.y + reach * leaving)
        second = Point(end.x - reach, end.y - reach * arriving)
        parts.append(("C", (first, second, end)))
    return parts


def _rise(start: Point, end: Point) -> float:
    return (end.y - start.y) / (end.x - start.x) if end.x > start.x else 0.0


def text_width(text: str) -> float:
    """The width of a text in a fixed-width font; East Asian wide characters take two columns."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return (len(text) + wide) * COLUMN


def _sizes(shown: Picture, plan: Layers) -> dict[int, tuple[float, float]]:
    """Width and height of every vertex; a place where an arrow only passes has none."""
    sizes = {vertex: (0.0, 0.0) for layer in plan.order for vertex in layer}
    for index, box in enumerate(shown.boxes):
        leaving = sum(arrow.tail == index for arrow in shown.arrows)
        coming = sum(arrow.head == index for arrow in shown.arrows)
        height = max(BOX_HEIGHT, (max(leaving, coming) + 1) * PORT)
        sizes[index] = (max(BOX_HEIGHT, text_width(box.label) + 14), height)
    for arrow, label in zip(shown.arrows, plan.labels, strict=True):
        if label is not None:
            sizes[label] = (text_width(arrow.label) + 6, LABEL_HEIGHT)
    return sizes


def _heights(
    plan: Layers, sizes: dict[int, tuple[float, float]], columns: list[tuple[float, float]]
) -> dict[int, float]:
    """The y of every vertex: arrows as straight as the order and the distances allow.

    Minimises the weighted squares of the steps between neighbours, by their distance. One layer at
    a time is solved exactly; layers bind only through the sum, so the sweeps near the minimum.
    """
    centres = {
        vertex: x for (x, _), layer in zip(columns, plan.order, strict=True) for vertex in layer
    }
    links: dict[int, list[tuple[int, float]]] = defaultdict(list)
    for chain in plan.chains:
        for left, right in pairwise(chain):
            distance = centres[right] - centres[left]
            weight = _weight(left, sizes) * _weight(right, sizes) / distance
            links[left].append((right, weight))
            links[right].append((left, weight))
    gaps = [_offsets(layer, sizes) for layer in plan.order]
    heights = {
        vertex: offset - offsets[-1] / 2
        for layer, offsets in zip(plan.order, gaps, strict=True)
        for vertex, offset in zip(layer, offsets, strict=True)
    }
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        pairs = list(zip(plan.order, gaps, strict=True))
        for layer, offsets in pairs if forward else reversed(pairs):
            _settle(layer, offsets, links, heights)
    return heights


def _weight(vertex: int, sizes: dict[int, tuple[float, float]]) -> int:
    """Weight by which a vertex straightens its arrows: passing places most, labels, then boxes."""
    height = sizes[vertex][1]
    return 1 if height > LABEL_HEIGHT else 2 if height else 3


def _offsets(layer: tuple[int, ...], sizes: dict[int, tuple[float, float]]) -> list[float]:
    """The least distance of every vertex of a layer from its first."""
    offsets = [0.0]
    for upper, lower in pairwise(layer):
        tall, low = sizes[upper][1], sizes[lower][1]
        boxes = max(tall, low) > LABEL_HEIGHT
        offsets.append(offsets[-1] + (tall + low) / 2 + (14.0 if boxes else 8.0))
    return offsets


def _settle(
    layer: tuple[int, ...],
    offsets: list[float],
    links: dict[int, list[tuple[int, float]]],
    heights: dict[int, float],
) -> None:
    """Move one layer, in place, to its best heights: least squares under the distances.

    With the distances taken off, the heights may only rise: isotonic regression, by pooling.
    """
    pools: list[tuple[float, float, int]] = []
    for vertex, offset in zip(layer, offsets, strict=True):
        weight = sum(weight for _, weight in links[vertex])
        wished = sum(weight * heights[other] for other, weight in links[vertex])
        mean = wished / weight if weight else heights[vertex]
        pool = (mean - offset, weight or 1.0, 1)
        while pools and pools[-1][0] > pool[0]:
            value, mass, count = pools.pop()
            total = mass + pool[1]
            pool = ((value * mass + pool[0] * pool[1]) / total, total, count + pool[2])
        pools.append(pool)
    settled = [value for value, _, count in pools for _ in range(count)]
    for vertex, offset, value in zip(layer, offsets, settled, strict=True):
        heights[vertex] = value + offset


def _columns(
    plan: Layers, sizes: dict[int, tuple[float, float]], heights: dict[int, float]
) -> list[tuple[float, float]]:
    """The centre and the width of every layer; steep arrows get more room between two layers."""
    steps = [0.0] * len(plan.order)
    rank_of = {vertex: rank for rank, layer in enumerate(plan.order) for vertex in layer}
    for chain in plan.chains:
        for left, right in pairwise(chain):
            rank = rank_of[right]
            steps[rank] = max(steps[rank], abs(heights[left] - heights[right]))
    columns: list[tuple[float, float]] = []
    edge = MARGIN
    for rank, layer in enumerate(plan.order):
        width = max(THIN, *(sizes[vertex][0] for vertex in layer))
        edge += min(60.0, 20.0 + 0.3 * steps[rank]) if rank else 0.0
        columns.append((edge + width / 2, width))
        edge += width
    return columns


def _paths(
    plan: Layers, places: dict[int, Rectangle], sides: dict[int, tuple[float, float]]
) -> tuple[tuple[Point, ...], ...]:
    """Every arrow's points: from a port of its tail past every layer to a port of its head."""
    leaving = _ports(plan, places, 0)
    coming = _ports(plan, places, -1)
    paths: list[tuple[Point, ...]] = []
    for index, chain in enumerate(plan.chains):
        tail, head = places[chain[0]], places[chain[-1]]
        start = Point(sides[chain[0]][1], leaving[index])
        end = Point(sides[chain[-1]][0], coming[index])
        centres = [start, *(Point(places[place].x, places[place].y) for place in chain[1:-1]), end]
        points = [Point(tail.right, start.y), start]
        for rank, vertex in enumerate(chain[1:-1], start=1):
            left, right = sides[vertex]
            level = places[vertex].height > 0
            before, at, after = centres[rank - 1 : rank + 2]
            slope = 0.0 if level else _slope(before, at, after, right - left)
            rise = slope * (right - left) / 2
            points.append(Point(left, at.y - rise))
            points.append(Point(right, at.y + rise))
        paths.append((*points, end, Point(head.left, end.y)))
    return tuple(paths)


def _slope(before: Point, at: Point, after: Point, width: float) -> float:
    """The slope of an arrow in a layer that it passes, so that it does not run in stairs.

    Level at a turning point, and never so steep that it meets what stands beside it.
    """
    one = (at.y - before.y) / (at.x - before.x)
    two = (after.y - at.y) / (after.x - at.x)
    if one * two <= 0:
        return 0.0
    return math.copysign(min(abs(one), abs(two), 2 * RISE / width), one)


def _ports(plan: Layers, places: dict[int, Rectangle], end: int) -> list[float]:
    """The y at which every arrow meets its tail (`end` 0) or head (-1), spread along the side."""
    beside = 1 if end == 0 else -2
    meeting: dict[int, list[int]] = defaultdict(list)
    for index, chain in enumerate(plan.chains):
        meeting[chain[end]].append(index)
    ports = [math.nan] * len(plan.chains)
    for box, arrows in meeting.items():
        arrows.sort(key=lambda index: places[plan.chains[index][beside]].y)
        for rank, index in enumerate(arrows):
            ports[index] = places[box].y + (rank - (len(arrows) - 1) / 2) * PORT
    return ports
