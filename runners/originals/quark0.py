"""The networks of DARTS and of code that copied them: `NetworkCIFAR`, `NetworkImageNet`, supernets.

Those of AutoDL-Projects name the stem's and the reductions' tensors otherwise, in the same order.
"""

from nasir import Genotype, Graph, Space
from runners.originals.unit import TensorGroup


def units(genotype: Genotype, graph: Graph) -> tuple[TensorGroup, ...]:
    """The parts in the order of the original's state.

    Ops of a cell are numbered in the order of the genotype: by node, and as each node names them.
    """
    found = list(_STEMS[graph.about["skeleton"]])
    for number, kind in enumerate(cell_kinds(graph)):
        below, cell = f"cells.{number}.", f"c{number:02d}/"
        found += _preprocessing(below, cell)
        found += [
            TensorGroup(f"{below}_ops.{place}.", (f"{cell}{label}/",))
            for place, label in enumerate(edge_labels(genotype, kind))
        ]
    return (
        *found,
        TensorGroup("auxiliary_head.", ("aux/",)),
        TensorGroup("classifier.", ("head/",)),
    )


def supernet_units(space: Space, graph: Graph) -> tuple[TensorGroup, ...]:
    """The same of a supernet: `_ops.E._ops.K` is option K of edge E.

    Edges are numbered by target node, then source, which is the order of a cell's choices; options
    are numbered in the space's order.
    """
    del space  # the graph has its decisions
    found = list(_STEMS[graph.about["skeleton"]])
    for number, kind in enumerate(cell_kinds(graph)):
        below, cell = f"cells.{number}.", f"c{number:02d}/"
        found += _preprocessing(below, cell)
        edges = [choice for choice in graph.choices if choice.name.startswith(f"{kind}/")]
        found += [
            TensorGroup(
                f"{below}_ops.{edge}._ops.{place}.",
                (f"{cell}{choice.name.removeprefix(f'{kind}/')}/{option}/",),
            )
            for edge, choice in enumerate(edges)
            for place, option in enumerate(choice.options)
        ]
    return (*found, TensorGroup("classifier.", ("head/",)))


def _preprocessing(below: str, cell: str) -> list[TensorGroup]:
    return [TensorGroup(f"{below}preprocess{i}.", (f"{cell}pre{i}/",)) for i in range(2)]


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


LOGITS = ("alphas_", "betas_", "_arch_parameters", "arch_parameters")
"""Starts of the names of a supernet's architecture parameters, which are no weights."""

_CIFAR = (TensorGroup("stem.", ("stem/",)),)
_IMAGENET = (TensorGroup("stem0.", ("stem0a/", "stem0b/")), TensorGroup("stem1.", ("stem1/",)))

_STEMS = {
    "cifar": _CIFAR,
    "nnabla": _CIFAR,
    "imagenet": _IMAGENET,
    "imagenet_search": _IMAGENET,
}
