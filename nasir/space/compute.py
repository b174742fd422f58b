"""Computing with a space: how large it is, its n-th genotype, draws, neighbours and offspring.

Every function takes a space, or what `load_space` takes, and genotypes, or what `load_genotype`
takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from random import Random

from nasir.errors import NasirError, quoted
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.genotype import CellGenotype, Genotype
from nasir.space.decisions import CellDecisions, decisions
from nasir.space.load import SpaceLike, as_space
from nasir.space.space import Space
from nasir.wanted import checked

Seed = int | Random
"""A number, which decides everything that is drawn, or a generator that goes on."""


@checked
def size(space: SpaceLike) -> int:
    """The exact number of genotypes: edges of a node are a set, equal functions count apart."""
    return _known_space(as_space(space)).size


@checked
def unrank(space: SpaceLike, index: int) -> Genotype:
    """The genotype of that number, 0 .. size-1, in canonical form. Raises E205.

    The last cell varies fastest; in NAS-Bench-201 the last edge, as its code enumerates the cells,
    which is not the order of its benchmark files.
    """
    space = as_space(space)
    if not 0 <= index < size(space):
        raise NasirError(
            "E205",
            f"space '{space.name}' has no genotype {index}",
            hint=f"its genotypes are 0 to {size(space) - 1}",
        )
    return _unrank(space, _parts(space), index)


@checked
def rank(space: SpaceLike, genotype: GenotypeLike) -> int:
    """The number of a genotype, whatever the order of its edges: `unrank` inverts it. Raises E211.

    The genotype's own space does not count, nor do its name and source.
    """
    space, index = as_space(space), 0
    for part, cell in zip(_parts(space), _cells(space, as_genotype(genotype)), strict=True):
        index = index * part.size + part.rank(cell)
    return index


@checked
def enumerate_genotypes(space: SpaceLike) -> Iterator[Genotype]:
    """Every genotype once, in the order of `rank`; lazy, however large the space is."""
    return _each(as_space(space))


@checked
def sample(space: SpaceLike, seed: Seed) -> Genotype:
    """A genotype, each as likely as any other; one seed always draws the same one."""
    known = _known_space(as_space(space))
    return _unrank(known.space, known.parts, _random(seed).randrange(known.size))


@checked
def neighbours(space: SpaceLike, genotype: GenotypeLike) -> Iterator[Genotype]:
    """Every genotype that differs from this one in one decision, each once. Raises E211.

    One op on an edge is another, or one edge starts at another state: it keeps its op, and takes
    any where the two edges have none in common. A neighbour's neighbours include the genotype.
    """
    space = as_space(space)
    return _neighbours(space, _cells(space, as_genotype(genotype)))


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
    """A genotype of the space each of whose nodes is from either of the two. Raises E211.

    Where both keep the same edges at a node, each edge's op is from either.
    """
    space, random = as_space(space), _random(seed)
    pairs = zip(
        _parts(space),
        _cells(space, as_genotype(first)),
        _cells(space, as_genotype(second)),
        strict=True,
    )
    return _genotype(space, tuple(part.cross(a, b, random) for part, a, b in pairs))


@dataclass(frozen=True, slots=True)
class _Known:
    space: Space
    parts: tuple[CellDecisions, ...]
    size: int


_known: dict[int, _Known] = {}
"""Spaces by identity, each held so that no other takes its place: hashing one costs as much as
drawing from it."""


def _known_space(space: Space) -> _Known:
    """The decisions of each kind of cell, worked out once for a space."""
    known = _known.get(id(space))
    if known is None:
        if len(_known) >= 64:
            _known.clear()
        parts = tuple(map(decisions, space.cells))
        known = _known[id(space)] = _Known(space, parts, prod(part.size for part in parts))
    return known


def _parts(space: Space) -> tuple[CellDecisions, ...]:
    return _known_space(space).parts


def _each(space: Space) -> Iterator[Genotype]:
    parts = _parts(space)
    index, end = 0, size(space)
    while index < end:
        yield _unrank(space, parts, index)
        index += 1


def _unrank(space: Space, parts: tuple[CellDecisions, ...], index: int) -> Genotype:
    cells: list[CellGenotype] = []
    for part in reversed(parts):
        index, digit = divmod(index, part.size)
        cells.append(part.unrank(digit))
    cells.reverse()
    return _genotype(space, tuple(cells))


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
    pairs = zip(_parts(space), space.kinds, strict=True)
    return tuple(part.canonical(genotype.cell(kind)) for part, kind in pairs)


def _neighbours(space: Space, cells: tuple[CellGenotype, ...]) -> Iterator[Genotype]:
    for place, (part, cell) in enumerate(zip(_parts(space), cells, strict=True)):
        for other in part.neighbours(cell):
            yield _genotype(space, (*cells[:place], other, *cells[place + 1 :]))


def _genotype(space: Space, cells: tuple[CellGenotype, ...]) -> Genotype:
    return Genotype(space.name, cells, definition=space)


def _random(seed: Seed) -> Random:
    return seed if isinstance(seed, Random) else Random(seed)
