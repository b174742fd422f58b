"""The outputs of a network's stages instead of its heads'."""

from dataclasses import replace

from nasir.errors import NasirError
from nasir.graph import Feature, Graph
from nasir.types import ImageType, SignalType, WeightsType


def features(graph: Graph) -> Graph:
    """The network without its heads; outputs are the `stages`, by their names.

    Weights of cells stay, also those that nothing reads, so that the keys are those of the network
    but for the heads'. Raises an error for a network that reads no image.
    """
    found = stages(graph)
    if not found:
        message = f"the skeleton '{graph.about.get('skeleton', '')}' has no stages of images"
        raise NasirError("E505", message, hint="leave the features out")
    inside = (node.name for node in graph if node.at)
    wanted = graph.needed((*found, *inside))
    meta = {
        **{name: text for name, text in graph.meta if name not in ("classes", "stages", "ends")},
        "outputs": " ".join(stage.name for stage in found.values()),
        "strides": " ".join(str(stage.stride) for stage in found.values()),
    }
    nodes = tuple(node for node in graph if node.name in wanted)
    outputs = tuple(found)
    return replace(graph, nodes=nodes, outputs=outputs, auxiliary=(), meta=tuple(meta.items()))


def stages(graph: Graph) -> dict[str, Feature]:
    """The stages by the values that end them: those of the skeleton where it names stages.

    Else `stage1`, `stage2`, … end with the last value before each halving of the image's side, and
    the last of all. `graph` is a network of macros.
    """
    ends = dict(zip(graph.words("ends"), graph.words("stages"), strict=True))
    if not ends:
        return {
            end: Feature(f"stage{number}", graph.types[end].shape[0], stride)
            for number, (end, stride) in enumerate(_halvings(graph).items(), start=1)
        }
    entrance = next(type_ for _, type_ in graph.inputs if not isinstance(type_, WeightsType))
    axis = -1 if isinstance(entrance, SignalType) else 1
    shapes = {end: graph.types[end].shape for end in ends if end in graph.types}
    return {
        end: Feature(ends[end], shape[0], max(1, round(entrance.shape[axis] / shape[axis])))
        for end, shape in shapes.items()
        if len(shape) == 3
    }


def _halvings(graph: Graph) -> dict[str, int]:
    """The last value before each halving of the image's side, and the last of all: its stride.

    Values inside cells, and before one that alone reads them, are none, nor are heads: nodes
    outside cells that give a result.
    """
    cells = {node.name: node.at and node.at.cell for node in graph}
    side = next((type_.h for _, type_ in graph.inputs if isinstance(type_, ImageType)), 0)
    stride, found = 1, dict[int, str]()
    for node in graph:
        type_, cell, result = graph.types[node.name], cells[node.name], node.name in graph.results
        inner = not result and {cells[x] for x in graph.readers[node.name]} <= {cell} - {None}
        head = result and cell is None
        if inner or head or node.op.name == "global_pool" or not isinstance(type_, ImageType):
            continue
        if type_.h < side:
            stride *= (2 * side + type_.h) // (2 * type_.h)  # rounded: 32 pixels may become 17
            side = type_.h
        if type_.h == side:
            found[stride] = node.name
    return {name: stride for stride, name in found.items()}
