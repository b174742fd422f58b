"""Networks of cells whose ops stand on nodes: those of NAS-Bench-101 and of NAS-Bench-1Shot1."""

from functools import partial

from nasir.errors import NasirError
from nasir.genotype import CellGenotype
from nasir.graph import Builder
from nasir.nasbench101 import live_cell
from nasir.node import MIXED, Cell
from nasir.space.cell import add_mixture, add_op
from nasir.space.decisions import SpaceCell, cell_tree
from nasir.space.sizes import Size, StagedSize
from nasir.space.stack import Design
from nasir.space.tree import Choose


def nasbench101(b: Builder, design: Design, size: StagedSize) -> tuple[str, str | None]:
    """Three stacks of equal modules, the images halved and the widths doubled between them.

    The cell is pruned first, as the benchmark does. Raises an error for a supernet: how wide a node
    is follows from the edges.
    """
    cell = design.cell("cell")
    if isinstance(cell, SpaceCell):
        raise NasirError(
            "E505",
            "the skeleton 'nasbench101' has no supernet: the widths of nodes follow from the edges",
            hint="the spaces nasbench1shot1_1 to _3 have one, each a part of nasbench101",
        )
    cell = live_cell(cell)
    channels = size.channels
    x = b("conv_bn_relu", "image", name="stem", out=channels, kernel=3)
    number = 0
    for stack, depth in enumerate(size.depths):
        if stack:
            channels *= 2
            x = _halved(b, x, f"pool{stack}")
        for _ in range(depth):
            widths = node_widths(cell, channels)
            x = add_node_cell(b, f"c{number:02d}", cell, x, widths, channels, zeros=False)
            number += 1
    return b("classifier", x, name="head", classes=size.classes), None


def nasbench1shot1(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """NAS-Bench-1Shot1's one-shot model, or what it is where every decision is made.

    Pools with a margin of 1 stand before cells layers // 3 and 2 * layers // 3 (32 pixels become
    17, then 9, unlike NAS-Bench-101's 16 and 8), and widths double there.
    """
    cell = design.cell("cell")
    count = sum(each.slot.role == "op on node" for each in cell_tree(cell))
    channels = size.channels
    x = b("conv_bn_relu", "image", name="stem", out=channels, kernel=3)
    for layer in range(size.layers):
        if layer in (size.layers // 3, 2 * size.layers // 3):
            channels *= 2
            x = b("max_pool", x, name=f"pool{layer:02d}", kernel=2, stride=2, padding=1)
        x = add_node_cell(
            b, f"c{layer:02d}", cell, x, (channels,) * count, channels * max(1, count)
        )
    x = b("relu_conv_bn", x, name="tail", out=channels, affine=False)
    return b("classifier", x, name="head", classes=size.classes), None


def node_widths(cell: CellGenotype, channels: int) -> tuple[int, ...]:
    """The channels of each node of a pruned module that emits `channels`.

    The nodes that feed the output share its channels, the first ones getting one more where they do
    not divide evenly; any other node is as wide as the widest node that reads it. Raises an error
    when a node would get none.
    """
    feeding = sorted(state for state in cell.output if state)
    if feeding and channels < len(feeding):
        raise NasirError(
            "E302",
            f"{channels} channels cannot be divided among the {len(feeding)} nodes that feed the "
            f"output of cell '{cell.kind}'",
            hint=f"use at least {len(feeding)} channels",
        )
    widths = [0] * (len(cell.nodes) + 1)
    for place, state in enumerate(feeding):
        share, rest = divmod(channels, len(feeding))
        widths[state] = share + (place < rest)
    for state in range(len(cell.nodes), 0, -1):
        if state not in feeding:
            widths[state] = max(
                widths[reader]
                for reader, sources in enumerate(cell.sources, start=1)
                if state in sources
            )
    return tuple(widths[1:])


def add_node_cell(
    b: Builder,
    name: str,
    cell: CellGenotype | SpaceCell,
    x: str,
    widths: tuple[int, ...],
    emitted: int,
    *,
    zeros: bool = True,
) -> str:
    """A cell whose ops stand on nodes of those widths, which reads x and has `emitted` channels.

    A node applies its op to the sum of what it reads: of another node the first channels, of the
    input a projection. The output joins the nodes that leave the cell and adds the projected input.
    With `zeros` every node has a place in it, and zeros stand there where one was not picked; nodes
    that nothing needs are left out. Where a node reads every earlier state there is no decision.
    NAS-Bench-101, arXiv:1902.09635; NAS-Bench-1Shot1, arXiv:2001.10422, section 3.
    """
    b.cell = Cell(cell.kind, name)
    add = partial(_add_node_cell, b, name, cell, x, widths, emitted, zeros=zeros)
    result = b.part((widths, emitted), (x,), name, add)
    b.cell = None
    return result


def _add_node_cell(
    b: Builder,
    name: str,
    cell: CellGenotype | SpaceCell,
    x: str,
    widths: tuple[int, ...],
    emitted: int,
    *,
    zeros: bool,
) -> str:
    is_open = isinstance(cell, SpaceCell)
    needed = range(1, cell.nodes + 1) if is_open else _needed(cell)
    *inner, leaving = cell_tree(cell)
    states = {0: x}

    def read(choose: Choose, under: str, width: int) -> list[str]:
        """What a node or the output may read; of a decided one the projection comes last."""
        found = [int(option.name) for option in choose.options]
        order = found if is_open else sorted(found, key=lambda state: state == 0)
        return [
            _truncated(b, states[state], f"{under}.e{state}", width)
            if state
            else b("conv_bn_relu", x, name=f"{under}.e0/conv_bn_relu", out=width)
            for state in order
        ]

    for reads, op in zip(inner[::2], inner[1::2], strict=True):
        node = op.slot.node
        if node not in needed:
            continue
        under = f"{name}/n{node}"
        values = read(reads, under, widths[node - 1])
        if reads.counts.start < len(values):
            total = add_mixture(b, reads, values, f"{under}.in")
        else:
            total = _sum(b, values, f"{under}.sum")
        states[node] = add_op(b, op, under, lambda op, below, x=total: b(op, x, name=below))
    picked = sorted(int(option.name) for option in leaving.options if option.name)
    ends = {
        node: states[node]
        if node in picked
        else b("zero", states[picked[0]], name=f"{name}/out.n{node}")
        for node in (range(1, len(inner) // 2 + 1) if zeros and picked else picked)
    }
    if 0 in leaving.named:
        ends[0] = b("conv_bn_relu", x, name=f"{name}/out.e0/conv_bn_relu", out=emitted)
    if leaving.counts.start < len(leaving.options):
        weights = b.choose(leaving.choice)
        with b.within(leaving.slot, MIXED):
            for state, end in ends.items():
                label = f"{name}/out.n{state}"
                ends[state] = b("mix", weights, end, name=label, options=(state,))
    joined = [end for state, end in ends.items() if state]
    terms = (
        [b("concat", *joined, name=f"{name}/join")]
        if len(joined) > 1 or (zeros and joined)
        else joined
    )
    return _sum(b, [*terms, *(end for state, end in ends.items() if not state)], f"{name}/out")


def _needed(cell: CellGenotype) -> set[int]:
    """The states that the output depends on."""
    needed = set(cell.output)
    for state in range(len(cell.nodes), 0, -1):
        if state in needed:
            needed.update(cell.sources[state - 1])
    return needed


def _truncated(b: Builder, x: str, name: str, width: int) -> str:
    return x if b.channels(x) == width else b("channels", x, name=name, count=width)


def _sum(b: Builder, terms: list[str], name: str) -> str:
    return terms[0] if len(terms) == 1 else b("add", *terms, name=name)


def _halved(b: Builder, x: str, name: str) -> str:
    """The maximum of each 2x2 square; one that sticks out of the image has only what is in it.

    A margin of zeros is no maximum here, for a module emits nothing below zero.
    """
    height, width = b.type(x).shape[1:]
    if height % 2 or width % 2:
        x = b("pad", x, name=f"{name}.pad", bottom=height % 2, right=width % 2)
    return b("max_pool", x, name=name, kernel=2, stride=2)
