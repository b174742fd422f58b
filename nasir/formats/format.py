"""The type of genotype file formats, and what every parser needs."""

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from functools import partial

from nasir.document import Cursor, Json, Place
from nasir.errors import EDGE_LIMIT, NOWHERE, Budget, NasirError, Where
from nasir.macros import MACROS
from nasir.space.decisions import CellGenotype, Edge, misfits
from nasir.space.load import adopt, check_ops
from nasir.space.space import Genotype, Space


@dataclass(frozen=True, slots=True)
class Parsed:
    """A genotype as it was written, unchecked, and where its parts stand.

    `home` is the shipped space that the text itself names, whose ops it may use.
    """

    genotype: Genotype
    place: Place
    home: Space | None = None


@dataclass(frozen=True, slots=True)
class Holds:
    """The cells that a format can express; None stands for any number.

    The kind `cell` alone stands for one cell of any kind. Each node has so many `edges`, or one
    from each earlier state where the cells are `full`. `leave` gives the output of a cell whose
    files do not state it.
    """

    kinds: tuple[str, ...]
    inputs: int
    nodes: int | None = None
    edges: int | None = None
    full: bool = False
    leave: Callable[[CellGenotype], tuple[int, ...]] | None = None
    on_nodes: bool = False

    def takes(self, genotype: Genotype) -> bool:
        """True if a genotype has these kinds of cell."""
        if self.kinds == ANY_KIND:
            return len(genotype.cells) == 1
        return sorted(genotype.kinds) == sorted(self.kinds)

    def ordered(self, genotype: Genotype, format_name: str) -> tuple[CellGenotype, ...]:
        """The cells in the format's order, full ones by source. Raises an error for any others."""
        if not self.takes(genotype):
            one = " and one ".join(f"cell '{kind}'" for kind in self.kinds)
            one = "one cell" if self.kinds == ANY_KIND else f"one {one}"
            have = ", ".join(genotype.kinds)
            raise inexpressible(format_name, f"the cells '{have}': it holds {one}")
        cells = sorted(genotype.cells, key=lambda cell: (*self.kinds, cell.kind).index(cell.kind))
        for cell in cells:
            for reason in self._reasons(cell, format_name):
                raise inexpressible(format_name, reason)
        return tuple(map(by_source, cells)) if self.full else tuple(cells)

    def _reasons(self, cell: CellGenotype, name: str) -> Iterator[str]:
        """Why the format does not hold a cell."""
        what = f"cell '{cell.kind}'"
        yield from (f"{what}: {each}" for each in misfits(cell, self.inputs, self.on_nodes))
        for state, sources in enumerate(cell.sources, start=cell.inputs):
            if self.edges not in (None, len(sources)):
                yield f"node {state} of {what}: {len(sources)} inputs, not {self.edges}"
            if self.full and sorted(sources) != list(range(state)):
                each = "not each earlier node once"
                yield f"node {state} of {what}: it reads {list(sources)}, {each}"
        if self.nodes not in (None, len(cell.nodes)):
            yield f"{what}: {len(cell.nodes)} nodes, {name} has {self.nodes}"
        output = self.leave(cell) if self.leave else cell.output
        if cell.output != output:
            yield f"{what}: the output {list(cell.output)}, not {list(output)}"


ANY_KIND = ("cell",)


def by_source(cell: CellGenotype) -> CellGenotype:
    """The cell with each node's edges by source."""
    rows = (sorted(edges, key=lambda edge: edge.source) for edges in cell.nodes)
    return replace(cell, nodes=tuple(map(tuple, rows)))


@dataclass(frozen=True, slots=True, eq=False)
class Format:
    """A notation of genotypes, as plain data or as a word.

    `recognises` looks at the shape of a value (a mapping, a list, or a text), is cheap and raises
    nothing; `parse` raises where a value of that shape is wrong. `read` checks what it returns, so
    that it need not know the ops; the space that the user named, if any, is given to it. JSON, YAML
    and Python text have become plain data by then: tuples are lists, a call `Genotype(normal=...)`
    is a mapping of its fields and `call_of` its name. The first format of the table that recognises
    a value reads it.

    `shared` formats have the same brackets with other meanings: all of them are asked, and what
    they read differently is refused, unless the user names the format. They are asked about a
    whole source alone, not about a part of one.

    `word` and `opens` are regular expressions (bounded, so linear) that find values in logs and
    tables: a whole value without brackets or quotes, as `|none~0|+|...|`; and the beginning of a
    value in brackets, up to and including its first bracket, as `Genotype(`.

    `dump` is None where a format is only read. `write` checks before that the format `holds` the
    cells (any, where it does not say which), unless it is `sized` that no size is lost, and unless
    it is `whole` that nothing else of the space is.
    `numbering` says what the numbers of a genotype that was read mean.
    """

    name: str
    title: str
    recognises: Callable[[Cursor], bool]
    parse: Callable[[Cursor, Space | None], Parsed]
    dump: Callable[[Genotype], str] | None
    holds: tuple[Holds, ...] = ()
    word: str = ""
    opens: str = ""
    shared: bool = False
    sized: bool = False
    whole: bool = False
    numbering: Callable[[Genotype], str] | None = None

    def read(self, cursor: Cursor, space: Space | None = None) -> Genotype:
        """The genotype, as one of the space if it is given.

        Raises an error for an op that the genotype's space does not define, and what `parse` and
        `check_genotype` raise.
        """
        parsed = self.parse(cursor, space)
        genotype = parsed.genotype
        home = space or genotype.definition
        check_ops(genotype, home or parsed.home, parsed.place)
        check_genotype(genotype, parsed.place)
        return adopt(genotype, home) if home else genotype

    def write(self, genotype: Genotype) -> str:
        """The text of a genotype. Raises an error for what the format cannot hold."""
        if self.dump is None:
            what = "a genotype alone: it holds networks"
            raise inexpressible(self.name, what, hint="export the network instead")
        if not self.whole:
            _check_plain(genotype, self)
        if not self.holds:
            return self.dump(genotype)
        holds = next((holds for holds in self.holds if holds.takes(genotype)), self.holds[0])
        return self.dump(replace(genotype, cells=holds.ordered(genotype, self.name)))


def call_of(cursor: Cursor) -> str:
    """The name of the class that the value is an instance of, in Python text; else empty."""
    return cursor.document.calls.get(cursor.path, "") if cursor.value is not None else ""


def has_keys(value: Json, *names: str) -> bool:
    """True if the value is a mapping with one of these keys."""
    return isinstance(value, dict) and any(name in value for name in names)


def are_numbers(value: Json, counts: Container[int] | None = None) -> bool:
    """True if the value is a list of whole numbers: so many, or at least one."""
    return (
        isinstance(value, list)
        and (len(value) in counts if counts else bool(value))
        and all(isinstance(number, int) for number in value)
    )


def are_edges(value: Json, first: type, second: type) -> bool:
    """True if the value is a list of pairs, the first and second of these types."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(pair, list)
            and len(pair) == 2
            and isinstance(pair[0], first)
            and isinstance(pair[1], second)
            for pair in value
        )
    )


def inexpressible(format_name: str, what: str, hint: str = "") -> NasirError:
    """An error: the format cannot hold this part of a genotype."""
    return NasirError(
        "E208",
        f"{format_name} cannot express {what}",
        hint=hint or "the format 'nasir' holds every genotype",
    )


def _check_plain(genotype: Genotype, row: Format) -> None:
    """Raises an error for what only the space says: own ops, nodes that are no sums, open numbers.

    Other formats name no space. Own ops under shipped names pass: the names are all they hold.
    """
    if genotype.size and not row.sized:
        what = ", ".join(f"{name} {number}" for name, number in genotype.size)
        raise inexpressible(row.name, f"the size of the network: {what}")
    for cell in genotype.cells:
        if cell.combine != "sum":
            raise inexpressible(row.name, f"the nodes of cell '{cell.kind}': {cell.combine}")
        if cell.join != "concat" and len(cell.output) > 1:
            raise inexpressible(row.name, f"the output of cell '{cell.kind}': {cell.join}")
        for edge in (edge for edges in cell.nodes for edge in edges):
            if edge.op and edge.op not in MACROS:
                what = f"the op '{edge.op}', which the space '{genotype.space}' defines"
                raise inexpressible(row.name, what)


def check_genotype(genotype: Genotype, place: Place = lambda _: NOWHERE) -> Genotype:
    """The genotype unchanged, if every cell is a well-formed graph.

    `place` maps a path to where it stands in the file. Raises an error for
    too many edges, no inputs, a node that reads itself or a later one, or an index out of range.
    """
    if not genotype.cells:
        raise NasirError("E202", "the genotype has no cells", place(()))
    edges = Budget(EDGE_LIMIT, "the genotype", "edges")
    seen: set[str] = set()
    for cell in genotype.cells:
        if cell.kind in seen:
            raise NasirError("E202", f"cell kind '{cell.kind}' occurs twice", place((cell.kind,)))
        seen.add(cell.kind)
        edges.spend(sum(map(len, cell.nodes)), partial(place, (cell.kind,)))
        _check_cell(cell, place)
    return genotype


def _check_cell(cell: CellGenotype, place: Place) -> None:
    if not cell.nodes and (cell.inputs, cell.output) != (1, (0,)):
        raise NasirError("E202", f"cell '{cell.kind}' has no nodes", place((cell.kind,)))
    states = cell.inputs + len(cell.nodes)
    for state, edges in enumerate(cell.nodes, start=cell.inputs):
        if not edges:
            raise NasirError(
                "E202",
                f"node {state} of cell '{cell.kind}' has no inputs",
                place((cell.kind, state)),
                hint="write an edge with the op 'none' if it should be zero",
            )
        for slot, edge in enumerate(edges):
            if not 0 <= edge.source < state:
                raise _wrong_source(cell, state, edge, place((cell.kind, state, slot)))
    _check_ops(cell, place)
    if not cell.output:
        raise NasirError(
            "E202", f"cell '{cell.kind}' has an empty output", place((cell.kind, "output"))
        )
    for slot, state in enumerate(cell.output):
        if not 0 <= state < states:
            raise NasirError(
                "E202",
                f"the output of cell '{cell.kind}' names node {state}, which is not there",
                place((cell.kind, "output", slot)),
                hint=f"its nodes are {cell.inputs} to {states - 1}",
            )
        if state in cell.output[:slot]:
            raise NasirError(
                "E202",
                f"the output of cell '{cell.kind}' names node {state} twice",
                place((cell.kind, "output", slot)),
            )


def _check_ops(cell: CellGenotype, place: Place) -> None:
    """Raises an error unless each edge has an op, or each node one and its sources differ."""
    what, nodes, ops = f"cell '{cell.kind}'", len(cell.nodes), len(cell.node_ops)
    if ops != nodes:
        message = f"{what} has {nodes} nodes and {ops} ops"
        raise NasirError("E202", message, place((cell.kind,)), hint="give each node one op")
    rows = zip(cell.node_ops, cell.nodes, strict=True)
    for state, (op, edges) in enumerate(rows, start=cell.inputs):
        read: set[Edge] = set()
        for slot, edge in enumerate(edges):
            where = (cell.kind, state, slot)
            if edge.op and op:
                message = f"the ops of {what} stand on its nodes; edge {slot} of node {state} has"
                raise NasirError("E202", f"{message} '{edge.op}' as well", place(where))
            if not edge.op and edge in read:
                message = f"node {state} of {what} reads node {edge.source} twice"
                raise NasirError("E202", message, place(where))
            read.add(edge)


def _wrong_source(cell: CellGenotype, state: int, edge: Edge, where: Where) -> NasirError:
    what = f"node {state} of cell '{cell.kind}' reads"
    if edge.source < 0 or edge.source >= cell.inputs + len(cell.nodes):
        which = f"node {edge.source}, which is not there"
    elif edge.source == state:
        which = "itself"
    else:
        which = f"node {edge.source}, which comes later"
    return NasirError(
        "E202", f"{what} {which}", where, hint=f"node {state} can read 0 to {state - 1}"
    )
