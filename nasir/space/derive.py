"""From the weights of a supernet's choices to a genotype: the published rules, or a draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from nasir.errors import NasirError
from nasir.space.load import SpaceLike, as_space
from nasir.space.space import Genotype, Space
from nasir.space.tree import Choose, Picker, Weights
from nasir.wanted import checked

Seed = int | Random
"""A number, which decides everything that is drawn, or a generator that goes on."""


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
    """The decisions of its supernet, by kind of cell, then node. Raises an error without a
    supernet.
    """
    return tuple(
        _decision(each)
        for tree in as_space(space).trees
        for each in tree.walk
        if each.slot.role != "op on node" and not each.most
    )


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

    Numbers of the size that the space leaves open are the largest, which the supernet has. Weights
    of other names are not read. Raises an error where a choice of the space has no weights, or
    where it has another number of them, or for NaN, or for a space without a supernet.
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
    edges of a node by source. Raises what `derive` raises, and an error for one below 0 or
    infinite.
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


def _genotype(space: Space, weights: Weights, pick: Picker, name: str) -> Genotype:
    """The genotype of what is picked; the edges of a node keep the order in which they are."""
    cells = tuple(
        tree.cell_of([each.decide(weights, pick) for each in tree.walk]) for tree in space.trees
    )
    return Genotype(space.name, cells, name=name, definition=space, size=space.largest)


def _decision(each: Choose) -> Decision:
    slot, count, keep = each.slot, len(each.options), each.counts.start
    if slot.role == "edge into node":
        edges = tuple(str(option.then[0].slot) for option in each.options)
        return Decision(slot.kind, slot.node, edges, keep)
    op = str(replace(slot, role="op on node")) if slot.role == "input" else ""
    return Decision(slot.kind, slot.node or count, (), keep, op, str(slot) if keep < count else "")
