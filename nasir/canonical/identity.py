"""Identity of genotypes: classes of those that are the same architecture."""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from math import prod

from nasir.arguments import checked
from nasir.canonical.labelling import Labelling, label, label_module
from nasir.canonical.terms import Behaviours, Place, Strides, cell_terms, highway
from nasir.compute import enumerate_genotypes
from nasir.errors import PRIMITIVE_LIMIT, Budget, NasirError
from nasir.formats.load import GenotypeLike, as_genotype
from nasir.macros import ACTIVATIONS, MACROS
from nasir.ops import Macro, Op
from nasir.space import Space
from nasir.space.cells import cell_op
from nasir.space.decisions import CellGenotype
from nasir.space.layout import PUBLISHED
from nasir.space.load import SpaceLike, as_space, ops_of
from nasir.space.nasbench101 import limits_broken, live_cell, module_hash, module_of
from nasir.space.own_skeletons import find_skeleton
from nasir.space.skeletons import SKELETONS
from nasir.space.space import Genotype
from nasir.table import Table


@checked
def canonical_id(genotype: GenotypeLike) -> str:
    """32 hexadecimal digits, equal for genotypes that are equal by the rules below.

    Equal genotypes are one architecture: in a skeleton they compute the same functions, one for
    each choice of weights, with the weights that matter in one-to-one correspondence (see
    `correspondence`), up to the rounding of sums in another order. The rules:

    - the order of a node's edges, of the nodes, and of what leaves the cell does not matter (what
      reads the concatenation can reorder its weights: every op works alike on all channels);
    - an op that is the identity at its stride is what it reads; sums in sums are one sum;
    - zeros leave sums; zero stays zero under ops that keep it, and what has weights behind
      its batch norm makes of zero a constant, the same for all convolutions;
    - what the output does not need is not there, nor is what a blind op (noise) reads;
    - equal ops without weights on equal values are one, and linear ones work term by term.

    An edge with weights is itself: one convolution read twice is never two convolutions. Ops are
    known by their primitives, so that two names of one composition are equal. A cell that is an
    option is an op, equal to one with the same edges whatever their order at a node. Where a kind
    of cell can be placed with several strides, only what holds at each counts. The space's name,
    and the genotype's, do not matter; the names of the kinds do. The digest is SHA-256, the same on
    all machines; a change of an op's primitives changes it.

    Nodes that concatenate what they read are equal only to the letter. Cells with ops on nodes are
    equal when they are one module, the order of what feeds the output
    kept (see `label_module`). Numbers of the size are equal only to themselves.

    In NAS-Bench-201 this makes 5,267 classes of the 15,625 cells; docs/spaces.md compares them with
    the literature's 6,466.
    """
    genotype = as_genotype(genotype)
    home = genotype.definition
    inner = home.inner if home else ()
    outer = [cell for cell in genotype.cells if cell.kind not in inner]
    lines = [f"{c.kind} {c.inputs} {_labelling(c, genotype).digest.hex()}" for c in outer]
    lines.sort()
    lines += [f"{name}={number}" for name, number in genotype.size]
    return sha256("\n".join(lines).encode()).hexdigest()[:32]


@checked
def nasbench101_hash(genotype: GenotypeLike) -> str:
    """The benchmark's name for the genotype's only cell, the same for isomorphic modules.

    Raises an error for a cell whose input does not reach its output, or for one that is no module
    or is outside the benchmark's limits.
    """
    genotype = as_genotype(genotype)
    if len(genotype.cells) != 1:
        have = ", ".join(genotype.kinds)
        raise NasirError("E208", f"nasbench101 cannot express the cells '{have}': it has one")
    module = module_of(live_cell(genotype.cells[0]))
    for reason in limits_broken(module):
        raise NasirError("E208", f"the genotype is not in NAS-Bench-101: {reason}")
    return module_hash(module)


@dataclass(frozen=True, slots=True)
class CellCorrespondence:
    """Correspondence of one cell to an equal one.

    `edges` pairs the edges with weights that matter, each the state of its node and its slot
    there (with ops on nodes the nodes, at slot 0); `outputs` has for each output of the first cell
    the place of the second's equal one.
    """

    kind: str
    edges: tuple[tuple[Place, Place], ...]
    outputs: tuple[int, ...]


@checked
def correspondence(
    first: GenotypeLike, second: GenotypeLike
) -> tuple[CellCorrespondence, ...] | None:
    """Correspondences that carry weights from one genotype to an equal one; None where unequal.

    Cells that nothing selects are left out where they differ.
    """
    first, second = as_genotype(first), as_genotype(second)
    if canonical_id(first) != canonical_id(second):
        return None
    pairs = (
        (k, *(_labelling(each.cell(k), each) for each in (first, second))) for k in first.kinds
    )
    return tuple(_paired(k, a, b) for k, a, b in pairs if a.digest == b.digest)


@checked
def count_classes(space: SpaceLike) -> int:
    """The number of different ids in a space. Enumerates each kind of cell: mind its size."""
    space = as_space(space)
    if space.inner or space.where:
        return len({canonical_id(genotype) for genotype in enumerate_genotypes(space)})
    home = Genotype(space.name, (), definition=space)
    return space.sizes * prod(
        len({_labelling(part.unrank(i), home).digest for i in range(part.size)})
        for part in space.decisions
    )


def _paired(kind: str, one: Labelling, two: Labelling) -> CellCorrespondence:
    targets = dict(zip(one.outputs, two.outputs, strict=True))
    return CellCorrespondence(
        kind,
        tuple(zip(one.edges, two.edges, strict=True)),
        tuple(targets[i] for i in range(len(targets))),
    )


def _labelling(cell: CellGenotype, genotype: Genotype) -> Labelling:
    space = genotype.definition
    if cell.ops or not cell.nodes:
        return label_module(cell)
    if cell.combine == "concat":
        return _as_it_stands([cell, *_selected(cell, genotype)], space)
    if (
        cell.kind in _HIGHWAYS
        or space is None
        or not (space.ops or space.inner or space.layout is not PUBLISHED)
    ):
        return label(cell_terms(cell, _shipped(cell.kind, MACROS)))
    cells = {x.kind: _option(x, genotype, space) for x in _selected(cell, genotype)}
    known = {**cells, **ops_of(space, cell.kind)}
    return label(cell_terms(cell, Behaviours(_strides_in(space, cell.kind), known)))


@cache
def _shipped(kind: str, macros: Table[Op]) -> Behaviours:
    """Behaviours of ops that need no space in a kind of cell."""
    if kind in _HIGHWAYS:
        return Behaviours((1,), ACTIVATIONS, highway)
    return Behaviours(_strides(kind), macros)


def _option(cell: CellGenotype, genotype: Genotype, space: Space) -> Macro:
    """The op that a cell is, whatever the genotype's other cells are."""
    return cell_op(cell.kind, (*_selected(cell, genotype), cell), space.ops)


def _selected(cell: CellGenotype, genotype: Genotype) -> list[CellGenotype]:
    """The cells that are ops of a cell, and those that are ops of them, each before its users."""
    named, sizes, found = {*cell.named_ops}, dict[str, int](), list[CellGenotype]()
    for kind in reversed(genotype.definition.inner if genotype.definition else ()):
        if kind in named:
            found.insert(0, genotype.cell(kind))
            named |= {*found[0].named_ops}
    for each in found:
        sizes[each.kind] = sum(sizes.get(op, 1) for op in each.named_ops)
    Budget(PRIMITIVE_LIMIT, f"the cell '{cell.kind}'", "ops").spend(sum(sizes.values()))
    return found


_HIGHWAYS = frozenset(
    kind for row in SKELETONS.values() if row.ops is ACTIVATIONS for kind in row.kinds
)
"""The kinds of cell whose ops are activations with a highway around them."""


def _as_it_stands(cells: list[CellGenotype], space: Space | None) -> Labelling:
    """A cell whose nodes are concatenations, and the cells that are its ops: equal only to the
    letter, which is sound.
    """
    cell = cells[0]
    ops = "".join(sorted(op.definition for op in space.ops)) if space else ""
    text = "".join(f"{c.nodes} {c.output} {c.combine} {c.join} " for c in cells) + ops
    places = [
        (state, slot)
        for state, edges in enumerate(cell.nodes, start=cell.inputs)
        for slot in range(len(edges))
    ]
    return Labelling(sha256(text.encode()).digest(), tuple(places), tuple(range(len(cell.output))))


def _strides_in(space: Space, kind: str) -> Strides:
    """The stride of edges from the inputs of a kind of cell, as its space places it."""
    skeleton = find_skeleton(space.skeleton, space)
    if not skeleton.laid_out:
        return skeleton.strides
    return (2 if kind in space.layout.halves else 1,)


@cache
def _strides(kind: str) -> Strides:
    """The strides of edges from the inputs of a kind of cell, over all skeletons that have it.

    Of a kind that no skeleton has, anything may be true.
    """
    found = {
        2 if row.laid_out and kind in PUBLISHED.halves else 1
        for row in SKELETONS.values()
        if kind in row.kinds
    }
    return tuple(sorted(found)) or (1, 2)
