"""DARTS cells as mappings whose keys number edges or name cells.

nnabla's `DARTS_arch.json` has op ids, two edges a node; NAS-Bench-301's ConfigSpace has names for
edges and inputs; NNI exports `{"normal/op_2_0": op, …}`, and `{"0_1": op, …}` of NAS-Bench-201;
aw_nas prints `CNNGenotype(normal_0=[('op', source, node), …], normal_0_concat=…, …)`.
"""

import json
import re
from collections.abc import Callable

from nasir.document import Cursor, Json
from nasir.errors import NasirError, Where, quoted, unknown_op
from nasir.formats.format import (
    Format,
    Parsed,
    Spots,
    call_of,
    darts_cells,
    has_keys,
    inexpressible,
    normal_and_reduce,
    numbers_of,
    paired_cells,
    refuse_node_ops,
)
from nasir.formats.numbers import BANANAS_OPS, BY_NODE, NASBENCH201_OPS, NASLIB_OPS
from nasir.genotype import CellGenotype, Edge, Path
from nasir.space.space import Genotype, Space

_KINDS = ("normal", "reduce")
_NODES = (2, 3, 4, 5)

OP_IDS = (
    "dil_conv_3x3",
    "dil_conv_5x5",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "none",
)
"""The ops of ids 0 to 7. nnabla calls 6 `identity` and 7 `zero`."""

_SECTIONS = {"arch_normal": "normal", "arch_reduction": "reduce"}

_PREFIX = "NetworkSelectorDatasetInfo:darts:"
_KEY = re.compile(rf"{_PREFIX}(?:edge|inputs_node)_(?:normal|reduce)_[0-9]{{1,3}}")
_FIRST = {2: 0, 3: 2, 4: 5, 5: 9}
"""The number of each node's first edge: edges go by node, then by source."""

_SLOTS = (0, 1)
_NNI_KEY = re.compile(r"(?:normal|reduce)/(?:op|input)_[0-9]{1,3}_[0-9]{1,3}")
_EDGE_KEY = re.compile(r"(?:\w{1,40}(?:/|__))?([0-9])_([0-9])")
_SHORT = {"nor_conv_1x1": "conv_1x1", "nor_conv_3x3": "conv_3x3"}
NNI_OPS_201 = {_SHORT.get(op, op): op for op in NASBENCH201_OPS}
"""NNI's names of NAS-Bench-201's ops, and nasir's."""


def parse_nnabla(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of `{"arch_normal": {"2": [[id, source], [id, source]], ...}, ...}`."""
    entries = cursor.entries("an nnabla architecture")
    for section, kind in _SECTIONS.items():
        if section not in entries:
            raise cursor.fault(
                "E202", f"the cell kind '{kind}' is missing", hint=f"it stands under '{section}'"
            )
    fields = cursor.fields("an nnabla architecture", _SECTIONS)
    genotype = Genotype(
        "darts", tuple(_read_cell(kind, fields[section]) for section, kind in _SECTIONS.items())
    )

    def place(path: Path) -> Where:
        kind, *rest = path
        section = "arch_normal" if kind == "normal" else "arch_reduction"
        if len(rest) < 2:
            return cursor.place(section, *map(str, rest))
        return cursor.place(section, str(rest[0]), rest[1], 1)

    return Parsed(genotype, place)


def dump_nnabla(genotype: Genotype) -> str:
    """The genotype as JSON, one node on a line. Raises an error for what nnabla has no word for."""
    cells = paired_cells(genotype, "nnabla")
    sections = [
        f'  "{section}": {{\n{_format_cell(cell)}\n  }}'
        for section, cell in zip(_SECTIONS, cells, strict=True)
    ]
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _read_cell(kind: str, cursor: Cursor) -> CellGenotype:
    if cursor.value == {}:
        raise cursor.fault("E202", f"cell '{kind}' has no nodes")
    fields = cursor.fields(f"cell '{kind}'", map(str, _NODES))
    nodes = tuple(_read_node(f"node {name} of cell '{kind}'", fields[str(name)]) for name in _NODES)
    return CellGenotype(kind, 2, nodes, _NODES)


def _read_node(what: str, cursor: Cursor) -> tuple[Edge, ...]:
    edges = cursor.items(what)
    if len(edges) != 2:
        raise cursor.fault("E202", f"{what} has {len(edges)} inputs, not 2")
    return tuple(_read_edge(edge) for edge in edges)


def _read_edge(cursor: Cursor) -> Edge:
    pair = cursor.items("an edge [op id, source]")
    if len(pair) != 2:
        raise cursor.fault("E109", f"an edge is [op id, source], and this has {len(pair)} parts")
    number = pair[0].integer("an op id")
    if not 0 <= number < len(OP_IDS):
        hint = f"the ids: {numbers_of(OP_IDS)}"
        raise pair[0].fault("E201", f"unknown op id {number}", hint=hint)
    return Edge(OP_IDS[number], pair[1].integer("a source"))


def _format_cell(cell: CellGenotype) -> str:
    if len(cell.nodes) != len(_NODES):
        raise _no_nnabla(cell, f"{len(cell.nodes)} nodes, nnabla has {len(_NODES)}")
    if cell.output != _NODES:
        raise _no_nnabla(cell, f"the output {list(cell.output)}, nnabla always has {list(_NODES)}")
    return ",\n".join(
        f'    "{name}": [{", ".join(_format_edge(cell, name, edge) for edge in edges)}]'
        for name, edges in zip(_NODES, cell.nodes, strict=True)
    )


def _format_edge(cell: CellGenotype, node: int, edge: Edge) -> str:
    if edge.op not in OP_IDS:
        raise inexpressible(
            "nnabla", f"node {node} of cell '{cell.kind}': op '{edge.op}' has no id"
        )
    return f"[{OP_IDS.index(edge.op)}, {edge.source}]"


def _no_nnabla(cell: CellGenotype, what: str) -> NasirError:
    return inexpressible("nnabla", f"cell '{cell.kind}': {what}")


def parse_nasbench301(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of `{"NetworkSelectorDatasetInfo:darts:edge_normal_0": op, …}`.

    Node 2 reads both inputs; other keys (of the optimiser, say) are left alone.
    """
    entries = cursor.entries("a NAS-Bench-301 configuration")
    cells = tuple(_read_cell_301(cursor, entries, kind) for kind in _KINDS)
    read = {_key("edge", cell.kind, number) for cell in cells for number in _edges(cell)}
    read |= {_key("inputs_node", kind, node) for kind in _KINDS for node in _NODES[1:]}
    for name, entry in entries.items():
        if _KEY.fullmatch(name) and name not in read and entry.value is not None:
            message = f"the genotype has no place for {quoted(name.removeprefix(_PREFIX))}"
            hint = "edges are numbered 0 to 13; an edge counts where its node reads its source"
            raise entry.fault("E109", message, hint)
    return Parsed(Genotype("darts", cells), lambda _: cursor.where)


def dump_nasbench301(genotype: Genotype) -> str:
    """The configuration as JSON. The order of a node's edges is lost."""
    found: dict[str, str] = {}
    for cell in darts_cells(genotype, "nasbench301"):
        _check_301(cell)
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


def _read_cell_301(cursor: Cursor, entries: dict[str, Cursor], kind: str) -> CellGenotype:
    nodes: list[tuple[Edge, ...]] = []
    for node in _NODES:
        sources = (0, 1) if node == 2 else _sources(cursor, entries, kind, node)
        edges = [
            Edge(_known(_entry(cursor, entries, _key("edge", kind, _FIRST[node] + source))), source)
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


def _known(entry: Cursor) -> str:
    name = entry.text("an op")
    if name not in NASLIB_OPS:
        raise unknown_op(name, NASLIB_OPS, entry.where)
    return name


def _check_301(cell: CellGenotype) -> None:
    """Raises an error for ops, or pairs of sources, that have no name there."""
    for node, edges in enumerate(cell.nodes, start=2):
        what = f"node {node} of cell '{cell.kind}'"
        sources = [edge.source for edge in edges]
        if len(set(sources)) != len(sources):
            raise inexpressible("nasbench301", f"{what}: it reads node {sources[0]} twice")
        for edge in edges:
            if edge.op not in NASLIB_OPS:
                raise inexpressible("nasbench301", f"{what}: its op '{edge.op}'")


def parse_darts(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of `{"normal/op_2_0": op, "normal/input_2_0": [0], …}`, four nodes a cell.

    The last number says which of the node's two edges it is. Keys without a slash (`width`,
    `depth`) are left alone.
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
            raise entry.fault("E202" if _NNI_KEY.fullmatch(name) else "E109", message)
    for name in wanted:
        if name not in entries:
            raise cursor.fault("E109", f"the architecture has no field '{name}'")

    def edge(kind: str, node: int, slot: int) -> Edge:
        op = entries[f"{kind}/op_{node}_{slot}"]
        name = op.text("an op")
        if name not in BANANAS_OPS:
            raise unknown_op(name, BANANAS_OPS, op.where)
        return Edge(name, _nni_source(entries[f"{kind}/input_{node}_{slot}"]))

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
    return Parsed(Genotype("darts", cells), place)


def dump_darts(genotype: Genotype) -> str:
    """The dictionary as JSON, one edge a line."""
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


def parse_nasbench201(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of `{"0_1": op, …}`, whose keys are source and node; `cell/0_1` will do too."""
    found: dict[tuple[int, int], str] = {}
    for name, entry in cursor.entries("NNI's architecture").items():
        match = _EDGE_KEY.fullmatch(name)
        edge = (int(match[1]), int(match[2])) if match else (0, 0)
        if edge not in BY_NODE or edge in found:
            message = f"{quoted(name)} is none of the six edges 0_1, 0_2, 1_2, 0_3, 1_3, 2_3"
            raise entry.fault("E202", f"{message}, or one that there was")
        op = entry.text("an op")
        if op not in NNI_OPS_201:
            raise unknown_op(op, NNI_OPS_201, entry.where)
        found[edge] = NNI_OPS_201[op]
    for source, node in BY_NODE:
        if (source, node) not in found:
            raise cursor.fault("E109", f"the architecture has no field '{source}_{node}'")
    nodes = tuple(
        tuple(Edge(found[source, node], source) for source in range(node)) for node in (1, 2, 3)
    )
    cell = CellGenotype("cell", 1, nodes, (3,))
    return Parsed(Genotype("nasbench201", (cell,)), lambda _: cursor.where)


def dump_nasbench201(genotype: Genotype) -> str:
    """The dictionary as JSON."""
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
    names = {ours: theirs for theirs, ours in NNI_OPS_201.items()}
    for op in found.values():
        if op not in names:
            raise inexpressible(name, f"the op '{op}'")
    return json.dumps({f"{s}_{n}": names[found[s, n]] for s, n in BY_NODE}) + "\n"


def _nni_source(entry: Cursor) -> int:
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


NNABLA = Format(
    "nnabla",
    "nnabla's DARTS_arch.json",
    lambda cursor: has_keys(cursor.value, *_SECTIONS),
    parse_nnabla,
    dump_nnabla,
    opens=r"\{(?=\s{0,40}[\"']arch_(?:normal|reduction)[\"'])",
)
NASBENCH301 = Format(
    "nasbench301",
    "NAS-Bench-301's configuration",
    lambda cursor: _has_key(cursor.value, _KEY),
    parse_nasbench301,
    dump_nasbench301,
    opens=rf"\{{(?=\s{{0,40}}[\"'](?:{_PREFIX}|NetworkSelectorDatasetInfo:))",
)
NNI_DARTS = Format(
    "nni_darts",
    "NNI's dictionary of DARTS cells",
    lambda cursor: _has_key(cursor.value, _NNI_KEY),
    parse_darts,
    dump_darts,
    opens=r"\{(?=\s{0,40}[\"'](?:normal|reduce)/)",
)
NNI_NASBENCH201 = Format(
    "nni_nasbench201",
    "NNI's dictionary of a NAS-Bench-201 cell",
    lambda cursor: _all_keys(cursor.value, _EDGE_KEY),
    parse_nasbench201,
    dump_nasbench201,
    opens=r"\{(?=\s{0,40}[\"'](?:\w{1,40}(?:/|__))?\d_\d[\"']\s{0,4}:)",
)


_GROUPS = {"normal_0": "normal", "reduce_1": "reduce"}
_MOST = 64
"""The highest node."""


def parse_aw_nas(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of its two groups of cells.

    Other numbers of groups are not read: DARTS's networks have two.
    """
    names = (*_GROUPS, *(f"{name}_concat" for name in _GROUPS))
    fields = cursor.fields("an aw_nas genotype", names)
    spots = Spots()
    cells = tuple(_read_group(kind, name, fields, spots) for name, kind in _GROUPS.items())
    return Parsed(Genotype("darts", cells), spots.place)


def dump_aw_nas(genotype: Genotype) -> str:
    """The Python text. Raises an error for other cells than normal and reduce."""
    cells = normal_and_reduce(genotype, "aw_nas")
    edges = [
        [
            (edge.op, edge.source, node)
            for node, row in enumerate(cell.nodes, start=2)
            for edge in row
        ]
        for cell in cells
    ]
    fields = [f"{name}={row!r}" for name, row in zip(_GROUPS, edges, strict=True)]
    fields += [
        f"{name}_concat={list(cell.output)!r}" for name, cell in zip(_GROUPS, cells, strict=True)
    ]
    return f"CNNGenotype({', '.join(fields)})"


def _read_group(kind: str, name: str, fields: dict[str, Cursor], spots: Spots) -> CellGenotype:
    edges, output = fields[name], fields[f"{name}_concat"]
    spots.mark((kind,), lambda: edges.where)
    spots.mark((kind, "output"), lambda: output.where)
    found: dict[int, list[Edge]] = {}
    for part in edges.items(f"the edges of cell '{kind}'"):
        triple = part.items("an edge ('op', source, node)")
        if len(triple) != 3:
            message = f"an edge is ('op', source, node), and this has {len(triple)} parts"
            raise part.fault("E109", message)
        op, source, node = triple
        number = node.integer("a node")
        if not 2 <= number <= _MOST:
            raise node.fault("E202", f"an edge leads to node {number}, which is not there")
        row = found.setdefault(number, [])
        spots.mark((kind, number, len(row)), _at_cursor(source))
        spots.mark((kind, number, len(row), "op"), _at_cursor(op))
        row.append(Edge(op.text("an op"), source.integer("a source")))
    states = output.items(f"the output of cell '{kind}'")
    for slot, state in enumerate(states):
        spots.mark((kind, "output", slot), _at_cursor(state))
    nodes = tuple(tuple(found.get(node, ())) for node in range(2, max(found, default=1) + 1))
    return CellGenotype(kind, 2, nodes, tuple(state.integer("a state") for state in states))


def _at_cursor(cursor: Cursor) -> Callable[[], Where]:
    return lambda: cursor.where


AW_NAS = Format(
    "aw_nas",
    "aw_nas's Python text CNNGenotype(...)",
    lambda cursor: call_of(cursor) == "CNNGenotype" or has_keys(cursor.value, *_GROUPS),
    parse_aw_nas,
    dump_aw_nas,
    opens=r"CNNGenotype\s{0,4}\(",
)
