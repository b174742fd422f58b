"""The type of genotype file formats, and what every parser needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from nasir.document import Cursor, Json
from nasir.errors import EDGE_LIMIT, NOWHERE, Budget, NasirError, Where
from nasir.genotype import CellGenotype, Edge, Path, Place
from nasir.macros import MACROS
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

    `dump` is None where a format is only read. `numbering` says what the numbers of a genotype
    that was read mean.
    """

    name: str
    title: str
    recognises: Callable[[Cursor], bool]
    parse: Callable[[Cursor, Space | None], Parsed]
    dump: Callable[[Genotype], str] | None
    word: str = ""
    opens: str = ""
    shared: bool = False
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


def call_of(cursor: Cursor) -> str:
    """The name of the class that the value is an instance of, in Python text; else empty."""
    return cursor.document.places.calls.get(cursor.path, "") if cursor.value is not None else ""


def has_keys(value: Json, *names: str) -> bool:
    """True if the value is a mapping with one of these keys."""
    return isinstance(value, dict) and any(name in value for name in names)


def place_in(cursor: Cursor, offset: int) -> Where:
    """The place `offset` characters into a value that is a word of its own."""
    document = cursor.document
    return document.source.at(document.places.values.get(cursor.path, 0) + offset)


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


def numbers_of(names: "tuple[str, ...]") -> str:
    """The meaning of numbers in a list of ops: `0 none, 1 skip_connect`."""
    return ", ".join(f"{number} {name}" for number, name in enumerate(names))


@dataclass(slots=True)
class Spots:
    """Places of the parts of a genotype, filled while parsing; a place is worked out late."""

    found: dict[Path, Callable[[], Where]] = field(default_factory=dict[Path, Callable[[], Where]])

    def mark(self, path: Path, where: Callable[[], Where]) -> None:
        """The part at `path` stands at `where()`."""
        self.found[path] = where

    def place(self, path: Path) -> Where:
        """The place of the part, or else of the nearest part around it."""
        while path and path not in self.found:
            path = path[:-1]
        where = self.found.get(path)
        return where() if where else Where()


def inexpressible(format_name: str, what: str, hint: str = "") -> NasirError:
    """An error: the format cannot hold this part of a genotype."""
    return NasirError(
        "E208",
        f"{format_name} cannot express {what}",
        hint=hint or "the format 'nasir' holds every genotype",
    )


def refuse_node_ops(cell: CellGenotype, format_name: str) -> None:
    """Raises an error for a cell whose ops stand on nodes."""
    if cell.ops:
        raise inexpressible(
            format_name, f"cell '{cell.kind}': its ops stand on nodes, not on edges"
        )


def check_plain(genotype: Genotype, format_name: str) -> None:
    """Raises an error for what only the space says: own ops, nodes that are no sums, open numbers.

    Other formats name no space. Own ops under shipped names pass: the names are all they hold.
    """
    if genotype.size and format_name != "natsbench_size":
        what = ", ".join(f"{name} {number}" for name, number in genotype.size)
        raise inexpressible(format_name, f"the size of the network: {what}")
    for cell in genotype.cells:
        if cell.combine != "sum":
            raise inexpressible(format_name, f"the nodes of cell '{cell.kind}': {cell.combine}")
        if cell.join != "concat" and len(cell.output) > 1:
            raise inexpressible(format_name, f"the output of cell '{cell.kind}': {cell.join}")
        for edge in (edge for edges in cell.nodes for edge in edges):
            if edge.op and edge.op not in MACROS:
                what = f"the op '{edge.op}', which the space '{genotype.space}' defines"
                raise inexpressible(format_name, what)


def normal_and_reduce(genotype: Genotype, format_name: str) -> tuple[CellGenotype, CellGenotype]:
    """The two cells of the DARTS family. Raises an error for other kinds or inputs."""
    if sorted(genotype.kinds) != ["normal", "reduce"]:
        have = ", ".join(genotype.kinds)
        raise inexpressible(
            format_name, f"the cells '{have}': it holds one cell 'normal' and one 'reduce'"
        )
    normal, reduce = genotype.cell("normal"), genotype.cell("reduce")
    for cell in (normal, reduce):
        refuse_node_ops(cell, format_name)
        if cell.inputs != 2:
            raise inexpressible(format_name, f"cell '{cell.kind}': {cell.inputs} inputs, not 2")
    return normal, reduce


def darts_cells(genotype: Genotype, format_name: str) -> tuple[CellGenotype, CellGenotype]:
    """The two cells of DARTS itself: four nodes, which leave it. Raises an error for any others."""
    cells = paired_cells(genotype, format_name)
    for cell in cells:
        if len(cell.nodes) != 4 or cell.output != (2, 3, 4, 5):
            what = f"{len(cell.nodes)} nodes with the output {list(cell.output)}"
            message = f"cell '{cell.kind}': {what}, it has 4 with [2, 3, 4, 5]"
            raise inexpressible(format_name, message)
    return cells


def paired_cells(genotype: Genotype, format_name: str) -> tuple[CellGenotype, CellGenotype]:
    """The two cells of the DARTS family, two edges a node. Raises an error for any others."""
    cells = normal_and_reduce(genotype, format_name)
    for cell in cells:
        for state, edges in enumerate(cell.nodes, start=2):
            if len(edges) != 2:
                raise inexpressible(
                    format_name, f"node {state} of cell '{cell.kind}': {len(edges)} inputs, not 2"
                )
    return cells


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
    if cell.ops:
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
    """Raises an error where a cell with ops on nodes has another number of ops, or reads twice."""
    what = f"cell '{cell.kind}'"
    if len(cell.ops) != len(cell.nodes):
        message = f"{what} has {len(cell.nodes)} nodes and {len(cell.ops)} ops"
        raise NasirError("E202", message, place((cell.kind,)), hint="give each node one op")
    for state, edges in enumerate(cell.nodes, start=cell.inputs):
        sources: set[int] = set()
        for slot, edge in enumerate(edges):
            if edge.op:
                message = f"the ops of {what} stand on its nodes; edge {slot} of node {state} has"
                where = place((cell.kind, state, slot))
                raise NasirError("E202", f"{message} '{edge.op}' as well", where)
            if edge.source in sources:
                message = f"node {state} of {what} reads node {edge.source} twice"
                raise NasirError("E202", message, place((cell.kind, state, slot)))
            sources.add(edge.source)


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
