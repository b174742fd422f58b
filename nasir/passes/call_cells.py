"""Every cell becomes one node, so that equal cells run, and are compiled, as one function."""

from nasir.graph import Graph
from nasir.node import Node
from nasir.ops import Macro
from nasir.ops.memory import CALL
from nasir.passes.slices import crossing, homes_of, sharing_buffers, sliced


def call_cells(graph: Graph) -> Graph:
    """The graph where each value that a cell hands to others is one `call` of a body.

    Cells of one kind and size have equal bodies. What belongs to no cell stays as it is, and so do
    nodes that apply bodies already. The results are bitwise the same. Run it last.
    """
    homes = homes_of(graph)
    plain = {node.name for node in graph if homes[node.name] is None or _fixed(node)}
    return sliced(graph, crossing(graph, homes), plain | sharing_buffers(graph), homes, CALL)


def _fixed(node: Node) -> bool:
    return isinstance(node.op, Macro) or node.body is not None
