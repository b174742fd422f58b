"""The JSON that nnabla's DARTS example writes (`DARTS_arch.json`): op ids, two edges a node."""

from nasir.document import Cursor
from nasir.errors import NasirError, Where
from nasir.formats.format import (
    Format,
    has_keys,
    inexpressible,
    numbers_of,
    paired_cells,
)
from nasir.genotype import CellGenotype, Edge, Genotype, Path, check_genotype

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
_NODES = ("2", "3", "4", "5")
_OUTPUT = (2, 3, 4, 5)


def load(cursor: Cursor) -> Genotype:
    """The genotype of `{"arch_normal": {"2": [[id, source], [id, source]], ...}, ...}`."""
    entries = cursor.entries("an nnabla architecture")
    for section, kind in _SECTIONS.items():
        if section not in entries:
            raise cursor.fault(
                "E210", f"the cell kind '{kind}' is missing", hint=f"it stands under '{section}'"
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

    return check_genotype(genotype, place)


def dump(genotype: Genotype) -> str:
    """The genotype as JSON, one node on a line. Raises E208 for what nnabla has no word for."""
    cells = paired_cells(genotype, "nnabla")
    sections = [
        f'  "{section}": {{\n{_format_cell(cell)}\n  }}'
        for section, cell in zip(_SECTIONS, cells, strict=True)
    ]
    return "{\n" + ",\n".join(sections) + "\n}\n"


def _read_cell(kind: str, cursor: Cursor) -> CellGenotype:
    if cursor.value == {}:
        raise cursor.fault("E207", f"cell '{kind}' has no nodes")
    fields = cursor.fields(f"cell '{kind}'", _NODES)
    nodes = tuple(_read_node(f"node {name} of cell '{kind}'", fields[name]) for name in _NODES)
    return CellGenotype(kind, 2, nodes, _OUTPUT)


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
        raise _cannot(cell, f"{len(cell.nodes)} nodes, nnabla has {len(_NODES)}")
    if cell.output != _OUTPUT:
        raise _cannot(cell, f"the output {list(cell.output)}, nnabla always has {list(_OUTPUT)}")
    return ",\n".join(
        f'    "{name}": [{", ".join(_format_edge(cell, name, edge) for edge in edges)}]'
        for name, edges in zip(_NODES, cell.nodes, strict=True)
    )


def _format_edge(cell: CellGenotype, node: str, edge: Edge) -> str:
    if edge.op not in OP_IDS:
        raise inexpressible(
            "nnabla", f"node {node} of cell '{cell.kind}': op '{edge.op}' has no id"
        )
    return f"[{OP_IDS.index(edge.op)}, {edge.source}]"


def _cannot(cell: CellGenotype, what: str) -> NasirError:
    return inexpressible("nnabla", f"cell '{cell.kind}': {what}")


def _recognises(cursor: Cursor) -> bool:
    return has_keys(cursor.value, *_SECTIONS)


NNABLA = Format(
    "nnabla",
    "nnabla's DARTS_arch.json",
    _recognises,
    load,
    dump,
    opens=r"\{(?=\s{0,40}[\"']arch_(?:normal|reduction)[\"'])",
)
