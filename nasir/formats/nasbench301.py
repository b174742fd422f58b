"""NAS-Bench-301's configurations: ConfigSpace's names for the edges and inputs of DARTS cells."""

import json
import re

from nasir.document import Cursor
from nasir.errors import quoted, unknown_op
from nasir.formats.compact import NASLIB_OPS
from nasir.formats.format import Format, darts_cells, inexpressible
from nasir.genotype import CellGenotype, Edge, Genotype
from nasir.plain import Json

_PREFIX = "NetworkSelectorDatasetInfo:darts:"
_KEY = re.compile(rf"{_PREFIX}(?:edge|inputs_node)_(?:normal|reduce)_[0-9]{{1,3}}")
_KINDS = ("normal", "reduce")
_NODES = (2, 3, 4, 5)
_FIRST = {2: 0, 3: 2, 4: 5, 5: 9}
"""The number of each node's first edge: edges go by node, then by source."""


def load(cursor: Cursor) -> Genotype:
    """The genotype of `{"NetworkSelectorDatasetInfo:darts:edge_normal_0": op, …}`.

    Node 2 reads both inputs; other keys (of the optimiser, say) are left alone. Raises E109, E201.
    """
    entries = cursor.entries("a NAS-Bench-301 configuration")
    cells = tuple(_read_cell(cursor, entries, kind) for kind in _KINDS)
    read = {_key("edge", cell.kind, number) for cell in cells for number in _edges(cell)}
    read |= {_key("inputs_node", kind, node) for kind in _KINDS for node in _NODES[1:]}
    for name, entry in entries.items():
        if _KEY.fullmatch(name) and name not in read and entry.value is not None:
            message = f"the genotype has no place for {quoted(name.removeprefix(_PREFIX))}"
            hint = "edges are numbered 0 to 13; an edge counts where its node reads its source"
            raise entry.fault("E109", message, hint)
    return Genotype("darts", cells)


def dump(genotype: Genotype) -> str:
    """The configuration as JSON. The order of a node's edges is lost. Raises E208."""
    found: dict[str, str] = {}
    for cell in darts_cells(genotype, "nasbench301"):
        _check(cell)
        for number, op in _edges(cell).items():
            found[_key("edge", cell.kind, number)] = op
        for node in _NODES[1:]:
            sources = sorted(edge.source for edge in cell.nodes[node - 2])
            found[_key("inputs_node", cell.kind, node)] = "_".join(map(str, sources))
    return json.dumps(found, indent=2) + "\n"


def _key(what: str, kind: str, number: int) -> str:
    return f"{_PREFIX}{what}_{kind}_{number}"


def _edges(cell: CellGenotype) -> dict[int, str]:
    """The op of each edge by its number, in order."""
    return {
        _FIRST[node] + edge.source: edge.op
        for node, edges in enumerate(cell.nodes, start=2)
        for edge in sorted(edges, key=lambda edge: edge.source)
    }


def _read_cell(cursor: Cursor, entries: dict[str, Cursor], kind: str) -> CellGenotype:
    nodes: list[tuple[Edge, ...]] = []
    for node in _NODES:
        sources = (0, 1) if node == 2 else _sources(cursor, entries, kind, node)
        edges = [
            Edge(_op(_entry(cursor, entries, _key("edge", kind, _FIRST[node] + source))), source)
            for source in sources
        ]
        nodes.append(tuple(edges))
    return CellGenotype(kind, 2, tuple(nodes), _NODES)


def _sources(cursor: Cursor, entries: dict[str, Cursor], kind: str, node: int) -> tuple[int, int]:
    entry = _entry(cursor, entries, _key("inputs_node", kind, node))
    text = entry.text("the inputs of a node")
    match = re.fullmatch(r"([0-9])_([0-9])", text)
    pair = (int(match[1]), int(match[2])) if match else (0, 0)
    if not pair[0] < pair[1] < node:
        message = f"node {node} reads {quoted(text)}, not two of the states before it"
        raise entry.fault("E109", message, hint=f"0_1 to {node - 2}_{node - 1}")
    return pair


def _entry(cursor: Cursor, entries: dict[str, Cursor], key: str) -> Cursor:
    entry = entries.get(key)
    if entry is None or entry.value is None:
        message = f"the configuration has no field {quoted(key.removeprefix(_PREFIX))}"
        raise cursor.fault("E109", message)
    return entry


def _op(entry: Cursor) -> str:
    name = entry.text("an op")
    if name not in NASLIB_OPS:
        raise unknown_op(name, NASLIB_OPS, entry.where)
    return name


def _check(cell: CellGenotype) -> None:
    """Raises E208 for ops, or pairs of sources, that have no name there."""
    for node, edges in enumerate(cell.nodes, start=2):
        what = f"node {node} of cell '{cell.kind}'"
        sources = [edge.source for edge in edges]
        if len(set(sources)) != len(sources):
            raise inexpressible("nasbench301", f"{what}: it reads node {sources[0]} twice")
        for edge in edges:
            if edge.op not in NASLIB_OPS:
                raise inexpressible("nasbench301", f"{what}: its op '{edge.op}'")


def _recognises(value: Json) -> bool:
    return isinstance(value, dict) and any(_KEY.fullmatch(name) for name in value)


NASBENCH301 = Format(
    "nasbench301",
    "NAS-Bench-301's configuration",
    lambda cursor: _recognises(cursor.value),
    load,
    dump,
    opens=rf"\{{(?=\s{{0,40}}[\"'](?:{_PREFIX}|NetworkSelectorDatasetInfo:))",
)
