"""A search space: which cells there are, and which genotypes belong to it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from nasir.errors import NasirError
from nasir.genotype import Genotype, Numbers
from nasir.macros import ALL_OPS
from nasir.node import Slot
from nasir.ops import Macro
from nasir.space.decisions import SpaceCell, TreeDecisions
from nasir.space.layout import PUBLISHED, Layout
from nasir.space.node_cells import CellDecisions, ModuleDecisions, decisions
from nasir.space.tree import Choose, Option


@dataclass(frozen=True)
class Space:
    """A search space as its file describes it, edges written out.

    `ops` are the ops that it defines itself, `size` the sizes of its own network by name where
    they are not the skeleton's, `open_size` those that a genotype decides with what they may be,
    `text` the file's data as JSON.
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
    text: str = field(default="", compare=False, repr=False)

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
        """The decisions of its supernet, by kind of cell. Raises E505 where it has none."""
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
    def count(self) -> int:
        """The number of genotypes."""
        return prod(each.size for each in (*self.decisions, *self.size_walk))

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
        """The cell of that kind. Raises E210 when there is none."""
        for cell in self.cells:
            if cell.kind == kind:
                return cell
        hint = f"it has: {', '.join(self.kinds)}"
        raise NasirError("E210", f"space '{self.name}' has no '{kind}' cell", hint=hint)

    def contains(self, genotype: Genotype) -> tuple[str, ...]:
        """Why the genotype could not be selected from this space; empty when it could.

        What counts are cells and size: the space that the genotype itself names does not.
        """
        missing = [f"it has no cell '{kind}'" for kind in self.kinds if kind not in genotype.kinds]
        reasons = list(missing)
        for cell in genotype.cells:
            if cell.kind in self.kinds:
                reasons += self.decisions[self.kinds.index(cell.kind)].reasons(cell)
            else:
                reasons.append(f"the space has no cell '{cell.kind}'")
        return (*reasons, *self._size_reasons(dict(genotype.size)))

    def _size_reasons(self, size: dict[str, int]) -> Iterator[str]:
        for name, numbers in self.open_size:
            among = f"one of {', '.join(map(str, numbers))}"
            if name not in size:
                yield f"it does not say {name}, {among}"
            elif size[name] not in numbers:
                yield f"its {name} is {size[name]}, not {among}"
        names = dict(self.open_size)
        yield from (f"the space does not leave {name} open" for name in size if name not in names)
