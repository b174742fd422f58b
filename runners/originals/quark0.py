"""The networks of quark0's DARTS and those that copied them: `NetworkCIFAR`, `NetworkImageNet`."""

from nasir import Genotype, Graph
from runners.originals.unit import Unit


def units(genotype: Genotype, graph: Graph) -> tuple[Unit, ...]:
    """The parts in the order of the original's state.

    Ops of a cell are numbered in the order of the genotype: by node, and as each node names them.
    """
    found = list(_STEMS[graph.about["skeleton"]])
    for number, kind in enumerate(cell_kinds(graph)):
        below, cell = f"cells.{number}.", f"c{number:02d}/"
        found += [Unit(f"{below}preprocess{i}.", (f"{cell}pre{i}/",)) for i in range(2)]
        found += [
            Unit(f"{below}_ops.{place}.", (f"{cell}{label}/",))
            for place, label in enumerate(edge_labels(genotype, kind))
        ]
    found.append(Unit("auxiliary_head.", ("aux/",)))
    found.append(Unit("classifier.", ("head/",)))
    return tuple(found)


def cell_kinds(graph: Graph) -> tuple[str, ...]:
    """The kind of each cell, in order."""
    kinds = {node.cell.name: node.cell.kind for node in graph if node.cell is not None}
    return tuple(kinds[name] for name in sorted(kinds))


def edge_labels(genotype: Genotype, kind: str) -> tuple[str, ...]:
    """Where the weights of each op of a cell lie, in the genotype's order: `n2.e0/sep_conv_3x3`."""
    cell, found = genotype.cell(kind), list[str]()
    for number, node in enumerate(cell.nodes, start=cell.inputs):
        labels = list[str]()
        for edge in node:
            label = f"n{number}.e{edge.source}/{edge.op}"
            twins = sum(other.split("#")[0] == label for other in labels)
            labels.append(f"{label}#{twins + 1}" if twins else label)
        found += labels
    return tuple(found)


_CIFAR = (Unit("stem.", ("stem/",)),)

_STEMS = {
    "cifar": _CIFAR,
    "nnabla": _CIFAR,
    "imagenet": (Unit("stem0.", ("stem0a/", "stem0b/")), Unit("stem1.", ("stem1/",))),
}
