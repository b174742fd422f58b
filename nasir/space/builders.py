"""Networks of single families: NAS-Bench-101's and NAS-Bench-1Shot1's, and a language model."""

from dataclasses import dataclass
from functools import partial

from nasir.errors import NasirError
from nasir.graph import Builder, Graph
from nasir.node import MIXED, Cell, below
from nasir.space.cells import Design, add_edges, add_mixture, add_op
from nasir.space.decisions import CellGenotype, SpaceCell, cell_tree
from nasir.space.layout import Size, StagedSize
from nasir.space.nasbench101 import live_cell
from nasir.space.space import Space
from nasir.space.tree import Choose
from nasir.types import TokenType, Type, VectorType


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
        """Values that a node or the output may read; of a decided one the projection is last."""
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
        under = below(name, op.slot.local)
        values = read(reads, under, widths[node - 1])
        if reads.counts.start < len(values):
            total = add_mixture(b, reads, values, below(name, reads.slot.local))
        else:
            total = _sum(b, values, f"{under}.sum")
        states[node] = add_op(b, op, under, lambda op, to, x=total: b(op, x, name=to))
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


INIT = 0.04
"""All weights but the decoder's bias, which is 0, start uniform in ±INIT."""

DROP_WORD = 0.1
DROP_EMBEDDED = 0.2
DROP_INPUT = 0.75
DROP_HIDDEN = 0.25
DROP_OUTPUT = 0.75
"""Dropout of the evaluation on the Penn treebank, dropoute, i, x, h and dropout in the original.

The search drops no words. They are attributes of `embedding/drop`, `embedding/mask`,
`cell/mask_x`, `cell/mask_h` and `decoder/mask`.
"""


@dataclass(frozen=True, slots=True)
class LanguageSize:
    """`hidden` is the width of embedding, input and state: the cell needs them to be equal.

    `auxiliary`: whether training also gets the states of all steps, for penalties on them.
    """

    vocabulary: int
    hidden: int
    auxiliary: bool = False


LANGUAGE_SIZE = LanguageSize(10_000, 850)
"""Size of the evaluation on the Penn treebank."""

LANGUAGE_SEARCH = LanguageSize(10_000, 300)
"""Size of the search on the Penn treebank."""


def language_inputs(size: LanguageSize) -> dict[str, Type]:
    """Tokens (time, batch) and the state before the first of them (batch, hidden)."""
    return {"tokens": TokenType(size.vocabulary), "hidden": VectorType(size.hidden)}


def build_language(
    b: Builder, design: Design, size: LanguageSize
) -> tuple[tuple[str, str], str | None]:
    """Log-probabilities (time, batch, vocabulary), the last state, and all states if asked for."""
    words = b("embedding", "tokens", name="embedding", out=size.hidden, init=INIT)
    x = b(
        "word_dropout",
        words,
        "tokens",
        name="embedding/drop",
        vocabulary=size.vocabulary,
        rate=0.0 if isinstance(design, Space) else DROP_WORD,
    )
    mask = b("dropout_mask", x, name="embedding/mask", rate=DROP_EMBEDDED)
    x = b("masked", x, mask, name="embedding/masked")
    mask_x = b("dropout_mask", x, name="cell/mask_x", rate=DROP_INPUT)
    mask_h = b("dropout_mask", "hidden", name="cell/mask_h", rate=DROP_HIDDEN)
    body = recurrent_cell(design.cell("recurrent"), size.hidden)
    weights = (b.choose(choice) for choice in body.choices)
    states = b("scan", x, "hidden", mask_x, mask_h, *weights, name="cell", body=body)
    mask = b("dropout_mask", states, name="decoder/mask", rate=DROP_OUTPUT)
    x = b("masked", states, mask, name="decoder/masked")
    b("decoder", x, name="decoder", out=size.vocabulary, init=INIT)
    logits = b.share("decoder", "embedding")
    results = (b("log_softmax", logits, name="output"), b("last", states, name="last"))
    return results, states if size.auxiliary else None


def recurrent_cell(cell: CellGenotype | SpaceCell, width: int) -> Graph:
    """A step of the cell: (x, h, masks of both) -> the next h, all of them (batch, width).

    State 0 is h + σ(c)·(tanh(g) - h) with [c, g] = [x·m_x, h·m_h]·W0; an edge from state p into
    node i is s_p + σ(c)·(f(g) - s_p) with [c, g] = (s_p·m_h)·W_i. W_i belongs to the node, whatever
    the edge: its key is `n<i>.weight`. The result is the mean of the states in `output`.

    Of a space, each edge is the mixture of its activations, a node the sum of all its edges, and
    one batch norm without weights follows every state; the mixtures' weights are further inputs.
    """
    inputs = dict.fromkeys(("x", "h", "mask_x", "mask_h"), VectorType(width))
    b = Builder(**inputs)
    x = b("masked", "x", "mask_x", name="x/masked")
    h = b("masked", "h", "mask_h", name="h/masked")
    both = b("concat", x, h, name="n0/both")
    gates = b.keyed(b("project", both, name="n0/gates", out=2 * width, init=INIT), "n0")
    first = highway(b, "n0/tanh", "tanh", "h", _halves(b, "n0/tanh", gates))
    is_open = isinstance(cell, SpaceCell)
    states = [_normalised(b, 0, first) if is_open else first]
    for choose in cell_tree(cell):
        if choose.slot.role == "edge into node":
            label = choose.slot.local
            apply = partial(_edge, b, label, states, width)
            values = add_edges(b, choose, "", apply)
            total = values[0] if len(values) == 1 else b("add", *values, name=label)
            states.append(_normalised(b, choose.slot.node, total) if is_open else total)
    result = b("mean", *(states[i] for i in cell.output), name="out")
    return b.graph(result, meta={"cell": cell.kind})


def highway(b: Builder, name: str, op: str, state: str, halves: tuple[str, str]) -> str:
    """state + σ(c)·(op(g) - state), where (σ(c), g) are the `halves`; zeros for `none`."""
    if op == "none":
        return b(op, state, name=name)
    gate, x = halves
    change = b("sub", b(op, x, name=f"{name}/{op}"), state, name=f"{name}/sub")
    return b("add", state, b("mul", gate, change, name=f"{name}/mul"), name=name)


def _halves(b: Builder, name: str, gates: str) -> tuple[str, str]:
    """σ of the first half of the gates, and the second half."""
    gate = b("sigmoid", b("chunk", gates, name=f"{name}/c", part=0), name=f"{name}/gate")
    return gate, b("chunk", gates, name=f"{name}/g", part=1)


def _edge(
    b: Builder, node: str, states: list[str], width: int, source: int, op: str, name: str
) -> str:
    """The activation of an edge; those of one edge share the product with the node's weight."""
    label, state = f"{node}.e{source}", states[source]
    if f"{label}/gates" not in b.types:
        masked = f"n{source}/masked"
        if masked not in b.types:  # one value however many edges read it
            b("masked", state, "mask_h", name=masked)
        b.keyed(b("project", masked, name=f"{label}/gates", out=2 * width, init=INIT), node)
    if op != "none" and f"{label}/g" not in b.types:
        _halves(b, label, f"{label}/gates")
    return highway(b, name, op, state, (f"{label}/gate", f"{label}/g"))


def _normalised(b: Builder, node: int, state: str) -> str:
    """The state behind the batch norm that all states share."""
    norm = b("batch_norm", state, name=f"n{node}/norm", affine=False)
    return b.keyed(norm, "norm")
