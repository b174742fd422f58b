"""The language model around a recurrent cell, and the cell as a graph of vectors.

DARTS, arXiv:1806.09055: one recurrent layer whose input, state and embedding have one width, a
decoder tied to the embedding, and dropout masks that stay the same for a whole window of steps.
"""

from dataclasses import dataclass
from functools import partial

from nasir.genotype import CellGenotype
from nasir.graph import Builder, Graph
from nasir.space.cell import add_edges
from nasir.space.decisions import SpaceCell, cell_tree
from nasir.space.space import Space
from nasir.space.stack import Design
from nasir.types import TokenType, Type, VectorType

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
"""Of the evaluation on the Penn treebank."""

LANGUAGE_SEARCH = LanguageSize(10_000, 300)
"""Of the search on the Penn treebank."""


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
    """One step of the cell: (x, h, masks of both) -> the next h, all of them (batch, width).

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
            label = f"n{choose.slot.node}"
            apply = partial(_edge, b, label, states, width)
            values = add_edges(b, choose, label, apply)
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
