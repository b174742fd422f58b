"""Counts, numbers, samples, mutates and crosses genotypes, and derives them from weights.

Every function takes a space or an argument of `load_space`, and genotypes or arguments of
`load_genotype`.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import count, takewhile
from random import Random
from threading import get_ident

from nasir.arguments import check_arguments, checked
from nasir.costing import Totals, totals
from nasir.errors import NasirError, quoted
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.space import adopt, tree
from nasir.space.decisions import Numbers
from nasir.space.load import SpaceLike, as_space
from nasir.space.own_skeletons import find_skeleton
from nasir.space.skeletons import network_size
from nasir.space.space import Genotype, Space
from nasir.space.tree import Choose, Pick, Picker, Weights

Seed = int | Random
"""A number that fixes all random choices, or a generator, whose state advances."""

_DRAWS = 10_000
"""The maximum number of samples tried until one fulfils a space's `where`."""


@checked
def size(space: SpaceLike) -> int:
    """The exact number of genotypes: edges of a node are a set, equal functions count apart.

    Raises an error if the space has a `where` and too many genotypes to enumerate.
    """
    return as_space(space).count


@checked
def acceptance(space: SpaceLike, draws: int = 1000) -> float:
    """The share of genotypes that fulfil the space's `where`, 1 where it has none.

    Exact if the space is small enough to enumerate, else estimated from `draws` samples.
    """
    space, random = as_space(space), Random(0)
    if space.where is None:
        return 1.0
    if space.countable:
        return space.count / space.total
    drawn = (space.numbered(random.randrange(space.total)) for _ in range(draws))
    return sum(map(space.admits, drawn)) / draws


@checked
def unrank(space: SpaceLike, index: int) -> Genotype:
    """The genotype of that number, 0 .. size-1, in canonical form.

    Numbers of the size vary fastest, the last one first, then the last cell; in NAS-Bench-201 the
    last edge, as its code enumerates the cells, which is not the order of its benchmark files.
    """
    space = as_space(space)
    if not 0 <= index < space.count:
        raise NasirError(
            "E202",
            f"space '{space.name}' has no genotype {index}",
            hint=f"its genotypes are 0 to {space.count - 1}",
        )
    return space.numbered(index if space.where is None else space.members[index])


@checked
def rank(space: SpaceLike, genotype: GenotypeLike) -> int:
    """The number of a genotype, whatever the order of its edges: `unrank` inverts it.

    The genotype's own space does not count, nor do its name and source.
    """
    space, index = as_space(space), 0
    own = _canonical(space, genotype)
    for part, cell in zip(space.decisions, own.cells, strict=True):
        index = index * part.size + part.rank(cell)
    index = index * space.sizes + tree.rank(space.size_walk, _picks(own.size))
    return index if space.where is None else bisect_left(space.members, index)


@checked
def enumerate_genotypes(space: SpaceLike) -> Iterator[Genotype]:
    """Every genotype once, in the order of `rank`; lazy, however large the space is."""
    return _each(as_space(space))


@checked
def costs(
    space: SpaceLike,
    genotypes: Iterable[GenotypeLike] | None = None,
    skeleton: str | None = None,
    **size: int,
) -> Iterator[Totals]:
    """The totals of `nasir.cost` for each genotype's network, without building the networks.

    `genotypes` defaults to all, in the order of `rank`; lazy: NAS-Bench-201 takes about four
    seconds. Skeleton, sizes and errors are those of `nasir.network`.
    """
    space = as_space(space)
    found = find_skeleton(skeleton or space.skeleton, space)
    check_arguments(size, int)
    given = _each(space) if genotypes is None else (adopt(as_genotype(g), space) for g in genotypes)
    return (totals(each, found, network_size(each, found, size)) for each in given)


@checked
def sample(space: SpaceLike, seed: Seed) -> Genotype:
    """A genotype, sampled uniformly; equal seeds give equal genotypes.

    In a space with a `where` that is too large to enumerate, sampling is repeated until a genotype
    fulfils it. Raises an error if none does.
    """
    space, random = as_space(space), _random(seed)
    if space.where is None:
        return space.numbered(random.randrange(space.total))
    if space.countable and space.members:
        return space.numbered(random.choice(space.members))
    draws = range(1 if space.countable else _DRAWS)
    return _first(space, (space.numbered(random.randrange(space.total)) for _ in draws))


@checked
def neighbours(space: SpaceLike, genotype: GenotypeLike) -> Iterator[Genotype]:
    """The genotypes that differ from this one in one decision, each once.

    The decision is the op of an edge, the source of an edge (whose op stays, or is any op if the
    two edges have none in common), or a number of the size. The relation is symmetric.
    """
    space = as_space(space)
    found = _neighbours(space, _canonical(space, genotype))
    return found if space.where is None else filter(space.admits, found)


@checked
def mutate(space: SpaceLike, genotype: GenotypeLike, seed: Seed) -> Genotype:
    """A neighbour, sampled uniformly. Raises an error if there is none."""
    space = as_space(space)
    found = list(neighbours(space, genotype))
    if not found:
        raise NasirError("E211", f"space '{space.name}' has no neighbour of the genotype")
    return _random(seed).choice(found)


@checked
def crossover(
    space: SpaceLike,
    first: GenotypeLike,
    second: GenotypeLike,
    seed: Seed,
) -> Genotype:
    """A genotype of the space that takes each node and number from one of the two parents.

    If both parents have the same edges at a node, each edge's op is taken separately. In a space
    with a `where`, sampling is repeated until a genotype fulfils it.
    """
    space, random = as_space(space), _random(seed)
    one, two = _canonical(space, first), _canonical(space, second)
    pairs = tuple(zip(space.decisions, one.cells, two.cells, strict=True))

    def child() -> Genotype:
        cells = [part.cross(a, b, random) for part, a, b in pairs]
        sizes = tree.cross(space.size_walk, _picks(one.size), _picks(two.size), random)
        return space.made(cells, sizes)

    return _first(space, (child() for _ in range(_DRAWS)))


def _each(space: Space) -> Iterator[Genotype]:
    listed = space.where is not None and space.countable
    numbers = space.members if listed else takewhile(space.total.__gt__, count())  # beyond a range
    found = map(space.numbered, numbers)
    yield from found if listed else filter(space.admits, found)


def _first(space: Space, tried: Iterator[Genotype]) -> Genotype:
    """The first genotype that fulfils the space's `where`. Raises an error if none does."""
    reasons: tuple[str, ...] = ()
    for genotype in tried:
        if space.admits(genotype):
            return genotype
        reasons = space.contains(genotype)
    message = f"no genotype of space '{space.name}' that was tried fulfils its `where`"
    raise NasirError("E211", message, hint=f"the last one: {', '.join(reasons)}")


def _canonical(space: Space, genotype: GenotypeLike) -> Genotype:
    """The genotype of the space with cells and size in order."""
    genotype = as_genotype(genotype)
    reasons = space.contains(genotype)
    if reasons:
        raise NasirError(
            "E211",
            f"genotype {quoted(genotype.name or 'without a name')} "
            f"does not belong to the space '{space.name}'",
            hint=reasons[0],
        )
    return space.having(genotype)


def _neighbours(space: Space, genotype: Genotype) -> Iterator[Genotype]:
    cells, size = genotype.cells, genotype.size
    for place, (part, cell) in enumerate(zip(space.decisions, cells, strict=True)):
        for other in part.neighbours(cell):
            changed = (*cells[:place], other, *cells[place + 1 :])
            yield Genotype(space.name, changed, definition=space, size=size)
    for picks in tree.neighbours(space.size_walk, _picks(size)):
        yield space.made(cells, picks)


def _picks(size: Numbers) -> tuple[Pick, ...]:
    """The picks of the skeleton's decisions."""
    return tuple(((number, ()),) for _, number in size)


@cache
def _of_thread(thread: int) -> Random:
    """A generator for each thread: making one seeds it twice, which takes much of a draw's time."""
    return Random(thread)


def _random(seed: Seed) -> Random:
    """The generator itself, or the thread's own, for the length of one call."""
    if isinstance(seed, Random):
        return seed
    random = _of_thread(get_ident())
    super(Random, random).seed(int(seed))  # what Random.seed does with numbers
    return random


@dataclass(frozen=True, slots=True)
class Decision:
    """A decision at one node of a kind of cell, by the names of a supernet's choices.

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
    """The genotype selected by the weights of the supernet's choices.

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
    """A genotype sampled in proportion to the weights of the supernet's choices, which are >= 0.

    Each ranking of `derive` is replaced by sampling in proportion to the scores: first the op of
    each edge or node, from the ops that can be selected; then, without replacement, the edges (or
    pairs, or states) that a node keeps. Entries with score 0 are sampled last, uniformly. In
    NAS-Bench-201 this is one sample per edge. Equal seeds give equal genotypes, with the edges of a
    node by source. Raises the errors of `derive`, and one for a negative or infinite weight.
    """
    random = _random(seed)
    return _genotype(
        as_space(space), weights, lambda scores, count: _drawn(scores, count, random), name
    )


def _best(scores: Sequence[float], count: int) -> list[int]:
    """The indices of the largest scores, in descending order; ties keep their order."""
    return sorted(range(len(scores)), key=lambda place: -scores[place])[:count]


def _drawn(scores: Sequence[float], count: int, random: Random) -> list[int]:
    """Indices sampled in proportion to their scores without replacement, sorted."""
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
    """The genotype of the picks; the edges of a node keep the order of the picks."""
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
