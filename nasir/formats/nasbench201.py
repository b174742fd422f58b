"""Cells of NAS-Bench-201 and its kin, as strings.

NAS-Bench-201's `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, and AutoDL's list of a tuple a node,
`[(('op', 0),), (('op', 0), ('op', 1)), …]`; NATS-Bench's sizes `64:32:48:16:8`, the widths of five
stages of one cell that all share; TransNAS-Bench-101's `64-41414-1_02_333`, a digit for each edge.
"""

import re
from collections.abc import Callable, Iterable

from nasir.document import Cursor, Json
from nasir.errors import NasirError, Where, quoted
from nasir.formats.format import (
    Format,
    Parsed,
    Spots,
    are_edges,
    inexpressible,
    numbers_of,
    place_in,
    refuse_node_ops,
)
from nasir.genotype import CellGenotype, Edge
from nasir.space.layout import WIDTHS
from nasir.space.load import home_of, load_space
from nasir.space.space import Genotype, Space

KIND = "cell"
NODES = 3

_EDGE = re.compile(r"([^|+~]*)~([0-9]{1,3})")
_Part = tuple[Edge, Callable[[], Where], Callable[[], Where]]
"""An edge, and where its op and its source stand."""

_SHAPE = "a node is written |op~source|op~source|, and nodes are joined by +"


def parse(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype in full form: missing edges are `none`, each node's edges go by source."""
    text = str(cursor.value)
    spots = Spots()
    spots.mark((KIND,), lambda: cursor.where)
    nodes: list[tuple[Edge, ...]] = []
    offset = 0
    texts = text.split("+", NODES + 1)
    if len(texts) > NODES:
        raise _wrong_number(cursor, text.count("+") + 1)
    for state, part in enumerate(texts, start=1):
        spots.mark((KIND, state), _placed(cursor, offset + len(part) - len(part.lstrip())))
        nodes.append(_node(_read_node(cursor, state, (offset, part)), state, spots))
        if len(nodes[-1]) > state:  # a wrong source: what follows does not matter
            return Parsed(_genotype(nodes), spots.place)
        offset += len(part) + 1
    if len(nodes) < NODES:
        raise _wrong_number(cursor, len(nodes))
    return Parsed(_genotype(nodes), spots.place)


def dump(genotype: Genotype) -> str:
    """The string, all six edges in order. Raises an error for any other cell."""
    rows = rows_of_edges(genotype, "nasbench201")
    return "+".join("|" + "|".join(f"{e.op}~{e.source}" for e in edges) + "|" for edges in rows)


def rows_of_edges(genotype: Genotype, format_name: str) -> list[list[Edge]]:
    """All six edges of the cell, by node and source. Raises an error, as that format's, for
    others.
    """

    def cannot(what: str) -> NasirError:
        message = f"{what}: it holds one cell of {NODES} nodes with one edge from each earlier node"
        return inexpressible(format_name, message)

    cell = genotype.cells[0]
    if len(genotype.cells) > 1 or cell.inputs != 1 or len(cell.nodes) != NODES:
        raise cannot(f"the cells {_describe(genotype)}")
    refuse_node_ops(cell, format_name)
    if cell.output != (NODES,):
        raise cannot(f"the output {list(cell.output)}")
    rows = [sorted(edges, key=lambda edge: edge.source) for edges in cell.nodes]
    for state, edges in enumerate(rows, start=1):
        sources = [edge.source for edge in edges]
        if sources != list(range(state)):
            raise cannot(f"node {state}, which reads {sources}")
    return rows


def _genotype(nodes: Iterable[tuple[Edge, ...]]) -> Genotype:
    """A genotype of one cell, whose last node leaves it."""
    return Genotype("nasbench201", (CellGenotype(KIND, 1, tuple(nodes), (NODES,)),))


def _wrong_number(cursor: Cursor, count: int) -> NasirError:
    code = "E202" if count > NODES else "E104"
    message = f"a NAS-Bench-201 cell has {NODES} nodes, and this has {count}"
    return NasirError(code, message, place_in(cursor, len(str(cursor.value))), hint=_SHAPE)


def _read_node(cursor: Cursor, state: int, piece: tuple[int, str]) -> list[_Part]:
    start, text = piece
    stripped = text.strip()
    start += len(text) - len(text.lstrip())
    if len(stripped) < 2 or stripped[0] != "|" or stripped[-1] != "|":
        at = start if stripped[:1] != "|" else start + len(stripped)
        message = f"node {state} must open and close with |"
        raise NasirError("E104", message, place_in(cursor, at), hint=_SHAPE)
    parts: list[_Part] = []
    offset = start + 1
    for part in stripped[1:-1].split("|"):
        match = _EDGE.fullmatch(part)
        where = _placed(cursor, offset)
        if not match:
            message = f"{quoted(part)} is not an op and its source"
            raise NasirError("E104", message, where(), hint="write op~source, as nor_conv_3x3~0")
        edge = Edge(match[1], int(match[2]))
        parts.append((edge, where, _placed(cursor, offset + len(edge.op) + 1)))
        offset += len(part) + 1
    return parts


def _node(parts: list[_Part], state: int, spots: Spots) -> tuple[Edge, ...]:
    """A node's edges by source, with `none` for those that are missing; wrong sources go last.

    Raises an error for two edges from one source, which the benchmark has no cells with.
    """
    edges = {source: Edge("none", source) for source in range(state if parts else 0)}
    read: set[int] = set()
    for edge, op, source in parts:
        if edge.source in read:
            raise NasirError("E202", f"node {state} reads node {edge.source} twice", source())
        read.add(edge.source)
        edges[edge.source] = edge
        slot = list(edges).index(edge.source)
        spots.mark((KIND, state, slot), source)
        spots.mark((KIND, state, slot, "op"), op)
    return tuple(edges.values())


def _placed(cursor: Cursor, offset: int) -> Callable[[], Where]:
    return lambda: place_in(cursor, offset)


def _describe(genotype: Genotype) -> str:
    return ", ".join(
        f"'{cell.kind}' ({cell.inputs} inputs, {len(cell.nodes)} nodes)" for cell in genotype.cells
    )


def _recognises(cursor: Cursor) -> bool:
    return isinstance(cursor.value, str) and cursor.value[:1] == "|"


def parse_autodl(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype in full form, as that of the string."""
    rows = cursor.items("a structure list")
    if len(rows) != NODES:
        message = f"a NAS-Bench-201 cell has {NODES} nodes, and this has {len(rows)}"
        raise cursor.fault("E202", message)
    spots = Spots()
    spots.mark((KIND,), lambda: cursor.where)
    nodes: list[tuple[Edge, ...]] = []
    for state, row in enumerate(rows, start=1):
        spots.mark((KIND, state), lambda row=row: row.where)
        nodes.append(_node(_read_row(row, state), state, spots))
    return Parsed(_genotype(nodes), spots.place)


def dump_autodl(genotype: Genotype) -> str:
    """The list as Python prints it, all six edges. Raises an error for any other cell."""
    rows = rows_of_edges(genotype, "autodl")
    return repr([tuple((edge.op, edge.source) for edge in edges) for edges in rows])


def _read_row(row: Cursor, state: int) -> list[_Part]:
    parts: list[_Part] = []
    for part in row.items(f"node {state}"):
        pair = part.items("an edge ('op', source)")
        if len(pair) != 2:
            raise part.fault("E109", f"an edge is ('op', source), and this has {len(pair)} parts")
        op, source = pair
        edge = Edge(op.text("an op"), source.integer("a source"))
        parts.append((edge, lambda op=op: op.where, lambda source=source: source.where))
    return parts


def _recognises_autodl(cursor: Cursor) -> bool:
    """True if it is a list of nodes, each a list of pairs of an op and a source."""
    rows = cursor.value
    return (
        isinstance(rows, list)
        and bool(rows)
        and are_edges(rows[0], str, int)
        and all(isinstance(row, list) and not _are_states(row) for row in rows)
    )


def _are_states(row: list[Json]) -> bool:
    """True if a list has only numbers, as a genotype's list of outputs has."""
    return bool(row) and all(isinstance(part, int) for part in row)


_NODE = r"\|(?:\w{1,40}~\d\|){1,8}"
NASBENCH201 = Format(
    "nasbench201",
    "the NAS-Bench-201 string",
    _recognises,
    parse,
    dump,
    word=rf"{_NODE}(?:\+{_NODE}){{1,8}}",
)
AUTODL = Format(
    "autodl",
    "AutoDL's structure list",
    _recognises_autodl,
    parse_autodl,
    dump_autodl,
    # The first node has one edge: two are a cell of DARTS, which a Genotype(...) is around.
    opens=r"[\[(](?=[\[(][\[(]['\"]\w{1,40}['\"], ?0[\])],?[\])])",
)


_NAME = "natsbench_size"
_WIDTHS_TEXT = re.compile(r"[0-9]{1,4}(?::[0-9]{1,4}){4}")
_WIDTHS = range(8, 65, 8)


def parse_widths(cursor: Cursor, _: Space | None) -> Parsed:
    """The shared cell, and the widths as its size. Raises an error for other widths."""
    text = str(cursor.value)
    widths: list[int] = []
    for match in re.finditer("[0-9]+", text):
        width = int(match[0])
        if width not in _WIDTHS:
            where = place_in(cursor, match.start())
            hint = f"widths are {_WIDTHS[0]}, {_WIDTHS[1]}, … {_WIDTHS[-1]}"
            raise NasirError("E107", f"a stage of NATS-Bench has no {width} channels", where, hint)
        widths.append(width)
    size = tuple(zip(WIDTHS, widths, strict=True))
    genotype = Genotype(_NAME, (_shared_cell(),), text, "", load_space(_NAME), size)
    return Parsed(genotype, lambda _: cursor.where)


def dump_widths(genotype: Genotype) -> str:
    """The widths of a genotype. Raises an error for a genotype of another space."""
    home = home_of(genotype)
    if home is None or home.skeleton != _NAME:
        what = f"a genotype of the space '{genotype.space}', which has no widths"
        raise inexpressible(
            _NAME, what, hint="give the widths of the size space, as 64:64:64:64:64"
        )
    if genotype.cells != (_shared_cell(),):
        raise inexpressible(_NAME, "another cell than the one that all its networks share")
    known = {**dict(home.size), **dict(genotype.size)}
    widths = [known.get(name, _WIDTHS[-1]) for name in WIDTHS]
    for width in widths:
        if width not in _WIDTHS:
            raise inexpressible(_NAME, f"a stage of {width} channels")
    return ":".join(map(str, widths))


def _shared_cell() -> CellGenotype:
    """The one cell of the space, whose every edge has one op."""
    cell = load_space(_NAME).cells[0]
    nodes = (
        tuple(Edge(edge.ops[0], edge.source) for edge in cell.into(node))
        for node in range(cell.inputs, cell.inputs + cell.nodes)
    )
    return CellGenotype(cell.kind, cell.inputs, tuple(nodes), cell.output)


NATSBENCH_SIZE = Format(
    _NAME,
    "NATS-Bench's widths of five stages",
    lambda cursor: isinstance(cursor.value, str) and bool(_WIDTHS_TEXT.fullmatch(cursor.value)),
    parse_widths,
    dump_widths,
    word=r"(?<![\w:.])[0-9]{1,4}(?::[0-9]{1,4}){4}(?![\w:.])",
)


OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")
"""The ops of digits 0 to 3."""

_TEXT = re.compile(r"([0-9]{1,5})-([0-9]{1,12})-(basic|[0-9]{1,8}(?:_[0-9]{1,8}){1,8})")
_SKELETON = ("64", "41414")
_INNER_NODES = (1, 2, 3)


def parse_transnas(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of the cell; its skeleton, 64-41414, is that of all micro architectures.

    Raises an error for a macro architecture, or for another skeleton.
    """
    text = str(cursor.value)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise cursor.fault("E109", f"{quoted(text)} is no TransNAS-Bench-101 string")
    if match[3] == "basic":
        message = "the macro level of TransNAS-Bench-101 is not read: its modules are basic "
        message += f"blocks, without cells, and {quoted(text)} only orders them"
        raise cursor.fault("E108", message, hint="cells are written as 64-41414-1_02_333")
    if (match[1], match[2]) != _SKELETON:
        message = (
            f"the cells stand in the skeleton {'-'.join(_SKELETON)}, not {match[1]}-{match[2]}"
        )
        raise cursor.fault("E109", message, hint="--channels sets other base channels")
    offset = match.start(3)
    groups = match[3].split("_")
    if [len(group) for group in groups] != list(_INNER_NODES):
        message = f"a cell has nodes of 1, 2 and 3 edges, as 1_02_333, not {match[3]}"
        raise NasirError("E202", message, place_in(cursor, offset))
    nodes: list[tuple[Edge, ...]] = []
    for group in groups:
        edges: list[Edge] = []
        for source, digit in enumerate(group):
            if int(digit) >= len(OPS):
                where, hint = place_in(cursor, offset + source), f"the digits: {numbers_of(OPS)}"
                raise NasirError("E201", f"unknown op number {digit}", where, hint)
            edges.append(Edge(OPS[int(digit)], source))
        nodes.append(tuple(edges))
        offset += len(group) + 1
    cell = CellGenotype("cell", 1, tuple(nodes), (3,))
    return Parsed(Genotype("transnasbench101", (cell,)), lambda _: cursor.where)


def dump_transnas(genotype: Genotype) -> str:
    """The string. Raises an error for what is no cell of its space."""
    name, cell = "transnasbench101", genotype.cells[0]
    refuse_node_ops(cell, name)
    ordered = [sorted(edges, key=lambda edge: edge.source) for edges in cell.nodes]
    sources = [[edge.source for edge in edges] for edges in ordered]
    full = [list(range(node)) for node in _INNER_NODES]
    if len(genotype.cells) > 1 or cell.inputs != 1 or cell.output != (3,) or sources != full:
        what = f"the cells {', '.join(genotype.kinds)}"
        raise inexpressible(name, f"{what}: it holds one cell of three nodes and six edges")
    for edge in (edge for edges in ordered for edge in edges):
        if edge.op not in OPS:
            raise inexpressible(name, f"the op '{edge.op}', which has no digit")
    digits = ("".join(str(OPS.index(edge.op)) for edge in edges) for edges in ordered)
    return "-".join((*_SKELETON, "_".join(digits)))


TRANSNASBENCH101 = Format(
    "transnasbench101",
    "the TransNAS-Bench-101 string",
    lambda cursor: isinstance(cursor.value, str) and bool(_TEXT.fullmatch(cursor.value)),
    parse_transnas,
    dump_transnas,
    word=r"(?<![\w-])[0-9]{1,4}-[1-4]{1,10}-(?:basic|[0-9]_[0-9]{2}_[0-9]{3})(?![\w-])",
    numbering=lambda _: numbers_of(OPS),
)
