"""A search space, and the genotypes that are selected from it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Protocol

from nasir.errors import MEMBER_LIMIT, NasirError, Summarised
from nasir.macros import ALL_OPS
from nasir.node import Slot
from nasir.ops import Macro
from nasir.space import tree
from nasir.space.decisions import (
    CellGenotype,
    Numbers,
    SpaceCell,
    TreeDecisions,
    maker,
    misfits,
)
from nasir.space.layout import PUBLISHED, Layout
from nasir.space.nasbench101 import CellDecisions, ModuleDecisions, decisions
from nasir.space.tree import Choose, Option, Pick


@dataclass(frozen=True, slots=True)
class Genotype:
    """An architecture as its decisions: the cells, by kind. Equality ignores name and source.

    `size` has the numbers of the network's size that its space leaves open (width, depth).
    `definition` is the space itself, where it is known: a space that is not shipped has to be.
    """

    space: str
    cells: tuple[CellGenotype, ...]
    name: str = field(default="", compare=False)
    source: str = field(default="", compare=False)
    definition: "Space | None" = field(default=None, compare=False, repr=False)
    size: Numbers = ()

    def cell(self, kind: str) -> CellGenotype:
        """The cell of that kind. Raises an error when there is none."""
        for cell in self.cells:
            if cell.kind == kind:
                return cell
        have = ", ".join(cell.kind for cell in self.cells)
        raise NasirError(
            "E202",
            f"genotype {self.name or 'without a name'} has no '{kind}' cell",
            hint=f"it has: {have}" if have else "",
        )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cell, in order."""
        return tuple(cell.kind for cell in self.cells)

    def _repr_svg_(self) -> str | None:
        """The picture of its cells, where it has few enough edges for one."""
        from nasir.pictures import draw  # few genotypes are drawn

        with suppress(NasirError):
            return draw(self).svg


_genotype = maker(Genotype)


class Conditional(Protocol):
    """The conditions of a space, and how its file has them."""

    @property
    def texts(self) -> tuple[str, ...]: ...

    def reasons(self, genotype: Genotype) -> Iterator[str]:
        """Yields the conditions that a genotype of the space does not fulfil."""
        ...


@dataclass(frozen=True, repr=False)
class Space(Summarised):
    """A search space as its file describes it, edges written out.

    `ops` are the ops that it defines itself, `size` the sizes of its own network by name where
    they are not the skeleton's, `open_size` those that a genotype decides with what they may be,
    `where` the conditions that genotypes fulfil, `network` the definition of a skeleton of its own
    (`own`), `text` the file's data as JSON.
    """

    name: str
    title: str
    paper: str
    skeleton: str
    cells: tuple[SpaceCell, ...]
    ops: tuple[Macro, ...] = ()
    layout: Layout = PUBLISHED
    size: Numbers = ()
    open_size: tuple[tuple[str, tuple[int, ...]], ...] = ()
    where: Conditional | None = None
    network: str = ""
    text: str = field(default="", compare=False, repr=False)

    @property
    def _facts(self) -> Mapping[str, object]:
        found = {"name": self.name, "title": self.title, "paper": self.paper}
        for cell in self.cells:
            ops = ", ".join(cell.named_ops)
            found[cell.kind] = f"{cell.nodes} nodes, {len(cell.edges)} edges, ops {ops}"
        return found | {"genotypes": f"{'at most ' * bool(self.where)}{self.total:,}"}

    @cached_property
    def decisions(self) -> tuple[CellDecisions, ...]:
        """The numbered decisions of each kind of cell."""
        return tuple(map(decisions, self.cells))

    @cached_property
    def size_walk(self) -> tuple[Choose, ...]:
        """The decisions of its skeleton: `skeleton/stage1`, one number each."""
        return tuple(
            Choose(Slot("skeleton", "size", name=name), tuple(map(Option, numbers)))
            for name, numbers in self.open_size
        )

    @cached_property
    def largest(self) -> Numbers:
        """The largest of each open number, which a supernet has."""
        return tuple((name, max(numbers)) for name, numbers in self.open_size)

    @cached_property
    def trees(self) -> tuple[TreeDecisions, ...]:
        """The decisions of its supernet, by kind of cell. Raises an error where it has none."""
        for each in self.decisions:
            if isinstance(each, ModuleDecisions):
                raise NasirError(
                    "E505",
                    f"cell '{each.cell.kind}' has no supernet: "
                    "the widths of its nodes follow from the edges",
                    hint="the spaces nasbench1shot1_1 to _3 have one, each a part of nasbench101",
                )
        return tuple(each for each in self.decisions if isinstance(each, TreeDecisions))

    @cached_property
    def sizes(self) -> int:
        """The number of sizes that it leaves open, 1 where it leaves none."""
        return prod(each.size for each in self.size_walk)

    @cached_property
    def total(self) -> int:
        """The number of genotypes, those that do not fulfil `where` too."""
        return prod(each.size for each in self.decisions) * self.sizes

    @property
    def countable(self) -> bool:
        """True without a `where`, or if the genotypes are few enough to enumerate."""
        return self.where is None or self.total <= MEMBER_LIMIT

    @cached_property
    def members(self) -> Sequence[int]:
        """The numbers among all of the genotypes that fulfil `where`.

        Raises an error where there are too many to look at each.
        """
        if not self.countable:
            raise NasirError(
                "E106",
                f"space '{self.name}' has {self.total:,} genotypes, too many to count those that "
                "fulfil `where`",
                hint="nasir.acceptance estimates their share; genotypes can be drawn",
            )
        return [number for number in range(self.total) if self.admits(self.numbered(number))]

    @property
    def count(self) -> int:
        """The number of genotypes. Raises an error if it cannot be computed."""
        return self.total if self.where is None else len(self.members)

    def numbered(self, number: int) -> Genotype:
        """The genotype of that number among all, whether or not it fulfils `where`."""
        size: Numbers = ()
        if self.open_size:
            number, digit = divmod(number, self.sizes)
            size = self._size(tree.unrank(self.size_walk, digit))
        cells: list[CellGenotype] = []
        for radix, unrank in self._radix:
            number, digit = divmod(number, radix)
            cells.append(unrank(digit))
        cells.reverse()
        return _genotype(self.name, tuple(cells), "", "", self, size)

    @cached_property
    def _radix(self) -> list[tuple[int, Callable[[int], CellGenotype]]]:
        """The digits of numbers, last first: how many there are, and the cell of one."""
        return [(part.size, part.unrank) for part in self.decisions[::-1]]

    def made(self, cells: Iterable[CellGenotype], numbers: Sequence[Pick] = ()) -> Genotype:
        """The genotype of the space with these cells and picks of the skeleton's decisions."""
        return _genotype(self.name, tuple(cells), "", "", self, self._size(numbers))

    def _size(self, picks: Sequence[Pick]) -> Numbers:
        pairs = zip(self.open_size, picks, strict=True)
        return tuple((name, int(number)) for (name, _), ((number, _),) in pairs)

    def admits(self, genotype: Genotype) -> bool:
        """True if a genotype with decisions of the space fulfils `where`."""
        return self.where is None or not any(self.where.reasons(genotype))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of cell, in order."""
        return tuple(cell.kind for cell in self.cells)

    @cached_property
    def inner(self) -> tuple[str, ...]:
        """The kinds of cell that are options of others."""
        named = {op for cell in self.cells for op in cell.named_ops}
        ops = {*ALL_OPS, *(op.name for op in self.ops)}
        return tuple(kind for kind in self.kinds if kind in named - ops)

    def options(self, kind: str) -> tuple[str, ...]:
        """The kinds of cell that may be options of that one: those that stand before it."""
        return self.kinds[: self.kinds.index(kind)] if kind in self.kinds else ()

    def cell(self, kind: str) -> SpaceCell:
        """The cell of that kind. Raises an error when there is none."""
        for cell in self.cells:
            if cell.kind == kind:
                return cell
        hint = f"it has: {', '.join(self.kinds)}"
        raise NasirError("E202", f"space '{self.name}' has no '{kind}' cell", hint=hint)

    def contains(self, genotype: Genotype) -> tuple[str, ...]:
        """Why the genotype could not be selected from this space; empty when it could.

        What counts are cells and size: the space that the genotype itself names does not.
        """
        missing = [f"it has no cell '{kind}'" for kind in self.kinds if kind not in genotype.kinds]
        reasons = list(missing)
        for cell in genotype.cells:
            if cell.kind in self.kinds:
                part = self.decisions[self.kinds.index(cell.kind)]
                different = misfits(cell, part.cell.inputs, part.cell.on_nodes)[:1]
                named = [f"cell '{cell.kind}': {reason}" for reason in different]
                reasons += named or part.reasons(cell)
            else:
                reasons.append(f"the space has no cell '{cell.kind}'")
        reasons += self._size_reasons(dict(genotype.size))
        if self.where is not None and not reasons:
            reasons += self.where.reasons(self.having(genotype))
        return tuple(reasons)

    def having(self, genotype: Genotype) -> Genotype:
        """The genotype with the cells in the space's order and in canonical form, and the size."""
        pairs = zip(self.decisions, self.kinds, strict=True)
        cells = (part.canonical(genotype.cell(kind)) for part, kind in pairs)
        size = dict(genotype.size)
        return self.made(cells, [((size[name], ()),) for name, _ in self.open_size])

    def _size_reasons(self, size: dict[str, int]) -> Iterator[str]:
        for name, numbers in self.open_size:
            among = f"one of {', '.join(map(str, numbers))}"
            if name not in size:
                yield f"it does not say {name}, {among}"
            elif size[name] not in numbers:
                yield f"its {name} is {size[name]}, not {among}"
        names = dict(self.open_size)
        yield from (f"the space does not leave {name} open" for name in size if name not in names)
