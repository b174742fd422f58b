"""Computing with a space: how large it is, its n-th genotype, draws, neighbours and offspring.

Every function takes a space, or what `load_space` takes, and genotypes, or what `load_genotype`
takes.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import count, takewhile
from math import prod
from random import Random

from nasir.errors import NasirError, quoted
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.genotype import Numbers
from nasir.space import adopt, tree
from nasir.space.derive import Seed
from nasir.space.load import SpaceLike, as_space
from nasir.space.skeletons import find_skeleton, network_size
from nasir.space.space import Genotype, Space
from nasir.space.tree import Pick
from nasir.totals import Totals, totals
from nasir.wanted import checked

_DRAWS = 10_000
"""After so many draws none of which fulfils a space's `where`, drawing ends."""


@checked
def size(space: SpaceLike) -> int:
    """The exact number of genotypes: edges of a node are a set, equal functions count apart.

    Raises an error where the space has a `where` and too many genotypes to look at each.
    """
    return as_space(space).count


@checked
def acceptance(space: SpaceLike, draws: int = 1000) -> float:
    """The share of genotypes that fulfil the space's `where`, 1 where it has none.

    It is exact where the space is small enough to look at each genotype, else estimated.
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
    sizes = prod(each.size for each in space.size_walk)
    index = index * sizes + tree.rank(space.size_walk, _picks(own.size))
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
    """What `nasir.cost` finds for each genotype's network, without writing the networks down.

    Without `genotypes` those of every genotype, in the order of `rank`; lazily: NAS-Bench-201 takes
    about four seconds. Skeleton and sizes are those of `nasir.network`. Raises what that raises.
    """
    space = as_space(space)
    found = find_skeleton(skeleton or space.skeleton)
    given = _each(space) if genotypes is None else (adopt(as_genotype(g), space) for g in genotypes)
    return (totals(each, found, network_size(each, found, size)) for each in given)


@checked
def sample(space: SpaceLike, seed: Seed) -> Genotype:
    """A genotype, each as likely as any other; one seed always draws the same one.

    In a space with a `where` that is too large to look at each genotype, draws are repeated until
    one fulfils it. Raises an error where none does.
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
    """Every genotype that differs from this one in one decision, each once.

    One op on an edge is another, or one edge starts at another state: it keeps its op, and takes
    any where the two edges have none in common; or one number of the size is another. A
    neighbour's neighbours include the genotype.
    """
    space = as_space(space)
    found = _neighbours(space, _canonical(space, genotype))
    return found if space.where is None else filter(space.admits, found)


@checked
def mutate(space: SpaceLike, genotype: GenotypeLike, seed: Seed) -> Genotype:
    """A neighbour, each as likely as any other. Raises an error also where there is none."""
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
    """A genotype of the space each of whose nodes and numbers is from either.

    Where both keep the same edges at a node, each edge's op is from either. In a space with a
    `where`, draws are repeated until one fulfils it.
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
    numbers = takewhile(space.total.__gt__, count())  # more than a range can count
    return filter(space.admits, map(space.numbered, numbers))


def _first(space: Space, tried: Iterator[Genotype]) -> Genotype:
    """The first that fulfils the space's `where`. Raises an error where none does."""
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


def _random(seed: Seed) -> Random:
    return seed if isinstance(seed, Random) else Random(seed)
