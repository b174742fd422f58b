"""The graph as a stand-alone file shows it: primitives, still grouped by the ops of the papers."""

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from nasir import Graph, Node, run_passes
from nasir.macros import ALL_OPS
from nasir.ops import Macro
from nasir.passes import DISCRETE, cse


def prepare(graph: Graph) -> Graph:
    """The discrete pipeline's graph, where ops of several layers stay whole.

    The pipeline shares the first ReLU of all separable convolutions that read one state. Here
    each keeps its own, so that it can be a class; what stands alone (pools) is shared as there.
    """
    rows = [row for row in DISCRETE if row.name != "cse"]
    graph, _ = run_passes(graph, rows)
    whole = {node.name for nodes in runs(graph.nodes) if is_block(nodes) for node in nodes}
    return cse(graph, whole)


def kinds_of(graph: Graph) -> Mapping[str, Macro]:
    """The macro that each macro node of an unexpanded graph stands for."""
    return {node.name: node.op for node in graph.nodes if isinstance(node.op, Macro)}


def runs(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    """Stretches of nodes of one cell whose names begin alike (`c03/n2.e0/sep_conv_3x3/`)."""
    for _, run in groupby(nodes, key=lambda node: (node.cell, prefix(node))):
        yield tuple(run)


def prefix(node: Node) -> str:
    """What the name says before its last part, unless that is the cell alone."""
    head = node.name.rpartition("/")[0]
    return "" if node.cell and head == node.cell.name else head


def is_block(run: tuple[Node, ...]) -> bool:
    """Whether a stretch becomes a class of its own: several layers, some with weights."""
    return bool(prefix(run[0])) and len(run) > 1 and any(node.params for node in run)


def kind_of(name: str, kinds: Mapping[str, Macro]) -> str:
    """The kind of the block of that name: its macro, or what its name says."""
    if name in kinds:
        return kinds[name].name
    last = name.rpartition("/")[2].partition("#")[0]
    stem = re.sub(r"\W", "", last.rstrip("0123456789"), flags=re.ASCII)
    return last if last in ALL_OPS else stem or "block"
