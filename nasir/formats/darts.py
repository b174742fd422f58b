"""DARTS genotypes: `Genotype(normal=[...], ...)`, and the same fields as JSON, YAML or a list.

Edges stand flat, as many a node as its space says (two in DARTS), or in one list a node, where any
number is read. An edge is (op, source), or a triple that has a third part: the node that it leads
to (FairDARTS: (op, node, source); others: (op, source, node)), or a score. pt.darts prints the
nested lists of its own space `ptdarts`, whose networks have a batch norm behind every pool.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nasir.document import Cursor, Json
from nasir.errors import NasirError, nearest, quoted
from nasir.formats.format import (
    Format,
    Parsed,
    Spots,
    are_edges,
    call_of,
    has_keys,
    inexpressible,
    normal_and_reduce,
    paired_cells,
)
from nasir.genotype import CellGenotype, Edge
from nasir.space.decisions import SpaceCell
from nasir.space.space import Genotype, Space

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
RECURRENT_FIELDS = ("recurrent", "concat")
_UNUSED_FIELDS = ("connectN", "connects")
_NODE_LIMIT = 1000

_KEEPS_ZERO = frozenset({"none", "skip_connect", "max_pool_3x3", "avg_pool_3x3"})
"""Ops that make zero of zero at stride 1."""


def parse(cursor: Cursor, space: Space | None) -> Parsed:
    """The genotype of the fields, by name or in their order.

    Kinds of cell other than normal and reduce need a space. A node without edges is zero, and does
    not leave the cell, as in FairDARTS.
    """
    fields = _fields(cursor)
    spots = Spots()
    if _is_recurrent(fields):
        _check_fields(cursor, fields, ("recurrent",), ("concat",))
        cell = _recurrent(fields["recurrent"], fields["concat"], spots)
        return Parsed(Genotype("darts_rnn", (cell,)), spots.place)
    kinds = _kinds(cursor, fields, space)
    _check_fields(cursor, fields, kinds, tuple(f"{kind}_concat" for kind in kinds))
    cells = tuple(
        _cell(kind, fields[kind], fields[f"{kind}_concat"], spots, space) for kind in kinds
    )
    return Parsed(Genotype("darts", cells), spots.place)


def dump(genotype: Genotype) -> str:
    """The Python repr of cells normal and reduce, or of one recurrent cell.

    Where a node has another number of edges than two, each node's edges have a list of their own.
    """
    if genotype.kinds == ("recurrent",):
        return _dump_recurrent(genotype.cells[0])
    normal, reduce = normal_and_reduce(genotype, "darts")
    return (
        f"Genotype(normal={_format_edges(normal)}, normal_concat={_format_output(normal)}, "
        f"reduce={_format_edges(reduce)}, reduce_concat={_format_output(reduce)})"
    )


def _dump_recurrent(cell: CellGenotype) -> str:
    if cell.inputs != 1:
        raise inexpressible("darts", f"a recurrent cell of {cell.inputs} inputs")
    for state, edges in enumerate(cell.nodes, start=1):
        if len(edges) != 1:
            message = f"node {state} of the recurrent cell: {len(edges)} inputs, not 1"
            raise inexpressible("darts", message)
    flat = [(edge.op, edge.source) for edges in cell.nodes for edge in edges]
    return f"Genotype(recurrent={flat!r}, concat={_format_output(cell)})"


def _format_edges(cell: CellGenotype) -> str:
    nodes = [[(edge.op, edge.source) for edge in edges] for edges in cell.nodes]
    if all(len(edges) == 2 for edges in nodes):
        return repr([edge for edges in nodes for edge in edges])
    return repr(nodes)


def _format_output(cell: CellGenotype) -> str:
    """The states that leave a cell as Python prints them, a range where they are one."""
    first, last = cell.output[0], cell.output[-1]
    if len(cell.output) > 1 and cell.output == tuple(range(first, last + 1)):
        return repr(range(first, last + 1))
    return repr(list(cell.output))


def _fields(cursor: Cursor) -> dict[str, Cursor]:
    """The fields by name; those without one are numbered, and take the names in order."""
    if isinstance(cursor.value, list):
        items = cursor.items("a genotype")
        found = {str(index): item for index, item in enumerate(items)}
    else:
        found = cursor.entries("a genotype")
    unnamed = [name for name in found if name.isdigit()]
    recurrent = len(unnamed) == 2 == len(found)
    order = RECURRENT_FIELDS if recurrent else (*FIELDS, *_UNUSED_FIELDS)
    fields: dict[str, Cursor] = {}
    for name, value in found.items():
        if name.isdigit() and int(name) >= len(order):
            raise value.fault("E109", f"a genotype has at most {len(order)} fields")
        label = order[int(name)] if name.isdigit() else name
        if label in fields:
            where = cursor.document.key_place(value.path)
            raise NasirError("E104", f"the field '{label}' occurs twice", where)
        fields[label] = value
    return fields


def _is_recurrent(fields: dict[str, Cursor]) -> bool:
    return not {*FIELDS, *_UNUSED_FIELDS} & set(fields) and bool(
        set(RECURRENT_FIELDS) & set(fields)
    )


def _kinds(cursor: Cursor, fields: dict[str, Cursor], space: Space | None) -> tuple[str, ...]:
    """The kinds of cell. Raises an error for others than normal and reduce that no space
    explains.
    """
    kinds = tuple(name for name in fields if f"{name}_concat" in fields)
    if space:
        return kinds or space.kinds
    others = [kind for kind in kinds if kind not in ("normal", "reduce")]
    if others:
        raise cursor.fault(
            "E202",
            f"the cells {', '.join(map(quoted, others))} are of another space than 'darts'",
            hint="give their space: --space FILE, or space= in Python",
        )
    return ("normal", "reduce")


def _check_fields(
    cursor: Cursor, fields: dict[str, Cursor], kinds: Sequence[str], outputs: Sequence[str]
) -> None:
    """Raises an error for an unknown or a missing field, or for a missing kind of cell.

    Plain data may have other facts beside the cells.
    """
    known = (*kinds, *outputs)
    strict = bool(call_of(cursor)) or isinstance(cursor.value, list)
    for name, value in fields.items():
        if name in known or (name in _UNUSED_FIELDS and value.value is None):
            continue
        if name in _UNUSED_FIELDS:
            hint = "its value must be None"
            raise value.fault("E109", f"the field '{name}' is not read", hint)
        if strict or isinstance(value.value, (list, dict)):
            where = cursor.document.key_place(value.path)
            message = f"unknown field {quoted(name)}"
            raise NasirError("E109", message, where, nearest(name, known))
    for name in known:
        if name not in fields:
            code, what = ("E109", "field") if name in outputs else ("E202", "cell kind")
            raise cursor.fault(code, f"the {what} '{name}' is missing")


def _recurrent(edges: Cursor, output: Cursor, spots: Spots) -> CellGenotype:
    """The recurrent cell, whose node i + 1 has edge i alone."""
    parts = [_part(part) for part in edges.items("the edges of cell 'recurrent'")]
    for part in parts:
        if part.rest:
            raise part.cursor.fault("E109", "an edge is ('op', source), and this has 3 parts")
    _mark(spots, "recurrent", edges, output, {i: [part] for i, part in enumerate(parts, start=1)})
    nodes = tuple((part.edge(),) for part in parts)
    return CellGenotype("recurrent", 1, nodes, _states(output, "recurrent"))


def _cell(
    kind: str, edges: Cursor, output: Cursor, spots: Spots, space: Space | None
) -> CellGenotype:
    """A cell of these edges and this concatenation."""
    own = space.cell(kind) if space and kind in space.kinds else None
    inputs = own.inputs if own else 2
    rows = edges.items(f"the edges of cell '{kind}'")
    states = _states(output, kind)
    nodes = _nodes(kind, rows, max(states, default=0), own, inputs)
    _mark(spots, kind, edges, output, nodes)
    empty = [state for state, parts in nodes.items() if not parts]
    for part in (part for parts in nodes.values() for part in parts):
        if part.source.value in empty and part.op not in _KEEPS_ZERO:
            message = f"an edge reads node {part.source.value}, which has no edges"
            raise part.source.fault("E202", message)
    return CellGenotype(
        kind,
        inputs,
        tuple(tuple(p.edge() for p in parts) or (Edge("none", 0),) for parts in nodes.values()),
        tuple(state for state in states if state not in empty),
    )


def _states(output: Cursor, kind: str) -> tuple[int, ...]:
    return tuple(s.integer("a state") for s in output.items(f"the output of cell '{kind}'"))


@dataclass(frozen=True, slots=True)
class _Part:
    """An edge as it stands: its op, the number after it, and the third part of a triple."""

    cursor: Cursor
    op: str
    source: Cursor
    rest: tuple[Cursor, ...] = ()

    def edge(self) -> Edge:
        return Edge(self.op, self.source.integer("a state"))


def _part(cursor: Cursor) -> _Part:
    """An edge."""
    parts = cursor.items("an edge ('op', source)")
    if len(parts) not in (2, 3):
        message = f"an edge is ('op', source), and this has {len(parts)} parts"
        raise cursor.fault("E109", message)
    op = parts[0]
    if not isinstance(op.value, str):
        raise op.fault("E109", "an op must be a quoted name")
    return _Part(cursor, op.value, parts[1], parts[2:])


Nodes = dict[int, list[_Part]]
"""The edges of each node, by its state."""


def _nodes(
    kind: str, rows: Sequence[Cursor], last: int, own: SpaceCell | None, inputs: int
) -> Nodes:
    """The edges of each node, whichever way they stand."""
    nested = any(_is_nested(row.value) for row in rows)
    if nested:
        listed = {state: row.items("a node") for state, row in enumerate(rows, start=inputs)}
        found = {state: [_part(part) for part in parts] for state, parts in listed.items()}
    else:
        flat = [_part(row) for row in rows]
        if any(part.rest for part in flat) and not _are_scores(flat):
            return _by_node(kind, flat, last, inputs)
        found = _grouped(kind, flat, own, inputs)
    return {state: _without_rest(parts, state) for state, parts in found.items()}


def _is_nested(row: Json) -> bool:
    """True if it is a node's list of edges, not an edge; a node may have none."""
    return isinstance(row, list) and (not row or isinstance(row[0], list))


def _are_scores(parts: list[_Part]) -> bool:
    """True if a third part is not a whole number, as a score is."""
    return any(isinstance(part.rest[0].value, float) for part in parts if part.rest)


def _without_rest(parts: list[_Part], state: int) -> list[_Part]:
    """The edges of a node as pairs: without scores, or without the node that they lead to."""
    if not any(part.rest for part in parts) or _are_scores(parts):
        return parts
    found: list[_Part] = []
    for part in parts:
        numbers = [part.source, *part.rest]
        sources = [number for number in numbers if number.value != state]
        if len(numbers) == 2 and len(sources) != 1:
            message = f"one of the edge's numbers must be its node, {state}"
            raise part.cursor.fault("E109", message)
        found.append(_Part(part.cursor, part.op, sources[0]))
    return found


def _grouped(kind: str, flat: list[_Part], own: SpaceCell | None, inputs: int) -> Nodes:
    """Flat edges, as many a node as the space has. Raises an error when the last node lacks
    some.
    """
    nodes: Nodes = {}
    start, state = 0, inputs
    while start < len(flat):
        wanted = _edges_into(own, state)
        parts = flat[start : start + wanted]
        if len(parts) != wanted:
            message = f"node {state} of cell '{kind}' has {len(parts)} inputs, not {wanted}"
            raise parts[-1].cursor.fault("E202", message)
        nodes[state] = parts
        start, state = start + wanted, state + 1
    return nodes


def _edges_into(own: SpaceCell | None, state: int) -> int:
    """The number of a node's edges: two, or what the space says."""
    if own is None or own.on_nodes:
        return 2
    possible = len(own.into(state))
    if own.keep is None:
        return possible or 2
    return own.keep if own.repeats or not possible else min(own.keep, possible)


def _by_node(kind: str, flat: list[_Part], last: int, inputs: int) -> Nodes:
    """Triples by the node that they lead to, whose number is the larger of the two."""
    for part in flat:
        if not part.rest:
            message = "an edge is ('op', source) here, and a triple elsewhere"
            raise part.cursor.fault("E109", message)
    pairs = [[n.integer("a state") for n in (part.source, *part.rest)] for part in flat]
    first = all(one > other and one >= inputs for one, other in pairs)
    second = all(other > one and other >= inputs for one, other in pairs)
    if not first and not second:
        raise flat[0].cursor.fault(
            "E109",
            f"the triples of cell '{kind}' are neither ('op', node, source) nor ('op', source, "
            "node): a node's number is larger than its source's",
        )
    top = max([last, *map(max, pairs)])
    if top - inputs >= _NODE_LIMIT:
        message = f"a cell has at most {_NODE_LIMIT} nodes, and this names node {top}"
        raise flat[0].cursor.fault("E202", message)
    nodes: Nodes = {state: [] for state in range(inputs, top + 1)}
    for part in flat:
        node, source = (part.source, part.rest[0]) if first else (part.rest[0], part.source)
        nodes[node.integer("a state")].append(_Part(part.cursor, part.op, source))
    return nodes


def _mark(spots: Spots, kind: str, edges: Cursor, output: Cursor, nodes: Nodes) -> None:
    """Keep where each part of a cell stands."""
    spots.mark((kind,), lambda: edges.where)
    spots.mark((kind, "output"), lambda: output.where)
    for slot, state in enumerate(output.items("the output")):
        spots.mark((kind, "output", slot), lambda state=state: state.where)
    for state, parts in nodes.items():
        for slot, part in enumerate(parts):
            spots.mark((kind, state, slot), lambda part=part: part.source.where)
            spots.mark((kind, state, slot, "op"), lambda part=part: part.cursor.place(0))


def _recognises(cursor: Cursor) -> bool:
    """True if it is a call of some Genotype, or has its fields, by name or in order."""
    value = cursor.value
    if call_of(cursor).endswith("Genotype"):
        return True
    if isinstance(value, dict):
        return any(
            isinstance(value[name], list) for name in ("normal", "reduce") if name in value
        ) or (
            has_keys(value, "recurrent")
            or any(isinstance(value.get(f"{name}_concat"), list) for name in value)
        )
    if not isinstance(value, list) or len(value) not in (2, 4, 6):
        return False
    edges, states = value[0:4:2], value[1:4:2]
    return all(_are_states(row) for row in states) and all(
        are_edges(row, str, int) or (len(value) > 2 and _are_nested(row)) for row in edges
    )


def _are_states(row: Json) -> bool:
    return isinstance(row, list) and bool(row) and all(isinstance(part, int) for part in row)


def _are_nested(row: Json) -> bool:
    """True if it looks like edges that are nested, or triples."""
    if not isinstance(row, list) or not row:
        return False
    return all(
        isinstance(part, list) and (not part or isinstance(part[0], (str, list))) for part in row
    )


def parse_nested(cursor: Cursor, space: Space | None) -> Parsed:
    """The genotype of the call. Raises what `darts` raises."""
    parsed = parse(cursor, space)
    return Parsed(replace(parsed.genotype, space="ptdarts"), parsed.place)


def dump_nested(genotype: Genotype) -> str:
    """The Python text. Raises an error for cells with other than two edges a node."""
    fields = [
        f"{cell.kind}={_nested(cell)}, {cell.kind}_concat={_format_output(cell)}"
        for cell in paired_cells(genotype, "ptdarts")
    ]
    return f"Genotype({', '.join(fields)})"


def _nested(cell: CellGenotype) -> str:
    return repr([[(edge.op, edge.source) for edge in edges] for edges in cell.nodes])


def _recognises_nested(cursor: Cursor) -> bool:
    """True if the nodes are lists, as pt.darts prints them: AutoDL's, in tuples, are darts."""
    if not call_of(cursor).endswith("Genotype") or not isinstance(cursor.value, dict):
        return False
    document = cursor.document
    for name in ("normal", "reduce"):
        nodes = cursor.value.get(name)
        if not isinstance(nodes, list) or not nodes:
            return False
        if not all(_are_two(edges) for edges in nodes):
            return False
        offset = document.places.values.get((*cursor.path, name, 0))
        if offset is None or document.source.text[offset : offset + 1] != "[":
            return False
    return True


def _are_two(edges: Json) -> bool:
    return isinstance(edges, list) and len(edges) == 2 and are_edges(edges, str, int)


DARTS = Format(
    "darts",
    "the Python text Genotype(...), or its fields as data",
    _recognises,
    parse,
    dump,
    opens=r"Genotype\s{0,4}\(|\(\s{0,40}(?=(?:normal|reduce|recurrent)\w{0,20}\s{0,4}=)"
    r"|\{(?=\s{0,40}[\"'](?:normal|reduce|recurrent)[\"']\s{0,4}:)"
    r"|OrderedDict\(",
)
PTDARTS = Format(
    "ptdarts",
    "pt.darts's Python text Genotype(...), a list of edges a node",
    _recognises_nested,
    parse_nested,
    dump_nested,
)
