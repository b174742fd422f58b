"""Random genotypes whose ops stand on nodes, for laws."""

import hypothesis.strategies as st

from nasir import CellGenotype, Edge, Genotype
from nasir.space.nasbench101 import OPS, VERTEX_LIMIT, Module, module_of

INCEPTION = Genotype(
    "nasbench101",
    (
        CellGenotype(
            "cell",
            1,
            tuple((Edge("", source),) for source in (0, 0, 0, 3, 0)),
            (1, 2, 4, 5),
            ops=(OPS[1], OPS[0], OPS[0], OPS[0], OPS[2]),
        ),
    ),
    name="inception",
)
"""The example of NAS-Bench-101's README."""


def node_cell(sources: list[list[int]], output: list[int], ops: list[str]) -> CellGenotype:
    """The cell whose nodes, from 1 on, read these states."""
    nodes = tuple(tuple(Edge("", source) for source in row) for row in sources)
    return CellGenotype("cell", 1, nodes, tuple(output), ops=tuple(ops))


@st.composite
def node_cells(draw: st.DrawFn, most: int = 6) -> CellGenotype:
    """A cell of up to `most` nodes, loose ends and the cell without nodes included."""
    count = draw(st.integers(0, most))
    rows = [
        draw(st.lists(st.integers(0, state - 1), min_size=1, unique=True).map(sorted))
        for state in range(1, count + 2)
    ]
    ops = [draw(st.sampled_from(OPS)) for _ in range(count)]
    return node_cell(rows[:-1], rows[-1], ops)


def node_genotypes(most: int = 6) -> st.SearchStrategy[Genotype]:
    """Genotypes of one such cell."""
    return st.builds(lambda cell: Genotype("nasbench101", (cell,)), node_cells(most))


@st.composite
def one_shot_genotypes(draw: st.DrawFn) -> Genotype:
    """Genotypes of NAS-Bench-1Shot1's three spaces, by the numbers of their parents."""
    number, parents = draw(
        st.sampled_from([(1, (1, 2, 2, 2, 2)), (2, (1, 1, 2, 2, 3)), (3, (1, 1, 1, 2, 2, 2))])
    )
    rows = [
        sorted(draw(st.permutations(range(node)))[:keep])
        for node, keep in enumerate(parents, start=1)
    ]
    ops = [draw(st.sampled_from(OPS)) for _ in rows[:-1]]
    return Genotype(f"nasbench1shot1_{number}", (node_cell(rows[:-1], rows[-1], ops),))


def one_shot_module(cell: CellGenotype) -> Module:
    """The cell of NAS-Bench-1Shot1 as its code asks NAS-Bench-101 for it.

    Nodes that the output does not need have no edges. Cells of four nodes get a fifth one, a 1x1
    convolution without edges, so that every matrix is 7x7. Pruning removes all of these.
    """
    module = module_of(cell)
    size = len(module.ops)
    needed = {size - 1}
    for vertex in reversed(range(size - 1)):
        if any(module.matrix[vertex][reader] for reader in needed):
            needed.add(vertex)
    rows = [
        [x in needed and y in needed and edge for y, edge in enumerate(row)]
        for x, row in enumerate(module.matrix)
    ]
    ops = list(module.ops)
    if len(cell.nodes) == VERTEX_LIMIT - 3:
        rows = [[*row[:-1], 0, row[-1]] for row in (*rows[:-1], [0] * size, rows[-1])]
        ops.insert(-1, "conv1x1-bn-relu")
    return Module(tuple(tuple(map(int, row)) for row in rows), tuple(ops))
