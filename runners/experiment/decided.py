"""What has been decided of a supernet's choices while it learns."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nasir import Choice, Space

OPS = ("op on edge", "op on node")


@dataclass(frozen=True, slots=True)
class Group:
    """What competes for a place in a node: whole edges, or options of one choice; `keep` stay.

    `members` are (choice, options): all options of an edge, or one option of an input choice.
    """

    name: str
    keep: int
    members: tuple[tuple[str, tuple[int, ...]], ...]


class Decided:
    """The choices, and what was decided of them. Changes as a search goes on.

    `kept` are the options that pruning left, `fixed` the one that a projection chose, `dropped`
    those that weigh nothing any more.
    """

    def __init__(self, space: Space, choices: Sequence[Choice]) -> None:
        self.space = space
        self.choices: dict[str, Choice] = {choice.name: choice for choice in choices}
        self.ops = {choice.name for choice in choices if choice.kind in OPS}
        self.kept: dict[str, tuple[int, ...]] = {}
        self.fixed: dict[str, int] = {}
        self.dropped: dict[str, tuple[int, ...]] = {}

    def ops_of(self, kind: str) -> tuple[str, ...]:
        """The choices of ops in that kind of cell."""
        return tuple(name for name in self.choices if name in self.ops and _in(name, kind))

    def options(self, name: str) -> tuple[int, ...]:
        """The live options of a choice."""
        return self.kept.get(name, tuple(range(len(self.choices[name].options))))

    def is_open(self, name: str) -> bool:
        """Whether it is a choice of ops of which a projection has decided nothing."""
        return name in self.ops and name not in self.fixed and name not in self.dropped

    def selectable(self, name: str) -> tuple[int, ...]:
        """Those that the space ever selects."""
        excluded = self.space.cell(name.rpartition("/")[0]).exclude
        names = self.choices[name].options
        return tuple(o for o in self.options(name) if names[o] not in excluded)

    def option_name(self, name: str, option: int) -> str:
        """The op, or the source."""
        return self.choices[name].options[option]

    def groups(self, kind: str) -> tuple[Group, ...]:
        """Where more edges, inputs or outputs compete than stay, in that kind of cell."""
        cell = self.space.cell(kind)
        found: list[Group] = []
        if not cell.on_nodes and cell.keep is not None:
            for node in range(cell.inputs, cell.inputs + cell.nodes):
                edges = [f"{kind}/n{node}.e{edge.source}" for edge in cell.into(node)]
                if len(edges) > cell.keep:
                    members = tuple((e, tuple(range(len(self.choices[e].options)))) for e in edges)
                    found.append(Group(f"n{node}", cell.keep, members))
        for choice in self.choices.values():
            wanted = choice.kind in ("input", "output") and _in(choice.name, kind)
            if wanted and choice.keep < len(choice.options):
                members = tuple((choice.name, (o,)) for o in range(len(choice.options)))
                found.append(Group(choice.name.rpartition("/")[2], choice.keep, members))
        return tuple(found)

    def left(self, group: Group) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The members of a group that were not dropped."""
        return tuple(
            (name, options)
            for name, options in group.members
            if not set(options) <= set(self.dropped.get(name, ()))
        )

    def is_thin(self, group: Group) -> bool:
        """Whether only as many are left as stay."""
        return len(self.left(group)) <= group.keep

    def drop(self, name: str, options: tuple[int, ...]) -> None:
        """From now on these options weigh nothing."""
        self.dropped[name] = tuple(sorted({*self.dropped.get(name, ()), *options}))

    def whole(self, name: str, row: Tensor) -> Tensor:
        """Weights of a choice's live options, over all options, with what was decided in place."""
        if name in self.kept:
            index = torch.tensor(self.kept[name], device=row.device)
            row = row.new_zeros(len(self.choices[name].options)).index_copy(0, index, row)
        if name in self.fixed:
            row = torch.zeros_like(row)
            row[self.fixed[name]] = 1.0
        if name in self.dropped:
            row = row.clone()
            row[list(self.dropped[name])] = 0.0
        return row


def _in(name: str, kind: str) -> bool:
    return name.rpartition("/")[0] == kind
