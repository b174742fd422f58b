"""The networks of NAS-Bench-201 in AutoDL-Projects: `TinyNetwork`."""

from nasir import Genotype, Graph
from runners.originals.unit import TensorGroup


def units(genotype: Genotype, graph: Graph) -> tuple[TensorGroup, ...]:
    """The parts in the order of the original's state.

    `cells` holds N cells, a residual reduction, N cells, a reduction, N cells; the layers of a cell
    are its six edges by target and then source, those of `none` too.
    """
    layers = int(graph.about["layers"])
    found, cell, place = [TensorGroup("stem.", ("stem/",))], 0, 0
    for stage in range(3):
        if stage:
            found.append(TensorGroup(f"cells.{place}.", (f"reduce{stage}/",)))
            place += 1
        for _ in range(layers):
            found += _cell(genotype, f"cells.{place}.layers.", f"c{cell:02d}/")
            cell, place = cell + 1, place + 1
    return (
        *found,
        TensorGroup("lastact.", ("head/bn.",)),
        TensorGroup("classifier.", ("head/linear.",)),
    )


def _cell(genotype: Genotype, theirs: str, ours: str) -> list[TensorGroup]:
    cell = genotype.cell("cell")
    found: list[TensorGroup] = []
    for node in range(1, 1 + len(cell.nodes)):
        ops = {edge.source: edge.op for edge in cell.nodes[node - 1]}
        for source in range(node):
            if source in ops:
                key = f"{ours}n{node}.e{source}/{ops[source]}/"
                found.append(TensorGroup(f"{theirs}{node * (node - 1) // 2 + source}.", (key,)))
    return found
