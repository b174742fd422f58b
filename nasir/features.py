"""The outputs of a network's stages instead of its heads'."""

from dataclasses import replace

from nasir.errors import NasirError
from nasir.graph import Graph
from nasir.types import ImageType


def features(graph: Graph) -> Graph:
    """The network without its heads; outputs are the `stages`, named `stage1`, `stage2`, ….

    Weights of cells stay, also those that nothing reads, so that the keys are those of the network
    but for the heads'. Raises an error for a network that reads no image.
    """
    found = stages(graph)
    if not found:
        message = f"the skeleton '{graph.about.get('skeleton', '')}' has no stages of images"
        raise NasirError("E505", message, hint="leave the features out")
    cells = {cell.name for cell in graph.cells}
    inside = (node.name for node in graph if _group(node.name) in cells)
    wanted = graph.needed((*found, *inside))
    meta = {
        **{name: text for name, text in graph.meta if name != "classes"},
        "outputs": " ".join(f"stage{number}" for number in range(1, len(found) + 1)),
        "strides": " ".join(map(str, found.values())),
    }
    nodes = tuple(node for node in graph if node.name in wanted)
    outputs = tuple(found)
    return replace(graph, nodes=nodes, outputs=outputs, auxiliary=(), meta=tuple(meta.items()))


def stages(graph: Graph) -> dict[str, int]:
    """The last value before each halving of the image's side, and the last of all: its stride.

    `graph` is a network of macros. Values inside cells, stems and heads are none: what has names
    below one name (`c03/…`) is one step, and a head is a step outside cells that gives a result.
    """
    cells = {cell.name for cell in graph.cells}
    heads = {_group(name) for name in graph.results} - cells
    side = next((type_.h for _, type_ in graph.inputs if isinstance(type_, ImageType)), 0)
    stride, found = 1, dict[int, str]()
    for node in graph:
        type_, group = graph.types[node.name], _group(node.name)
        inner = node.name not in graph.results and all(
            _group(reader) == group for reader in graph.readers[node.name]
        )
        pooled = node.op.name == "global_pool"
        if inner or pooled or group in heads or not isinstance(type_, ImageType):
            continue
        if type_.h < side:
            stride *= (2 * side + type_.h) // (2 * type_.h)  # rounded: 32 pixels may become 17
            side = type_.h
        if type_.h == side:
            found[stride] = node.name
    return {name: stride for stride, name in found.items()}


def _group(name: str) -> str:
    return name.partition("/")[0]
