"""From the weights of a supernet's choices to a genotype: the published rules, or a draw."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from nasir.errors import NasirError, quoted
from nasir.genotype import CellGenotype, Edge, Genotype
from nasir.space.compute import Seed
from nasir.space.load import SpaceLike, as_space
from nasir.space.space import Space, SpaceCell, SpaceEdge
from nasir.wanted import checked

Weights = Mapping[str, Sequence[float]]
"""For each choice of a supernet, by name, a number for each option, in the choice's order."""

Pick = Callable[[Sequence[float], int], list[int]]
"""(scores, how many) -> the places that are picked, in the order in which they are emitted."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided at one node of a kind of cell, by the names of a supernet's choices.

    `edges` are the choices of the ops on its edges, by source, of which `keep` edges are kept. A
    node whose op is its own has no such choices: its op is the choice `op`, and the choice
    `sources` says which `keep` states it reads ("" where it reads every one). The output of such a
    cell is the last decision, its node the number after the last one's.
    """

    kind: str
    node: int
    edges: tuple[str, ...]
    keep: int
    op: str = ""
    sources: str = ""


@checked
def decisions(space: SpaceLike) -> tuple[Decision, ...]:
    """The decisions of its supernet, by kind of cell, then node. Raises E505 without a supernet."""
    space = as_space(space)
    found = (_node_decisions if cell.on_nodes else _edge_decisions for cell in space.cells)
    pairs = zip(found, space.cells, strict=True)
    return tuple(decision for decide, cell in pairs for decision in decide(cell))


@checked
def derive(space: SpaceLike, weights: Weights, name: str = "") -> Genotype:
    """The genotype that the weights of the supernet's choices select.

    The score of an edge is the largest weight of its ops, times the weight of the edge in the
    choice `normal/n3` where the weights have that (PC-DARTS). A node keeps the edges with the best
    scores, best first, and on each the op with the largest weight; of equals the first. Ops that
    the space excludes count for neither. A node that keeps every edge has them by source. With
    `repeats` all pairs of an edge and an op are ranked together (GDAS in NASNet's space), so that
    two may be of one edge. Where ops stand on nodes, nodes and the output read the states with the
    largest weights, by number.

    Weights of other names are not read. Raises E401 where a choice of the space has no weights,
    E212 where it has another number of them, E107 for NaN, and E505 for a space without a supernet.
    """
    return _genotype(as_space(space), weights, _best, name)


@checked
def draw_genotype(space: SpaceLike, weights: Weights, seed: Seed, name: str = "") -> Genotype:
    """A genotype drawn by the weights of the supernet's choices, which are 0 or more.

    Everything that `derive` would rank is drawn instead, in proportion to its score: the op of an
    edge or of a node by the weights of the ops that can be selected; then, without putting any
    back, the edges (or pairs, or states) that a node keeps, by the scores that `derive` gives them.
    What has the score 0 is drawn only when nothing else is left, each as likely as another. In
    NAS-Bench-201 this is one draw for each edge. One seed always draws the same genotype, with the
    edges of a node by source. Raises what `derive` raises, and E107 for one below 0 or infinite.
    """
    random = seed if isinstance(seed, Random) else Random(seed)
    return _genotype(
        as_space(space), weights, lambda scores, count: _drawn(scores, count, random), name
    )


def _best(scores: Sequence[float], count: int) -> list[int]:
    """The places of the largest scores, largest first; of equals the first."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])[:count]


def _drawn(scores: Sequence[float], count: int, random: Random) -> list[int]:
    """Places drawn in proportion to their scores, none twice, in order."""
    wrong = [score for score in scores if not 0 <= score < math.inf]
    if wrong:
        raise NasirError(
            "E107", f"a weight is {wrong[0]}: nothing can be drawn in proportion to it"
        )
    left = list(range(len(scores)))
    found: list[int] = []
    while left and len(found) < count:
        row = [scores[place] for place in left]
        (place,) = random.choices(left, row if sum(row) > 0 else None)
        left.remove(place)
        found.append(place)
    return sorted(found)


def _genotype(space: Space, weights: Weights, pick: Pick, name: str) -> Genotype:
    cells = tuple(
        _node_cell(cell, weights, pick) if cell.on_nodes else _edge_cell(cell, weights, pick)
        for cell in space.cells
    )
    return Genotype(space.name, cells, name=name, definition=space)


def _edge_cell(cell: SpaceCell, weights: Weights, pick: Pick) -> CellGenotype:
    nodes = range(cell.inputs, cell.inputs + cell.nodes)
    edges = tuple(_edges_into(cell, node, weights, pick) for node in nodes)
    return CellGenotype(
        cell.kind, cell.inputs, edges, cell.output, combine=cell.combine, join=cell.join
    )


def _edges_into(cell: SpaceCell, node: int, weights: Weights, pick: Pick) -> tuple[Edge, ...]:
    """The edges that a node keeps."""
    edges = cell.into(node)
    rows = [_selectable(cell, edge, weights) for edge in edges]
    factors = _edge_weights(cell, node, edges, weights)
    if cell.repeats and cell.keep is not None:
        pairs = [(e.source, op) for e, row in zip(edges, rows, strict=True) for op in row]
        scores = [w * f for row, f in zip(rows, factors, strict=True) for w in row.values()]
        places = pick(scores, cell.keep)
        places += places[:1] * (
            cell.keep - len(places)
        )  # fewer pairs than edges: one of them again
        return tuple(Edge(pairs[place][1], pairs[place][0]) for place in places)
    scores = [max(row.values()) * factor for row, factor in zip(rows, factors, strict=True)]
    places = range(len(edges)) if cell.keep is None else pick(scores, cell.keep)
    return tuple(Edge(_op(rows[place], pick), edges[place].source) for place in places)


def _selectable(cell: SpaceCell, edge: SpaceEdge, weights: Weights) -> dict[str, float]:
    """The weights of the ops that can be selected on an edge, in the space's order."""
    row = _row(weights, _edge_name(cell, edge), len(edge.ops))
    return {op: w for op, w in zip(edge.ops, row, strict=True) if op not in cell.exclude}


def _edge_weights(
    cell: SpaceCell, node: int, edges: Sequence[SpaceEdge], weights: Weights
) -> tuple[float, ...]:
    """What the scores of a node's edges are multiplied by."""
    name = f"{cell.kind}/n{node}"
    return _row(weights, name, len(edges)) if name in weights else (1.0,) * len(edges)


def _op(row: Mapping[str, float], pick: Pick) -> str:
    return tuple(row)[pick(tuple(row.values()), 1)[0]]


def _node_cell(cell: SpaceCell, weights: Weights, pick: Pick) -> CellGenotype:
    _check_parents(cell)
    ops: list[str] = []
    rows: list[tuple[int, ...]] = []
    for decision in _node_decisions(cell):
        if decision.op:
            found = _row(weights, decision.op, len(cell.node_ops))
            ops.append(_op(dict(zip(cell.node_ops, found, strict=True)), pick))
        if decision.sources:
            scores = _row(weights, decision.sources, decision.node)
            rows.append(tuple(sorted(pick(scores, decision.keep))))
        else:
            rows.append(tuple(range(decision.node)))
    nodes = tuple(tuple(Edge("", source) for source in row) for row in rows[:-1])
    return CellGenotype(cell.kind, cell.inputs, nodes, rows[-1], ops=tuple(ops))


def _row(weights: Weights, name: str, options: int) -> tuple[float, ...]:
    """The weights of a choice. Raises E107, E212 and E401."""
    if name not in weights:
        message = f"the choice {quoted(name)} has no weights"
        raise NasirError("E401", message, hint="give those of every choice of the supernet")
    row = tuple(float(weight) for weight in weights[name])
    if len(row) != options:
        message = f"the choice {quoted(name)} has {options} options, and {len(row)} weights"
        raise NasirError("E212", message)
    if any(math.isnan(weight) for weight in row):
        message = f"a weight of the choice {quoted(name)} is NaN"
        raise NasirError("E107", message, hint="the search that made it has diverged")
    return row


def _edge_name(cell: SpaceCell, edge: SpaceEdge) -> str:
    return f"{cell.kind}/n{edge.node}.e{edge.source}"


def _edge_decisions(cell: SpaceCell) -> Iterator[Decision]:
    for node in range(cell.inputs, cell.inputs + cell.nodes):
        edges = cell.into(node)
        keep = len(edges) if cell.keep is None else cell.keep
        names = tuple(_edge_name(cell, edge) for edge in edges)
        yield Decision(cell.kind, node, names, keep if cell.repeats else min(keep, len(edges)))


def _node_decisions(cell: SpaceCell) -> Iterator[Decision]:
    _check_parents(cell)
    last = cell.nodes + 1
    for node, keep in enumerate(cell.parents, start=1):
        op = f"{cell.kind}/n{node}" if node < last else ""
        sources = f"{cell.kind}/n{node}.in" if node < last else f"{cell.kind}/out"
        yield Decision(cell.kind, node, (), keep, op, sources if keep < node else "")


def _check_parents(cell: SpaceCell) -> None:
    if not cell.parents:
        raise NasirError(
            "E505",
            f"cell '{cell.kind}' has no supernet: the widths of its nodes follow from the edges",
            hint="the spaces nasbench1shot1_1 to _3 have one, each a part of nasbench101",
        )
