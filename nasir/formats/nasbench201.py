"""Cells of NAS-Bench-201 and its kin: strings, lists, mappings and numbers.

NAS-Bench-201's `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, and AutoDL's list of a tuple a node,
`[(('op', 0),), (('op', 0), ('op', 1)), …]`; NNI's `{"0_1": op, …}`; six numbers, whose ops and
order differ from program to program; TransNAS-Bench-101's `64-41414-1_02_333`, a digit for each
edge; NATS-Bench's sizes `64:32:48:16:8`, the widths of five stages of one cell that all share.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

from nasir.document import Cursor, Path
from nasir.errors import NasirError, quoted
from nasir.formats.format import (
    ANY_KIND,
    Format,
    Holds,
    Parsed,
    are_edges,
    are_numbers,
    inexpressible,
)
from nasir.formats.python_text import Value
from nasir.formats.shape import (
    OpAt,
    OpNames,
    Outline,
    Parts,
    Paths,
    Shape,
    SourceAt,
    laid_out,
    numbers_in,
    paths_in,
    place_in,
    read,
    spelled,
    start_of,
)
from nasir.space.decisions import CellGenotype
from nasir.space.layout import WIDTHS
from nasir.space.load import home_of, load_space
from nasir.space.space import Genotype, Space

KIND = "cell"
NODES = 3

NASLIB_201_OPS = ("skip_connect", "none", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")
NASBENCH201_OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

BY_SOURCE = tuple(combinations(range(NODES + 1), 2))
"""(source, node) by source: 0 1, 0 2, 0 3, 1 2, 1 3, 2 3."""

BY_NODE = tuple(sorted(BY_SOURCE, key=lambda edge: edge[1]))
"""(source, node) by node, as the benchmark's strings go: 0 1, 0 2, 1 2, 0 3, 1 3, 2 3."""

_CELL = Holds(ANY_KIND, 1, NODES, full=True, leave=lambda _: (NODES,))


def _op(source: int, node: int, names: OpNames) -> OpAt:
    """The op of an edge, which is at the slot of its source."""
    return OpAt((KIND, node, source), names, source)


def _nodes(edge: Callable[[int, int], Shape]) -> list[tuple[Shape, ...]]:
    """The nodes, each with the shapes of its edges by source and node."""
    return [tuple(edge(source, node) for source in range(node)) for node in range(1, NODES + 1)]


_PAIRS: Shape = [*_nodes(lambda source, node: (_op(source, node, OpNames()), source))]


@lru_cache(16)
def _listed(node: int, edges: int) -> tuple[Shape, Paths]:
    """The shape of a node with so many edges, and the paths in it."""
    paths = [(KIND, node, slot) for slot in range(edges)]
    shape: Shape = [[OpAt(path, OpNames()), SourceAt(path)] for path in paths]
    return shape, paths_in(shape)


def _read_listed(cursor: Cursor, nodes: Cursor) -> Parsed:
    """The cell in full form: missing edges are `none`, and edges go by source, wrong ones last.

    Raises an error for two edges from one source, which the benchmark has no cells with.
    """
    rows, found, full = nodes.items("a structure list"), Parts(), Parts(cursor)
    if len(rows) != NODES:
        raise nodes.fault(
            "E202", f"a NAS-Bench-201 cell has {NODES} nodes, and this has {len(rows)}"
        )
    for state, row in enumerate(rows, start=1):
        shape, paths = _listed(state, len(row.items(f"node {state}")))
        read(shape, row, found, paths)
        full.cursors[KIND, state] = row
        listed = found.slots(KIND, state)
        edges: dict[int, Path] = dict.fromkeys(range(state if listed else 0), ())
        for path in listed:
            source = int(found.values[path])
            if edges.get(source):
                message = f"node {state} reads node {source} twice"
                raise found.cursors[path].fault("E202", message)
            edges[source] = path
        for slot, (source, path) in enumerate(edges.items()):
            full.values |= {(KIND, state, slot): source, (KIND, state, slot, "op"): "none"}
            for end in ((), ("op",)) if path else ():
                whole = (*path, *end)
                full.put((KIND, state, slot, *end), found.cursors[whole], found.values[whole])
    cell = replace(full.cell(KIND, 1, NODES), output=(NODES,))
    return Parsed(Genotype("nasbench201", (cell,)), full.place)


def _spelled(cursor: Cursor) -> Cursor:
    """The nodes of a string as AutoDL's list has them."""
    text, offset = str(cursor.value), 0
    texts, nodes = text.split("+", NODES + 1), list[Value]()
    for state, node in enumerate(texts[: NODES if len(texts) <= NODES else 0], start=1):
        nodes.append(_spelled_node(cursor, state, node, offset))
        offset += len(node) + 1
    if len(nodes) != NODES:
        many = text.count("+") + 1
        message = f"a NAS-Bench-201 cell has {NODES} nodes, and this has {many}"
        code = "E202" if many > NODES else "E104"
        raise NasirError(code, message, place_in(cursor, len(text)), hint=_SHAPE)
    return spelled(cursor, nodes)


def _spelled_node(cursor: Cursor, state: int, text: str, offset: int) -> Value:
    inner = text.strip()
    offset += len(text) - len(text.lstrip())
    if len(inner) < 2 or inner[0] != "|" or inner[-1] != "|":
        at = place_in(cursor, offset + len(inner) * (inner[:1] == "|"))
        raise NasirError("E104", f"node {state} must open and close with |", at, hint=_SHAPE)
    edges, at, base = list[Value](), offset + 1, start_of(cursor)
    for part in inner[1:-1].split("|"):
        match = _EDGE.fullmatch(part)
        if not match:
            message, hint = f"{quoted(part)} is not an op and its source", "as nor_conv_3x3~0"
            raise NasirError("E104", message, place_in(cursor, at), f"write op~source, {hint}")
        op, source = (Value(match[1], base + at), Value(int(match[2]), base + at + match.start(2)))
        edges.append(Value((op, source), base + at))
        at += len(part) + 1
    return Value(tuple(edges), base + offset)


_EDGE = re.compile(r"([^|+~]*)~([0-9]{1,3})")
_SHAPE = "a node is written |op~source|op~source|, and nodes are joined by +"
_NODE = r"\|(?:\w{1,40}~\d\|){1,8}"
NASBENCH201 = laid_out(
    "nasbench201",
    "the NAS-Bench-201 string",
    Outline(
        "nasbench201",
        _CELL,
        _PAIRS,
        lambda nodes: "+".join(
            f"|{''.join(f'{op}~{source}|' for op, source in node)}" for node in nodes
        ),
        lambda cursor: isinstance(cursor.value, str) and cursor.value[:1] == "|",
    ),
    word=rf"{_NODE}(?:\+{_NODE}){{1,8}}",
    parse=lambda cursor, _: _read_listed(cursor, _spelled(cursor)),
)


def _is_listed(cursor: Cursor) -> bool:
    """True if it is a list of nodes, each a list of pairs of an op and a source."""
    rows = cursor.value
    return (
        isinstance(rows, list)
        and bool(rows)
        and are_edges(rows[0], str, int)
        and all(isinstance(row, list) and not are_numbers(row) for row in rows)
    )


AUTODL = laid_out(
    "autodl",
    "AutoDL's structure list",
    Outline("nasbench201", _CELL, _PAIRS, recognises=_is_listed),
    # The first node has one edge: two are a cell of DARTS, which a Genotype(...) is around.
    opens=r"[\[(](?=[\[(][\[(]['\"]\w{1,40}['\"], ?0[\])],?[\])])",
    parse=lambda cursor, _: _read_listed(cursor, cursor),
)


_EDGE_KEY = re.compile(r"(?:\w{1,40}(?:/|__))?([0-9]_[0-9])")
_SHORT = {"nor_conv_1x1": "conv_1x1", "nor_conv_3x3": "conv_3x3"}
NNI_OPS = OpNames({_SHORT.get(op, op): op for op in NASBENCH201_OPS})


def _edge_entries(cursor: Cursor, fields: Mapping[str, Shape]) -> dict[str, Cursor]:
    """The entries by edge: `cell/0_1` will do too."""
    found: dict[str, Cursor] = {}
    for name, entry in cursor.entries("NNI's architecture").items():
        match = _EDGE_KEY.fullmatch(name)
        edge = match[1] if match else ""
        if edge not in fields or edge in found:
            message = f"{quoted(name)} is none of the six edges {', '.join(fields)}"
            raise entry.fault("E202", f"{message}, or one that there was")
        found[edge] = entry
    return found


def _is_keyed(cursor: Cursor) -> bool:
    value = cursor.value
    return isinstance(value, dict) and bool(value) and all(map(_EDGE_KEY.fullmatch, value))


NNI_NASBENCH201 = laid_out(
    "nni_nasbench201",
    "NNI's dictionary of a NAS-Bench-201 cell",
    Outline(
        "nasbench201",
        _CELL,
        {f"{source}_{node}": _op(source, node, NNI_OPS) for source, node in BY_NODE},
        lambda data: json.dumps(data) + "\n",
        _is_keyed,
        entries=_edge_entries,
    ),
    opens=r"\{(?=\s{0,40}[\"'](?:\w{1,40}(?:/|__))?\d_\d[\"']\s{0,4}:)",
)


def six_numbers(
    ops: tuple[str, ...],
    order: tuple[tuple[int, int], ...],
    brackets: Callable[[Iterable[Shape]], Shape] = list,
) -> Outline:
    """The number of each edge's op, in an order; another number of them is an error."""
    names = OpNames(ops)
    return Outline(
        "nasbench201",
        _CELL,
        brackets(_op(source, node, names) for source, node in order),
        recognises=lambda cursor: are_numbers(cursor.value, range(4, 9)),
        numbering=f"{names}; edges {', '.join(f'{source} {node}' for source, node in order)}",
    )


SIX_BY_NODE, SIX_BY_SOURCE = (
    laid_out(
        f"nasbench201_by_{order}",
        f"six numbers of NAS-Bench-201, by {order}",
        six_numbers(NASBENCH201_OPS, edges),
        shared=True,
    )
    for order, edges in (("node", BY_NODE), ("source", BY_SOURCE))
)


TRANSNAS_OPS = OpNames(("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"))
_TRANSNAS = re.compile(r"([0-9]{1,5})-([0-9]{1,12})-(basic|[0-9]{1,8}(?:_[0-9]{1,8}){1,8})")
_SKELETON = ("64", "41414")


def _transnas_nodes(cursor: Cursor) -> Cursor:
    """The digits of each node; the skeleton, 64-41414, is that of all micro architectures.

    Raises an error for a macro architecture, or for another skeleton.
    """
    text = str(cursor.value)
    match = _TRANSNAS.fullmatch(text)
    if match is None:
        raise cursor.fault("E109", f"{quoted(text)} is no TransNAS-Bench-101 string")
    if match[3] == "basic":
        message = "the macro level of TransNAS-Bench-101 is not read: its modules are basic "
        message += f"blocks, without cells, and {quoted(text)} only orders them"
        raise cursor.fault("E108", message, hint="cells are written as 64-41414-1_02_333")
    if match.groups()[:2] != _SKELETON:
        stand = f"the cells stand in the skeleton {'-'.join(_SKELETON)}"
        message = f"{stand}, not {match[1]}-{match[2]}"
        raise cursor.fault("E109", message, hint="--channels sets other base channels")
    groups = list(re.compile("[0-9]+").finditer(text, match.start(3)))
    if [len(group[0]) for group in groups] != list(range(1, NODES + 1)):
        message = f"a cell has nodes of 1, 2 and 3 edges, as 1_02_333, not {match[3]}"
        raise NasirError("E202", message, place_in(cursor, match.start(3)))
    base = start_of(cursor)
    return spelled(
        cursor,
        [
            Value(
                tuple(
                    Value(int(digit), base + at) for at, digit in enumerate(group[0], group.start())
                ),
                base + group.start(),
            )
            for group in groups
        ],
    )


_TRANSNAS_OUTLINE = Outline(
    "transnasbench101",
    _CELL,
    [*_nodes(lambda source, node: _op(source, node, TRANSNAS_OPS))],
    lambda nodes: "-".join((*_SKELETON, "_".join("".join(map(str, node)) for node in nodes))),
    lambda cursor: isinstance(cursor.value, str) and bool(_TRANSNAS.fullmatch(cursor.value)),
    str(TRANSNAS_OPS),
)
TRANSNASBENCH101 = laid_out(
    "transnasbench101",
    "the TransNAS-Bench-101 string",
    _TRANSNAS_OUTLINE,
    word=r"(?<![\w-])[0-9]{1,4}-[1-4]{1,10}-(?:basic|[0-9]_[0-9]{2}_[0-9]{3})(?![\w-])",
    parse=lambda cursor, _: _TRANSNAS_OUTLINE.read(_transnas_nodes(cursor)),
)


_NAME = "natsbench_size"
_WIDTHS_TEXT = re.compile(r"[0-9]{1,4}(?::[0-9]{1,4}){4}")
_WIDTHS = range(8, 65, 8)


def _parse_widths(cursor: Cursor, _: Space | None) -> Parsed:
    """The shared cell, and the widths as its size. Raises an error for other widths."""
    numbers = spelled(cursor, numbers_in(cursor)).items("widths")
    for number in numbers:
        if number.value not in _WIDTHS:
            hint = f"widths are {_WIDTHS[0]}, {_WIDTHS[1]}, … {_WIDTHS[-1]}"
            message = f"a stage of NATS-Bench has no {number.value} channels"
            raise number.fault("E107", message, hint)
    size = tuple((name, each.integer(name)) for name, each in zip(WIDTHS, numbers, strict=True))
    space, text = load_space(_NAME), str(cursor.value)
    genotype = Genotype(_NAME, (_shared_cell(),), text, "", space, size)
    return Parsed(genotype, lambda _: cursor.where)


def _dump_widths(genotype: Genotype) -> str:
    """The widths of a genotype. Raises an error for a genotype of another space."""
    home = home_of(genotype)
    if home is None or home.skeleton != _NAME:
        what = f"a genotype of the space '{genotype.space}', which has no widths"
        hint = "give the widths of the size space, as 64:64:64:64:64"
        raise inexpressible(_NAME, what, hint)
    if genotype.cells != (_shared_cell(),):
        raise inexpressible(_NAME, "another cell than the one that all its networks share")
    known = {**dict(home.size), **dict(genotype.size)}
    widths = [known.get(name, _WIDTHS[-1]) for name in WIDTHS]
    for width in widths:
        if width not in _WIDTHS:
            raise inexpressible(_NAME, f"a stage of {width} channels")
    return ":".join(map(str, widths))


def _shared_cell() -> CellGenotype:
    """The one cell of the space, which has one genotype without its size."""
    return load_space(_NAME).decisions[0].unrank(0)


NATSBENCH_SIZE = Format(
    _NAME,
    "NATS-Bench's widths of five stages",
    lambda cursor: isinstance(cursor.value, str) and bool(_WIDTHS_TEXT.fullmatch(cursor.value)),
    _parse_widths,
    _dump_widths,
    (Holds(ANY_KIND, 1),),
    word=r"(?<![\w:.])[0-9]{1,4}(?::[0-9]{1,4}){4}(?![\w:.])",
    sized=True,
)
