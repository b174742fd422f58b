"""Random genotypes and random small graphs, for laws."""

import json
from collections.abc import Mapping
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import settings

from nasir import (
    Builder,
    Cell,
    CellGenotype,
    Choice,
    Edge,
    Genotype,
    Graph,
    ImageType,
    NasirError,
    Node,
    Space,
    load_space,
)
from nasir.macros import ACTIVATIONS, EDGE_MACROS
from nasir.ops import PRIMITIVES, ParamRef
from nasir.own_ops import OpModel, own_ops
from nasir.space.layout import DEPTHS
from nasir.types import VectorType

DARTS_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

OWN_OPS = own_ops(
    {
        "gated": OpModel.model_validate(
            {
                "title": 'a "gate", → of its own',
                "steps": [
                    {"op": "nor_conv_3x3", "stride": "stride"},
                    {"op": "sigmoid", "name": "gate"},
                    {"op": "mul", "from": ["nor_conv_3x3", "gate"]},
                ],
            }
        ),
        "twice": OpModel.model_validate({"steps": [{"op": "gated"}, {"op": "gated"}]}),
    }
)

_STEMS = ("n", "c0/n2.e0/skip_connect#", "né'-", "a.b/", "x%;", "%")
_WORDS = ("meta", "op", "input", "choice", "output", "auxiliary")  # also words of the text form


def examples(full: int) -> settings:
    """So many examples where laws are asked for (`-m hypothesis`); in the gate a part of them."""
    some = full if settings.get_current_profile_name() == "full" else max(min(full, 12), full // 5)
    return settings(max_examples=some)


@st.composite
def darts_cells(draw: st.DrawFn, kind: str) -> CellGenotype:
    """A cell of two inputs and one to five nodes of two edges each, with any output list."""
    count = draw(st.integers(1, 5))
    ops = st.sampled_from(DARTS_OPS)
    nodes = tuple(
        tuple(Edge(draw(ops), draw(st.integers(0, 1 + i))) for _ in range(2)) for i in range(count)
    )
    states = st.lists(st.integers(2, 1 + count), min_size=1, max_size=count, unique=True)
    return CellGenotype(kind, 2, nodes, tuple(draw(states)))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Small spaces of one kind of cell that leave numbers of the network's size open."""
    ops = draw(st.lists(st.sampled_from(NASBENCH201_OPS), min_size=1, max_size=3, unique=True))
    nodes = draw(st.integers(1, 2))
    cell = {"inputs": 1, "nodes": nodes, "ops": ops, "keep": 1, "output": [nodes]}
    numbers = st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True)
    names = st.sampled_from(("channels", "layers", *DEPTHS))
    size = draw(st.dictionaries(names, st.one_of(st.integers(1, 4), numbers), max_size=3))
    data = {"nasir": 1, "space": "mine", "skeleton": "nasbench201", "size": size}
    return load_space(json.dumps(data | {"cells": {"cell": cell}}))


def darts_genotypes() -> st.SearchStrategy[Genotype]:
    """Genotypes of the DARTS family, five-node cells and short output lists included."""
    return st.builds(
        lambda normal, reduce: Genotype("darts", (normal, reduce)),
        darts_cells("normal"),
        darts_cells("reduce"),
    )


@st.composite
def nasbench201_genotypes(draw: st.DrawFn) -> Genotype:
    """Genotypes of NAS-Bench-201."""
    ops = st.sampled_from(NASBENCH201_OPS)
    nodes = tuple(tuple(Edge(draw(ops), j) for j in range(i)) for i in range(1, 4))
    return Genotype("nasbench201", (CellGenotype("cell", 1, nodes, (3,)),))


@st.composite
def relabelled(draw: st.DrawFn, cell: CellGenotype) -> CellGenotype:
    """The cell with its nodes in another order, its edges too, and its output."""
    states = range(cell.inputs, cell.inputs + len(cell.nodes))
    place = {state: state for state in range(cell.inputs)}
    left = list(states)
    for state in states:  # any order in which each node comes after those it reads
        ready = [
            old for old in left if all(e.source in place for e in cell.nodes[old - cell.inputs])
        ]
        chosen = draw(st.sampled_from(ready))
        left.remove(chosen)
        place[chosen] = state
    old_of = {new: old for old, new in place.items()}
    nodes = tuple(
        tuple(
            Edge(edge.op, place[edge.source])
            for edge in draw(st.permutations(cell.nodes[old_of[state] - cell.inputs]))
        )
        for state in states
    )
    output = tuple(place[state] for state in draw(st.permutations(cell.output)))
    return CellGenotype(cell.kind, cell.inputs, nodes, output)


@st.composite
def recurrent_genotypes(draw: st.DrawFn) -> Genotype:
    """Recurrent cells of one to six nodes, most with one edge, with any output list."""
    count = draw(st.integers(1, 6))
    ops = st.sampled_from(tuple(ACTIVATIONS))
    nodes = tuple(
        tuple(
            Edge(draw(ops), draw(st.integers(0, i)))
            for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3))))
        )
        for i in range(count)
    )
    output = draw(st.lists(st.integers(0, count), min_size=1, max_size=count, unique=True))
    return Genotype("darts_rnn", (CellGenotype("recurrent", 1, nodes, tuple(output)),))


@st.composite
def graphs(draw: st.DrawFn, *, random: bool = True, macros: bool = True, odd: bool = True) -> Graph:
    """Small graphs of images and vectors, with several outputs, shared weights and cells.

    `random`: with ops that draw fresh noise; `macros`: with macros beside the primitives; `odd`:
    with names, meta entries and choices that are hard on the text form.
    """
    sizes = [ImageType(*(draw(st.integers(1, 6)) for _ in range(3))) for _ in range(2)]
    build = Builder(
        **{f"image{i}": size for i, size in enumerate(sizes[: draw(st.integers(1, 2))])}
    )
    ops = [op for op in PRIMITIVES if random or "random" not in PRIMITIVES[op].traits]
    if macros:
        ops += [op for op in EDGE_MACROS if random or op != "noise"]
        ops += ["conv_bn", "relu_conv_bn", "factorized_reduce", "residual_reduce"]
        ops += ["classifier", "norm_classifier", *OWN_OPS]
        build.know(OWN_OPS.values())
    for number in range(draw(st.integers(1, 10))):
        build.cell = Cell("normal", f"c{number // 4}") if odd and number // 2 % 2 else None
        name = draw(st.sampled_from(_STEMS)) + str(number) if odd else f"n{number}"
        if odd and number < 2:
            name = draw(st.sampled_from((name, _WORDS[number], _WORDS[number + 2])))
        if build.nodes and draw(st.integers(0, 3)) == 0:
            _repeat(draw, build, name)
        else:
            _add(draw, build, draw(st.sampled_from(ops)), name)
    if not build.nodes:
        build("relu", "image0", name="n0")
    values = st.sampled_from([node.name for node in build.nodes])
    outputs = draw(st.lists(values, min_size=1, max_size=3, unique=True))
    auxiliary = draw(st.lists(values, max_size=2, unique=True))
    graph = _sharing(draw, build.graph(*outputs, auxiliary=tuple(auxiliary)))
    return replace(graph, meta=draw(metas()), choices=draw(choices())) if odd else graph


def metas() -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    """Meta entries whose values are any text: line breaks, quotes, ` = ` and all."""
    keys = st.sampled_from(("space", "name", "genotype", "k-ü", "meta"))
    values = st.one_of(st.text(max_size=12), st.sampled_from(("a = b", '"\\', "\x85\u2028\r\n\t")))
    return st.lists(st.tuples(keys, values), max_size=3, unique_by=lambda row: row[0]).map(tuple)


def choices() -> st.SearchStrategy[tuple[Choice, ...]]:
    """Open decisions, which no op reads."""
    one = st.builds(
        Choice,
        st.sampled_from(("normal/n2.e0", "reduce/n3", "aä#1")),
        st.sampled_from(("op on edge", "op on node", "edge into node", "input", "output")),
        st.lists(st.sampled_from(("none", "skip_connect", "=", "of")), max_size=3).map(tuple),
        st.integers(1, 3),
    )
    return st.lists(one, max_size=2).map(tuple)


def _add(draw: st.DrawFn, build: Builder, op: str, name: str) -> None:
    """Adds a node if its inputs, which are drawn, and its attributes fit together."""
    values = list(build.types)
    least, most = build.ops[op].arity
    first = draw(st.one_of(st.just(values[-1]), st.sampled_from(values)))
    alike = [x for x in values if _fits(build, op, first, x)] or [first]
    count = draw(st.integers(least, max(least, 3) if most is None else most))
    inputs = [first, *(draw(st.sampled_from(alike)) for _ in range(count - 1))]
    try:
        build(op, *inputs, name=name, **_attributes(draw, op, build.channels(first)))
    except NasirError as error:
        if error.code not in {"E302", "E305", "E306"}:
            raise


def _repeat(draw: st.DrawFn, build: Builder, name: str) -> None:
    """Adds the like of an earlier node, reading the same or other values of the same types."""
    node = draw(st.sampled_from(build.nodes))
    inputs: list[str] = []
    for x in node.inputs:
        like = [name for name, type_ in build.types.items() if type_ == build.types[x]]
        inputs.append(draw(st.one_of(st.just(x), st.sampled_from(like))))
    build(node.op.name, *inputs, name=name, **dict(node.attrs))


def _fits(build: Builder, op: str, first: str, other: str) -> bool:
    """Whether two values can be merged, so that merges are common."""
    a, b = build.type(first), build.type(other)
    if isinstance(a, VectorType) or isinstance(b, VectorType):
        return a == b
    if op == "mul":
        return a.shape[0] == b.shape[0] and (a == b or a.shape[1] * a.shape[2] == 1)
    return a == b if op in ("add", "mean") else a.shape[1:] == b.shape[1:]


_OTHER_ATTRIBUTES: Mapping[str, st.SearchStrategy[Mapping[str, object]]] = {
    "project": st.fixed_dictionaries({"out": st.integers(1, 4)}),
    "chunk": st.fixed_dictionaries({"part": st.integers(0, 1), "of": st.integers(1, 2)}),
    "dropout_mask": st.just({"rate": 0.25}),
    "conv_transpose2d": st.fixed_dictionaries(
        {"out": st.integers(1, 3), "kernel": st.integers(1, 4), "bias": st.booleans()},
        optional={"stride": st.integers(1, 3), "padding": st.integers(0, 1)},
    ),
    "resize_nearest": st.sampled_from(({}, {"factor": 2}, {"factor": (1, 3)})),
    "resize_bilinear": st.sampled_from(({}, {"factor": 2}, {"factor": (1, 3)})),
    "softmax": st.fixed_dictionaries({"axis": st.sampled_from((-1, 1, 2, 3))}),
    "layer_norm": st.fixed_dictionaries(
        {"axis": st.sampled_from((-1, 1)), "affine": st.booleans()}
    ),
    "matmul": st.fixed_dictionaries(
        {name: st.booleans() for name in ("transpose_first", "transpose_second", "scaled")}
    ),
    "reshape": st.sampled_from(
        ({}, {"channels": 1, "height": 1}, {"height": 2, "width": 1}, {"channels": 2, "width": 2})
    ),
    "space_to_depth": st.fixed_dictionaries({"block": st.integers(1, 2)}),
    "depth_to_space": st.fixed_dictionaries({"block": st.integers(1, 2)}),
    "group_norm": st.fixed_dictionaries({"groups": st.integers(1, 2), "affine": st.booleans()}),
    "transpose": st.fixed_dictionaries({"first": st.integers(1, 3), "second": st.integers(1, 3)}),
    "channel_shuffle": st.fixed_dictionaries({"groups": st.integers(1, 2)}),
}


def _attributes(draw: st.DrawFn, op: str, channels: int) -> Mapping[str, object]:
    small, two, flag = st.integers(1, 4), st.integers(1, 2), st.booleans()
    if op in EDGE_MACROS or op in OWN_OPS:
        return {"stride": draw(two), "affine": draw(flag)}
    window = {"kernel": _pair(draw, small), "stride": _pair(draw, two)}
    match op:
        case "conv2d":
            groups = draw(st.sampled_from((1, 1, channels)))
            out = groups * draw(two)
            padding = draw(st.sampled_from((None, None, 0, (1, 0))))
            more = {"out": out, "groups": groups, "padding": padding, "bias": draw(flag)}
            return window | more | {"dilation": _pair(draw, two)}
        case "max_pool" | "avg_pool":
            padding = {"padding": draw(st.integers(0, 1))}
            counted = {"count_padding": draw(flag)} if op == "avg_pool" else {}
            return window | padding | counted
        case "batch_norm":
            return {"affine": draw(flag), "eps": draw(st.sampled_from((1e-5, 1e-3)))}
        case "crop" | "pad":
            sides = ("top", "left") if op == "crop" else ("bottom", "right")
            return {side: draw(st.integers(0, 2)) for side in sides}
        case "channels":
            return {"start": channels // 3, "count": draw(st.integers(1, channels - channels // 3))}
        case "zero" | "gaussian" | "frozen_gaussian":
            return {"stride": _pair(draw, two)}
        case "linear":
            return {"out": draw(small), "bias": draw(flag)}
        case "conv_bn" | "relu_conv_bn":
            return {"out": draw(small), "kernel": draw(st.sampled_from((1, 3)))}
        case "factorized_reduce" | "residual_reduce":
            return {"out": 2 * draw(two)} | ({"stride": 2} if op == "residual_reduce" else {})
        case "classifier" | "norm_classifier":
            return {"classes": draw(small)}
        case _:
            return draw(_OTHER_ATTRIBUTES.get(op, st.just({})))


def _pair(draw: st.DrawFn, sizes: st.SearchStrategy[int]) -> int | tuple[int, int]:
    return draw(st.one_of(sizes, st.tuples(sizes, sizes)))


def _sharing(draw: st.DrawFn, graph: Graph) -> Graph:
    """The graph where some node uses the weights of an earlier one of the same shapes."""
    pairs = [
        (first, second)
        for i, first in enumerate(graph.nodes)
        for second in graph.nodes[i + 1 :]
        if first.params and first.op is second.op and _weights(first) == _weights(second)
    ]
    if not pairs or not draw(st.booleans()):
        return graph
    first, second = draw(st.sampled_from(pairs))
    shared = replace(second, params=first.params)
    return graph.with_nodes([shared if node.name == second.name else node for node in graph.nodes])


def _weights(node: Node) -> list[ParamRef]:
    """The node's weights but for their keys."""
    return [replace(ref, key="") for ref in node.params]
