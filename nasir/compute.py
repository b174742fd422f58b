"""Computing with a space: how large it is, its n-th genotype, draws, neighbours and offspring.

Every function takes a space, or what `load_space` takes, and genotypes, or what `load_genotype`
takes.
"""

from collections.abc import Iterator
from math import prod
from random import Random

from nasir.errors import NasirError, quoted
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.genotype import CellGenotype, Genotype, Numbers
from nasir.space import tree
from nasir.space.derive import Seed
from nasir.space.load import SpaceLike, as_space
from nasir.space.space import Space
from nasir.space.tree import Pick
from nasir.wanted import checked


@checked
def size(space: SpaceLike) -> int:
    """The exact number of genotypes: edges of a node are a set, equal functions count apart."""
    return as_space(space).count


@checked
def unrank(space: SpaceLike, index: int) -> Genotype:
    """The genotype of that number, 0 .. size-1, in canonical form. Raises E205.

    Numbers of the size vary fastest, the last one first, then the last cell; in NAS-Bench-201 the
    last edge, as its code enumerates the cells, which is not the order of its benchmark files.
    """
    space = as_space(space)
    if not 0 <= index < space.count:
        raise NasirError(
            "E205",
            f"space '{space.name}' has no genotype {index}",
            hint=f"its genotypes are 0 to {space.count - 1}",
        )
    return _unrank(space, index)


@checked
def rank(space: SpaceLike, genotype: GenotypeLike) -> int:
    """The number of a genotype, whatever the order of its edges: `unrank` inverts it. Raises E211.

    The genotype's own space does not count, nor do its name and source.
    """
    space, genotype, index = as_space(space), as_genotype(genotype), 0
    for part, cell in zip(space.decisions, _cells(space, genotype), strict=True):
        index = index * part.size + part.rank(cell)
    sizes = prod(each.size for each in space.size_walk)
    return index * sizes + tree.rank(space.size_walk, _picks(genotype.size))


@checked
def enumerate_genotypes(space: SpaceLike) -> Iterator[Genotype]:
    """Every genotype once, in the order of `rank`; lazy, however large the space is."""
    return _each(as_space(space))


@checked
def sample(space: SpaceLike, seed: Seed) -> Genotype:
    """A genotype, each as likely as any other; one seed always draws the same one."""
    space = as_space(space)
    return _unrank(space, _random(seed).randrange(space.count))


@checked
def neighbours(space: SpaceLike, genotype: GenotypeLike) -> Iterator[Genotype]:
    """Every genotype that differs from this one in one decision, each once. Raises E211.

    One op on an edge is another, or one edge starts at another state: it keeps its op, and takes
    any where the two edges have none in common; or one number of the size is another. A
    neighbour's neighbours include the genotype.
    """
    space, genotype = as_space(space), as_genotype(genotype)
    return _neighbours(space, _cells(space, genotype), genotype.size)


@checked
def mutate(space: SpaceLike, genotype: GenotypeLike, seed: Seed) -> Genotype:
    """A neighbour, each as likely as any other. Raises E211 also where there is none."""
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
    """A genotype of the space each of whose nodes and numbers is from either. Raises E211.

    Where both keep the same edges at a node, each edge's op is from either.
    """
    space, random = as_space(space), _random(seed)
    first, second = as_genotype(first), as_genotype(second)
    pairs = zip(space.decisions, _cells(space, first), _cells(space, second), strict=True)
    cells = tuple(part.cross(a, b, random) for part, a, b in pairs)
    sizes = tree.cross(space.size_walk, _picks(first.size), _picks(second.size), random)
    return _genotype(space, cells, _size(space, sizes))


def _each(space: Space) -> Iterator[Genotype]:
    index = 0
    while index < space.count:  # more than a range can count
        yield _unrank(space, index)
        index += 1


def _unrank(space: Space, index: int) -> Genotype:
    cells: list[CellGenotype] = []
    index, digit = divmod(index, prod(each.size for each in space.size_walk))
    size = _size(space, tree.unrank(space.size_walk, digit))
    for part in reversed(space.decisions):
        index, digit = divmod(index, part.size)
        cells.append(part.unrank(digit))
    cells.reverse()
    return _genotype(space, tuple(cells), size)


def _cells(space: Space, genotype: Genotype) -> tuple[CellGenotype, ...]:
    """The genotype's cells in the space's order and in canonical form. Raises E211."""
    reasons = space.contains(genotype)
    if reasons:
        raise NasirError(
            "E211",
            f"genotype {quoted(genotype.name or 'without a name')} "
            f"does not belong to the space '{space.name}'",
            hint=reasons[0],
        )
    pairs = zip(space.decisions, space.kinds, strict=True)
    return tuple(part.canonical(genotype.cell(kind)) for part, kind in pairs)


def _neighbours(space: Space, cells: tuple[CellGenotype, ...], size: Numbers) -> Iterator[Genotype]:
    for place, (part, cell) in enumerate(zip(space.decisions, cells, strict=True)):
        for other in part.neighbours(cell):
            yield _genotype(space, (*cells[:place], other, *cells[place + 1 :]), size)
    for picks in tree.neighbours(space.size_walk, _picks(size)):
        yield _genotype(space, cells, _size(space, picks))


def _genotype(space: Space, cells: tuple[CellGenotype, ...], size: Numbers) -> Genotype:
    return Genotype(space.name, cells, definition=space, size=size)


def _picks(size: Numbers) -> tuple[Pick, ...]:
    """The picks of the skeleton's decisions."""
    return tuple(((number, ()),) for _, number in size)


def _size(space: Space, picks: tuple[Pick, ...]) -> Numbers:
    return tuple(
        (name, int(number))
        for (name, _), ((number, _),) in zip(space.open_size, picks, strict=True)
    )


def _random(seed: Seed) -> Random:
    return seed if isinstance(seed, Random) else Random(seed)
