"""The language model around a recurrent cell, and the cell as a graph of vectors.

DARTS, arXiv:1806.09055: one recurrent layer whose input, state and embedding have one width, a
decoder tied to the embedding, and dropout masks that stay the same for a whole window of steps.
"""

from collections import Counter
from dataclasses import dataclass

from nasir.genotype import CellGenotype, Edge
from nasir.graph import Builder, Graph
from nasir.space.cell import edge_choice
from nasir.space.decisions import SpaceCell
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
    if isinstance(cell, SpaceCell):
        states = _open_states(b, cell, _normalised(b, 0, first), width)
    else:
        states = [first]
        for node, edges in enumerate(cell.nodes, start=1):
            states.append(_node(b, node, edges, states, width))
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


def _node(b: Builder, node: int, edges: tuple[Edge, ...], states: list[str], width: int) -> str:
    """The sum of a node's edges; twins of one source and op have numbers."""
    results: list[str] = []
    twins: Counter[str] = Counter()
    for edge in edges:
        label = f"n{node}.e{edge.source}/{edge.op}"
        twins[label] += 1
        label = f"{label}#{twins[label]}" if twins[label] > 1 else label
        gates = _gates(b, label, node, edge.source, states[edge.source], width)
        halves = ("", "") if edge.op == "none" else _halves(b, label, gates)
        results.append(highway(b, label, edge.op, states[edge.source], halves))
    return results[0] if len(results) == 1 else b("add", *results, name=f"n{node}")


def _open_states(b: Builder, cell: SpaceCell, first: str, width: int) -> list[str]:
    """All states of a cell whose edges are mixtures."""
    states = [first]
    for node in range(1, cell.nodes + 1):
        results: list[str] = []
        for edge in cell.into(node):
            label, state = f"n{node}.e{edge.source}", states[edge.source]
            halves = _halves(b, label, _gates(b, label, node, edge.source, state, width))
            values = [highway(b, f"{label}/{op}", op, state, halves) for op in edge.ops]
            weights = b.choose(edge_choice(cell.kind, edge))
            options = tuple(range(len(values)))
            results.append(b("mix", weights, *values, name=label, options=options))
        total = results[0] if len(results) == 1 else b("add", *results, name=f"n{node}")
        states.append(_normalised(b, node, total))
    return states


def _normalised(b: Builder, node: int, state: str) -> str:
    """The state behind the batch norm that all states share."""
    norm = b("batch_norm", state, name=f"n{node}/norm", affine=False)
    return b.keyed(norm, "norm")


def _gates(b: Builder, label: str, node: int, source: int, state: str, width: int) -> str:
    """The product of a masked state with the weight of the node that reads it."""
    masked = _masked(b, source, state)
    gates = b("project", masked, name=f"{label}/gates", out=2 * width, init=INIT)
    return b.keyed(gates, f"n{node}")


def _masked(b: Builder, source: int, state: str) -> str:
    """The state under the mask, which is one value however many edges read it."""
    name = f"n{source}/masked"
    return name if name in b.types else b("masked", state, "mask_h", name=name)
