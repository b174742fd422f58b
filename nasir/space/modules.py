"""Networks of cells whose ops stand on nodes: those of NAS-Bench-101 and of NAS-Bench-1Shot1."""

from nasir.errors import NasirError
from nasir.genotype import CellGenotype
from nasir.graph import Builder, Slot
from nasir.nasbench101 import live_cell
from nasir.node import Cell
from nasir.space.decisions import SpaceCell
from nasir.space.stack import Design, Size

STACKS = 3


def nasbench101(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """Three stacks of equal modules, the images halved and the widths doubled between them.

    The cell is pruned first, as the benchmark does. Raises E505 for a supernet: how wide a node is
    follows from the edges.
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
    for stack in range(STACKS):
        if stack:
            channels *= 2
            x = _halved(b, x, f"pool{stack}")
        for _ in range(size.layers):
            x = add_module(b, f"c{number:02d}", cell, x, channels)
            number += 1
    return b("classifier", x, name="head", classes=size.classes), None


def nasbench1shot1(b: Builder, design: Design, size: Size) -> tuple[str, str | None]:
    """NAS-Bench-1Shot1's one-shot model, or what it is where every decision is made.

    Pools with a margin of 1 stand before cells layers // 3 and 2 * layers // 3 (32 pixels become
    17, then 9, unlike NAS-Bench-101's 16 and 8), and widths double there.
    """
    cell = design.cell("cell")
    channels = size.channels
    x = b("conv_bn_relu", "image", name="stem", out=channels, kernel=3)
    for layer in range(size.layers):
        if layer in (size.layers // 3, 2 * size.layers // 3):
            channels *= 2
            x = b("max_pool", x, name=f"pool{layer:02d}", kernel=2, stride=2, padding=1)
        name = f"c{layer:02d}"
        if isinstance(cell, SpaceCell):
            x = _add_open_cell(b, name, cell, x, channels)
        else:
            x = _add_one_shot_cell(b, name, cell, x, channels)
    x = b("relu_conv_bn", x, name="tail", out=channels, affine=False)
    return b("classifier", x, name="head", classes=size.classes), None


def node_widths(cell: CellGenotype, channels: int) -> tuple[int, ...]:
    """The channels of each node of a pruned module that emits `channels`.

    The nodes that feed the output share its channels, the first ones getting one more where they
    do not divide evenly; any other node is as wide as the widest node that reads it. Raises E303
    when a node would get none.
    """
    feeding = sorted(state for state in cell.output if state)
    if feeding and channels < len(feeding):
        raise NasirError(
            "E303",
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


def add_module(b: Builder, name: str, cell: CellGenotype, x: str, channels: int) -> str:
    """A pruned module that reads x and emits `channels`.

    What a node reads of another node loses channels that the node has not; what it reads of the
    input is projected. The output joins the nodes that feed it and adds the projected input.
    """
    b.cell = Cell(cell.kind, name)
    widths = node_widths(cell, channels)
    states = [x]
    for state, (op, sources) in enumerate(zip(cell.ops, cell.sources, strict=True), start=1):
        width = widths[state - 1]
        terms = [
            _truncated(b, states[source], f"{name}/n{state}.e{source}", width)
            for source in sources
            if source
        ]
        if 0 in sources:
            terms.append(_projected(b, x, f"{name}/n{state}", width))
        states.append(b(op, _sum(b, terms, f"{name}/n{state}.sum"), name=f"{name}/n{state}/{op}"))
    joined = [states[state] for state in sorted(cell.output) if state]
    terms = [b("concat", *joined, name=f"{name}/join")] if len(joined) > 1 else joined
    if 0 in cell.output:
        terms.append(_projected(b, x, f"{name}/out", channels))
    result = _sum(b, terms, f"{name}/out")
    b.cell = None
    return result


def _add_one_shot_cell(b: Builder, name: str, cell: CellGenotype, x: str, channels: int) -> str:
    """A cell that emits `channels` for each node; zeros stand where a node was not picked.

    Every node has all `channels`, so nothing is truncated. Nodes that nothing needs are left out.
    """
    b.cell = Cell(cell.kind, name)
    needed = _needed(cell)
    states = {0: x}
    for state, (op, sources) in enumerate(zip(cell.ops, cell.sources, strict=True), start=1):
        if state not in needed:
            continue
        terms = [states[source] for source in sources if source]
        if 0 in sources:
            terms.append(_projected(b, x, f"{name}/n{state}", channels))
        total = _sum(b, terms, f"{name}/n{state}.sum")
        states[state] = b(op, total, name=f"{name}/n{state}/{op}")
    picked = [state for state in sorted(cell.output) if state]
    parts = [
        states[state] if state in picked else b("zero", states[picked[0]], name=f"{name}/z{state}")
        for state in range(1, len(cell.nodes) + 1)
        if picked
    ]
    terms = [b("concat", *parts, name=f"{name}/join")] if picked else []
    if 0 in cell.output:
        width = channels * max(1, len(cell.nodes))
        terms.append(_projected(b, x, f"{name}/out", width))
    result = _sum(b, terms, f"{name}/out")
    b.cell = None
    return result


def _add_open_cell(b: Builder, name: str, cell: SpaceCell, x: str, channels: int) -> str:
    """The same with every decision open: ops on nodes, what nodes read, and what leaves the cell.

    Where a node reads every earlier state there is no decision, and the states are summed. NAS-
    Bench-1Shot1, arXiv:2001.10422, section 3.
    """
    b.cell = Cell(cell.kind, name)
    states = [x]
    for state in range(1, cell.nodes + 1):
        under = f"{name}/n{state}"
        values = [_projected(b, x, under, channels), *states[1:]]
        total = _picked(b, cell, state, under, values)
        weights = b.choose(Slot(cell.kind, "op on node", state).choice(cell.node_ops))
        results = [b(op, total, name=f"{under}/{op}") for op in cell.node_ops]
        options = tuple(range(len(results)))
        states.append(b("mix", weights, *results, name=under, options=options))
    projected = _projected(b, x, f"{name}/out", channels * cell.nodes)
    parts = [projected, *states[1:]]
    if cell.parents[-1] < len(parts):
        names = tuple(str(state) for state in range(len(parts)))
        weights = b.choose(Slot(cell.kind, "output").choice(names, cell.parents[-1]))
        parts = [
            b("mix", weights, part, name=f"{name}/out.n{state}", options=(state,))
            for state, part in enumerate(parts)
        ]
    joined = b("concat", *parts[1:], name=f"{name}/join")
    result = b("add", joined, parts[0], name=f"{name}/out")
    b.cell = None
    return result


def _picked(b: Builder, cell: SpaceCell, state: int, under: str, values: list[str]) -> str:
    """The mixture of what a node may read, or the sum where it reads everything."""
    keep = cell.parents[state - 1]
    if keep == len(values):
        return _sum(b, values, f"{under}.sum")
    names = tuple(str(state) for state in range(len(values)))
    weights = b.choose(Slot(cell.kind, "input", state).choice(names, keep))
    return b("mix", weights, *values, name=f"{under}.in", options=tuple(range(len(values))))


def _needed(cell: CellGenotype) -> set[int]:
    """The states that the output depends on."""
    needed = set(cell.output)
    for state in range(len(cell.nodes), 0, -1):
        if state in needed:
            needed.update(cell.sources[state - 1])
    return needed


def _projected(b: Builder, x: str, under: str, width: int) -> str:
    return b("conv_bn_relu", x, name=f"{under}.e0/conv_bn_relu", out=width)


def _truncated(b: Builder, x: str, name: str, width: int) -> str:
    return x if b.channels(x) == width else b("truncate", x, name=name, channels=width)


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
