"""DARTS genotypes: `Genotype(normal=[...], ...)`, and the same fields as JSON, YAML or a list.

Edges stand flat, as many a node as its space says (two in DARTS), or in one list a node, where any
number is read. An edge is (op, source), or a triple that has a third part: the node that it leads
to (FairDARTS: (op, node, source); others: (op, source, node)), or a score. pt.darts prints the
nested lists of its own space `ptdarts`, whose networks have a batch norm behind every pool. aw_nas
prints `CNNGenotype(normal_0=[('op', source, node), …], normal_0_concat=…, …)`.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from nasir.document import Cursor, Json
from nasir.errors import NasirError, nearest, quoted
from nasir.formats.format import Format, Holds, Parsed, are_edges, are_numbers, call_of, has_keys
from nasir.formats.shape import Parts
from nasir.space.decisions import CellGenotype, SpaceCell
from nasir.space.space import Genotype, Space

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
RECURRENT_FIELDS = ("recurrent", "concat")
_UNUSED_FIELDS = ("connectN", "connects")
_NODE_LIMIT = 1000

_KEEPS_ZERO = frozenset({"none", "skip_connect", "max_pool_3x3", "avg_pool_3x3"})
"""Ops that make zero of zero at stride 1."""

_KINDS = ("normal", "reduce")
_RECURRENT = Holds(("recurrent",), 1, edges=1)


def parse(cursor: Cursor, space: Space | None) -> Parsed:
    """The genotype of the fields, by name or in their order.

    Kinds of cell other than normal and reduce need a space. A node without edges is zero, and does
    not leave the cell, as in FairDARTS.
    """
    fields = _fields(cursor)
    parts = Parts(cursor)
    is_recurrent = {*fields} & {*RECURRENT_FIELDS} and not {*fields} & {*FIELDS, *_UNUSED_FIELDS}
    kinds = ("recurrent",) if is_recurrent else _kinds(cursor, fields, space)
    outputs = ("concat",) if is_recurrent else tuple(f"{kind}_concat" for kind in kinds)
    _check_fields(cursor, fields, kinds, outputs)
    cells: list[CellGenotype] = []
    for kind, output in zip(kinds, outputs, strict=True):
        own = space.cell(kind) if space and kind in space.kinds else None
        inputs, into = own.inputs if own else 2, partial(_edges_into, own)
        if is_recurrent:
            inputs, into = 1, _one_edge
        nodes = _nodes(kind, fields[kind], fields[output], inputs, into)
        cells.append(_cell(kind, inputs, (fields[kind], fields[output]), nodes, parts))
    return Parsed(Genotype("darts_rnn" if is_recurrent else "darts", tuple(cells)), parts.place)


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


@dataclass(frozen=True, slots=True)
class _Edge:
    """An edge as it stands: its op, the number after it, and the third part of a triple."""

    cursor: Cursor
    op: Cursor
    source: Cursor
    rest: tuple[Cursor, ...] = ()


Nodes = dict[int, list[_Edge]]
"""The edges of each node, by its state."""


def _edge(cursor: Cursor, shape: str = "('op', source)", counts: Container[int] = (2, 3)) -> _Edge:
    """One edge."""
    parts = cursor.items(f"an edge {shape}")
    if len(parts) not in counts:
        message = f"an edge is {shape}, and this has {len(parts)} parts"
        raise cursor.fault("E109", message)
    op, source, *rest = parts
    if not isinstance(op.value, str):
        raise op.fault("E109", "an op must be a quoted name")
    return _Edge(cursor, op, source, tuple(rest))


def _cell(
    kind: str, inputs: int, fields: tuple[Cursor, Cursor], nodes: Nodes, parts: Parts
) -> CellGenotype:
    """The cell of edges by node, and of what leaves it; marks its parts.

    A node without edges is zero, which does not leave the cell.
    """
    edges, output = fields
    empty = [state for state, listed in nodes.items() if not listed]
    parts.cursors |= {(kind,): edges, (kind, "output"): output}
    states = [(cursor, state) for cursor, state in _states(output, kind) if state not in empty]
    for slot, (cursor, state) in enumerate(states):
        parts.put((kind, "output", slot), cursor, state)
    for state in empty:
        parts.values |= {(kind, state, 0): 0, (kind, state, 0, "op"): "none"}
    for state, slot, edge in ((n, i, e) for n, row in nodes.items() for i, e in enumerate(row)):
        source = edge.source.integer("a state")
        if source in empty and edge.op.value not in _KEEPS_ZERO:
            message = f"an edge reads node {source}, which has no edges"
            raise edge.source.fault("E202", message)
        parts.put((kind, state, slot), edge.source, source)
        parts.put((kind, state, slot, "op"), edge.op, str(edge.op.value))
    return parts.cell(kind, inputs, len(nodes))


def _states(output: Cursor, kind: str) -> list[tuple[Cursor, int]]:
    items = output.items(f"the output of cell '{kind}'")
    return [(item, item.integer("a state")) for item in items]


def _nodes(
    kind: str, edges: Cursor, output: Cursor, inputs: int, into: Callable[[int], int]
) -> Nodes:
    """The edges of each node, whichever way they stand; flat ones are so many into each state."""
    rows = edges.items(f"the edges of cell '{kind}'")
    if any(_is_nested(row.value) for row in rows):
        listed = {state: row.items("a node") for state, row in enumerate(rows, start=inputs)}
        found = {state: list(map(_edge, parts)) for state, parts in listed.items()}
    else:
        flat = list(map(_edge, rows))
        if any(edge.rest for edge in flat) and not _are_scores(flat):
            last = max((state for _, state in _states(output, kind)), default=0)
            return _by_node(_triples(kind, flat, inputs), last, inputs)
        found = _grouped(kind, flat, inputs, into)
    return {state: _without_rest(edges, state) for state, edges in found.items()}


def _is_nested(row: Json) -> bool:
    """True if it is a node's list of edges, not an edge; a node may have none."""
    return isinstance(row, list) and (not row or isinstance(row[0], list))


def _are_scores(edges: list[_Edge]) -> bool:
    """True if a third part is not a whole number, as a score is."""
    return any(isinstance(edge.rest[0].value, float) for edge in edges if edge.rest)


def _without_rest(edges: list[_Edge], state: int) -> list[_Edge]:
    """The edges of a node as pairs: without scores, or without the node that they lead to."""
    if not any(edge.rest for edge in edges) or _are_scores(edges):
        return edges
    found: list[_Edge] = []
    for edge in edges:
        numbers = [edge.source, *edge.rest]
        sources = [number for number in numbers if number.value != state]
        if len(numbers) == 2 and len(sources) != 1:
            message = f"one of the edge's numbers must be its node, {state}"
            raise edge.cursor.fault("E109", message)
        found.append(replace(edge, source=sources[0]))
    return found


def _grouped(kind: str, flat: list[_Edge], inputs: int, into: Callable[[int], int]) -> Nodes:
    """Flat edges, as many a node as the space has. Raises an error when the last node lacks
    some.
    """
    nodes: Nodes = {}
    start, state = 0, inputs
    while start < len(flat):
        wanted = into(state)
        edges = flat[start : start + wanted]
        if len(edges) != wanted:
            message = f"node {state} of cell '{kind}' has {len(edges)} inputs, not {wanted}"
            raise edges[-1].cursor.fault("E202", message)
        nodes[state] = edges
        start, state = start + wanted, state + 1
    return nodes


def _one_edge(_: int) -> int:
    return 1


def _edges_into(own: SpaceCell | None, state: int) -> int:
    """The number of a node's edges: two, or what the space says."""
    possible = sum(bool(edge.ops) for edge in own.into(state)) if own else 0
    if own is None or own.keep is None:
        return possible or 2
    return own.keep if own.repeats or not possible else min(own.keep, possible)


def _triples(kind: str, flat: list[_Edge], inputs: int) -> list[_Edge]:
    """Triples with the node that they lead to last, whose number is the larger of the two."""
    for edge in flat:
        if not edge.rest:
            message = "an edge is ('op', source) here, and a triple elsewhere"
            raise edge.cursor.fault("E109", message)
    pairs = [[n.integer("a state") for n in (edge.source, *edge.rest)] for edge in flat]
    first = all(one > other and one >= inputs for one, other in pairs)
    second = all(other > one and other >= inputs for one, other in pairs)
    if not first and not second:
        raise flat[0].cursor.fault(
            "E109",
            f"the triples of cell '{kind}' are neither ('op', node, source) nor ('op', source, "
            "node): a node's number is larger than its source's",
        )
    if not first:
        return flat
    return [replace(edge, source=edge.rest[0], rest=(edge.source,)) for edge in flat]


def _by_node(flat: list[_Edge], last: int, inputs: int) -> Nodes:
    """Triples (op, source, node) by node, of which there is at least the last."""
    states = range(inputs, inputs + _NODE_LIMIT)
    nodes: Nodes = {state: [] for state in range(inputs, min(last + 1, states.stop))}
    for edge in flat:
        node = edge.rest[0]
        number = node.integer("a node")
        if number not in states:
            message = f"an edge leads to node {number}, which is none of {inputs} to {states[-1]}"
            raise node.fault("E202", message)
        nodes |= {state: [] for state in range(inputs + len(nodes), number + 1)}
        nodes[number].append(edge)
    return nodes


def _call(name: str, fields: Mapping[str, object]) -> str:
    """The call of a class with these fields, as Python prints it."""
    return f"{name}({', '.join(f'{field}={value!r}' for field, value in fields.items())})"


def _nested(cell: CellGenotype) -> list[list[tuple[str, int]]]:
    return [[(edge.op, edge.source) for edge in edges] for edges in cell.nodes]


def _flat(cell: CellGenotype) -> list[tuple[str, int]]:
    return [edge for edges in _nested(cell) for edge in edges]


def _leaving(cell: CellGenotype) -> range | list[int]:
    """The states that leave a cell, as a range where they are one."""
    states = range(cell.output[0], cell.output[-1] + 1)
    return states if len(states) > 1 and cell.output == tuple(states) else list(cell.output)


def _dump(genotype: Genotype) -> str:
    """The Python repr of cells normal and reduce, or of one recurrent cell.

    Where a node has another number of edges than two, each node's edges have a list of their own.
    """
    if _RECURRENT.takes(genotype):
        (cell,) = genotype.cells
        return _call("Genotype", {"recurrent": _flat(cell), "concat": _leaving(cell)})
    return _dump_cells(
        genotype, lambda cell: _flat(cell) if {*map(len, cell.nodes)} == {2} else _nested(cell)
    )


def _dump_cells(genotype: Genotype, edges: Callable[[CellGenotype], object] = _nested) -> str:
    """The Python repr, each cell with its edges."""
    fields: dict[str, object] = {}
    for cell in genotype.cells:
        fields |= {cell.kind: edges(cell), f"{cell.kind}_concat": _leaving(cell)}
    return _call("Genotype", fields)


def _parse_nested(cursor: Cursor, space: Space | None) -> Parsed:
    """The genotype of the call. Raises what `darts` raises."""
    parsed = parse(cursor, space)
    return replace(parsed, genotype=replace(parsed.genotype, space="ptdarts"))


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
    return all(are_numbers(row) for row in states) and all(
        are_edges(row, str, int) or (len(value) > 2 and _are_nested(row)) for row in edges
    )


def _are_nested(row: Json) -> bool:
    """True if it looks like edges that are nested, or triples."""
    if not isinstance(row, list) or not row:
        return False
    return all(
        isinstance(part, list) and (not part or isinstance(part[0], (str, list))) for part in row
    )


def _recognises_nested(cursor: Cursor) -> bool:
    """True if the nodes are lists, as pt.darts prints them: AutoDL's, in tuples, are darts."""
    if not call_of(cursor).endswith("Genotype") or not isinstance(cursor.value, dict):
        return False
    document = cursor.document
    for name in ("normal", "reduce"):
        nodes = cursor.value.get(name)
        if not isinstance(nodes, list) or not nodes or not all(map(_are_two, nodes)):
            return False
        offset = document.places.values.get((*cursor.path, name, 0))
        if offset is None or document.source.text[offset : offset + 1] != "[":
            return False
    return True


def _are_two(edges: Json) -> bool:
    return isinstance(edges, list) and len(edges) == 2 and are_edges(edges, str, int)


_GROUPS = {"normal_0": "normal", "reduce_1": "reduce"}


def _parse_groups(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of aw_nas's two groups of cells.

    Other numbers of groups are not read: DARTS's networks have two.
    """
    names = (*_GROUPS, *(f"{name}_concat" for name in _GROUPS))
    fields, parts = cursor.fields("an aw_nas genotype", names), Parts(cursor)
    cells: list[CellGenotype] = []
    for name, kind in _GROUPS.items():
        rows = fields[name].items(f"the edges of cell '{kind}'")
        nodes = _by_node([_edge(row, "('op', source, node)", (3,)) for row in rows], 1, 2)
        for state in (state for state, listed in nodes.items() if not listed):
            raise fields[name].fault("E202", f"node {state} of cell '{kind}' has no inputs")
        cells.append(_cell(kind, 2, (fields[name], fields[f"{name}_concat"]), nodes, parts))
    return Parsed(Genotype("darts", tuple(cells)), parts.place)


def _dump_groups(genotype: Genotype) -> str:
    """The Python text."""
    fields: dict[str, object] = {}
    for name, cell in zip(_GROUPS, genotype.cells, strict=True):
        rows = enumerate(cell.nodes, start=2)
        fields[name] = [(edge.op, edge.source, node) for node, row in rows for edge in row]
    for name, cell in zip(_GROUPS, genotype.cells, strict=True):
        fields[f"{name}_concat"] = list(cell.output)
    return _call("CNNGenotype", fields)


DARTS = Format(
    "darts",
    "the Python text Genotype(...), or its fields as data",
    _recognises,
    parse,
    _dump,
    (Holds(_KINDS, 2), _RECURRENT),
    opens=r"Genotype\s{0,4}\(|\(\s{0,40}(?=(?:normal|reduce|recurrent)\w{0,20}\s{0,4}=)"
    r"|\{(?=\s{0,40}[\"'](?:normal|reduce|recurrent)[\"']\s{0,4}:)"
    r"|OrderedDict\(",
)
PTDARTS = Format(
    "ptdarts",
    "pt.darts's Python text Genotype(...), a list of edges a node",
    _recognises_nested,
    _parse_nested,
    _dump_cells,
    (Holds(_KINDS, 2, edges=2),),
)
AW_NAS = Format(
    "aw_nas",
    "aw_nas's Python text CNNGenotype(...)",
    lambda cursor: call_of(cursor) == "CNNGenotype" or has_keys(cursor.value, *_GROUPS),
    _parse_groups,
    _dump_groups,
    (Holds(_KINDS, 2),),
    opens=r"CNNGenotype\s{0,4}\(",
)
