"""What NNI exports: `{"normal/op_2_0": op, …}` of DARTS, `{"0_1": op, …}` of NAS-Bench-201."""

import json
import re

from nasir.document import Cursor
from nasir.errors import Where, quoted, unknown_op
from nasir.formats.compact import BANANAS_OPS, BY_NODE, NASBENCH201_OPS
from nasir.formats.format import Format, darts_cells, inexpressible, refuse_node_ops
from nasir.genotype import CellGenotype, Edge, Genotype, Path, check_genotype
from nasir.plain import Json

_KINDS = ("normal", "reduce")
_NODES = (2, 3, 4, 5)
_SLOTS = (0, 1)
_KEY = re.compile(r"(?:normal|reduce)/(?:op|input)_[0-9]{1,3}_[0-9]{1,3}")
_EDGE_KEY = re.compile(r"(?:\w{1,40}(?:/|__))?([0-9])_([0-9])")
_SHORT = {"nor_conv_1x1": "conv_1x1", "nor_conv_3x3": "conv_3x3"}
_OPS_201 = {_SHORT.get(op, op): op for op in NASBENCH201_OPS}
"""NNI's names of NAS-Bench-201's ops, and nasir's."""


def load_darts(cursor: Cursor) -> Genotype:
    """The genotype of `{"normal/op_2_0": op, "normal/input_2_0": [0], …}`, four nodes a cell.

    The last number says which of the node's two edges it is. Keys without a slash (`width`,
    `depth`) are left alone. Raises E109, E201 to E205.
    """
    entries = cursor.entries("NNI's architecture")
    wanted = {
        f"{kind}/{what}_{node}_{slot}": (kind, node, slot)
        for kind in _KINDS
        for node in _NODES
        for slot in _SLOTS
        for what in ("op", "input")
    }
    for name, entry in entries.items():
        if "/" in name and name not in wanted:
            message = f"a DARTS cell has nodes 2 to 5 with edges 0 and 1: what is {quoted(name)}?"
            raise entry.fault("E202" if _KEY.fullmatch(name) else "E109", message)
    for name in wanted:
        if name not in entries:
            raise cursor.fault("E109", f"the architecture has no field '{name}'")

    def edge(kind: str, node: int, slot: int) -> Edge:
        op = entries[f"{kind}/op_{node}_{slot}"]
        name = op.text("an op")
        if name not in BANANAS_OPS:
            raise unknown_op(name, BANANAS_OPS, op.where)
        return Edge(name, _source(entries[f"{kind}/input_{node}_{slot}"]))

    def place(path: Path) -> Where:
        if len(path) < 3 or path[1] == "output":
            return cursor.where
        return entries[f"{path[0]}/input_{path[1]}_{path[2]}"].where

    cells = tuple(
        CellGenotype(
            kind,
            2,
            tuple(tuple(edge(kind, node, slot) for slot in _SLOTS) for node in _NODES),
            _NODES,
        )
        for kind in _KINDS
    )
    return check_genotype(Genotype("darts", cells), place)


def dump_darts(genotype: Genotype) -> str:
    """The dictionary as JSON, one edge a line. Raises E208."""
    lines: list[str] = []
    for cell in darts_cells(genotype, "nni_darts"):
        for node, edges in enumerate(cell.nodes, start=2):
            for slot, edge in enumerate(edges):
                if edge.op not in BANANAS_OPS:
                    what = f"node {node} of cell '{cell.kind}': its op '{edge.op}'"
                    raise inexpressible("nni_darts", what)
                key = f"{cell.kind}/{{}}_{node}_{slot}"
                lines.append(
                    f'"{key.format("op")}": {json.dumps(edge.op)}, '
                    f'"{key.format("input")}": [{edge.source}]'
                )
    return "{\n  " + ",\n  ".join(lines) + "\n}\n"


def load_nasbench201(cursor: Cursor) -> Genotype:
    """The genotype of `{"0_1": op, …}`, whose keys are source and node; `cell/0_1` will do too.

    Raises E109, E201, E202.
    """
    found: dict[tuple[int, int], str] = {}
    for name, entry in cursor.entries("NNI's architecture").items():
        match = _EDGE_KEY.fullmatch(name)
        edge = (int(match[1]), int(match[2])) if match else (0, 0)
        if edge not in BY_NODE or edge in found:
            message = f"{quoted(name)} is none of the six edges 0_1, 0_2, 1_2, 0_3, 1_3, 2_3"
            raise entry.fault("E202", f"{message}, or one that there was")
        op = entry.text("an op")
        if op not in _OPS_201:
            raise unknown_op(op, _OPS_201, entry.where)
        found[edge] = _OPS_201[op]
    for source, node in BY_NODE:
        if (source, node) not in found:
            raise cursor.fault("E109", f"the architecture has no field '{source}_{node}'")
    nodes = tuple(
        tuple(Edge(found[source, node], source) for source in range(node)) for node in (1, 2, 3)
    )
    return Genotype("nasbench201", (CellGenotype("cell", 1, nodes, (3,)),))


def dump_nasbench201(genotype: Genotype) -> str:
    """The dictionary as JSON. Raises E208."""
    name = "nni_nasbench201"
    cell = genotype.cells[0]
    if len(genotype.cells) != 1 or cell.inputs != 1 or cell.output != (3,):
        raise inexpressible(name, f"the cells {', '.join(genotype.kinds)}: it holds one cell")
    refuse_node_ops(cell, name)
    pairs = [
        ((edge.source, node), edge.op)
        for node, edges in enumerate(cell.nodes, start=1)
        for edge in edges
    ]
    if sorted(edge for edge, _ in pairs) != sorted(BY_NODE):
        raise inexpressible(name, "a cell without one edge from each node to each later one")
    found = dict(pairs)
    names = {ours: theirs for theirs, ours in _OPS_201.items()}
    for op in found.values():
        if op not in names:
            raise inexpressible(name, f"the op '{op}'")
    return json.dumps({f"{s}_{n}": names[found[s, n]] for s, n in BY_NODE}) + "\n"


def _source(entry: Cursor) -> int:
    """A number, or the list of one that newer versions write."""
    if not isinstance(entry.value, list):
        return entry.integer("a source")
    items = entry.items("the source of an edge")
    if len(items) != 1:
        raise entry.fault("E109", f"an edge has one source, and this has {len(items)}")
    return items[0].integer("a source")


def _has_key(value: Json, key: re.Pattern[str]) -> bool:
    return isinstance(value, dict) and any(key.fullmatch(name) for name in value)


def _all_keys(value: Json, key: re.Pattern[str]) -> bool:
    return isinstance(value, dict) and bool(value) and all(key.fullmatch(name) for name in value)


NNI_DARTS = Format(
    "nni_darts",
    "NNI's dictionary of DARTS cells",
    lambda cursor: _has_key(cursor.value, _KEY),
    load_darts,
    dump_darts,
    opens=r"\{(?=\s{0,40}[\"'](?:normal|reduce)/)",
)
NNI_NASBENCH201 = Format(
    "nni_nasbench201",
    "NNI's dictionary of a NAS-Bench-201 cell",
    lambda cursor: _all_keys(cursor.value, _EDGE_KEY),
    load_nasbench201,
    dump_nasbench201,
    opens=r"\{(?=\s{0,40}[\"'](?:\w{1,40}(?:/|__))?\d_\d[\"']\s{0,4}:)",
)
