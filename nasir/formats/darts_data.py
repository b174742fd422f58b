"""DARTS cells of four nodes as mappings with a key for each part, and as bare numbers.

nnabla's `DARTS_arch.json` has op ids, two edges a node; NAS-Bench-301's ConfigSpace has names for
edges and inputs; NNI exports `{"normal/op_2_0": op, …}`.

Numbers have different meanings in different programs. An edge is (source, op), the reverse of a
DARTS genotype. BANANAS numbers eight ops; NASLib, and nasbench301's copy of BANANAS's code, the
seven without `none`. Brackets do not tell them apart, for tuples become lists on their way through
files. ENAS has 40 integers for two convolutional cells of five nodes, four a node (input, op,
input, op), and 23 for a recurrent cell of twelve: the op of the first node, then source and op of
each other one. What no node reads leaves the cell.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import product

from nasir.document import Cursor, Json
from nasir.errors import quoted
from nasir.formats.format import (
    Format,
    Holds,
    Parsed,
    are_edges,
    are_numbers,
    by_source,
    has_keys,
    inexpressible,
)
from nasir.formats.nasbench201 import BY_SOURCE, NASLIB_201_OPS, six_numbers
from nasir.formats.shape import (
    OpAt,
    OpNames,
    Outline,
    Shape,
    SourceAt,
    json_lines,
    laid_out,
    numbers_in,
    spelled,
)
from nasir.space.decisions import CellGenotype
from nasir.space.space import Genotype, Space

BANANAS_OPS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
"""The ops of numbers 0 to 7, which are those of DARTS."""

NASLIB_OPS = BANANAS_OPS[1:]
"""NASLib has no `none`, and numbers from the next op on."""

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

_KINDS = ("normal", "reduce")
_NODES = (2, 3, 4, 5)
_SLOTS = (0, 1)
_CELLS = Holds(_KINDS, 2, len(_NODES), 2, leave=lambda _: _NODES)


_IDS = OpNames(OP_IDS, "id")
_SECTIONS = {"arch_normal": "normal", "arch_reduction": "reduce"}


_NNABLA: dict[str, Shape] = {
    section: {
        str(node): [
            [OpAt((kind, node, slot), _IDS), SourceAt((kind, node, slot))] for slot in _SLOTS
        ]
        for node in _NODES
    }
    for section, kind in _SECTIONS.items()
}


def _sections(cursor: Cursor, fields: dict[str, Shape]) -> dict[str, Cursor]:
    entries = cursor.entries("an nnabla architecture")
    for section, kind in _SECTIONS.items():
        if section not in entries:
            message = f"the cell kind '{kind}' is missing"
            raise cursor.fault("E202", message, hint=f"it stands under '{section}'")
    return cursor.fields("an nnabla architecture", fields)


def _nnabla_text(data: dict[str, dict[str, object]]) -> str:
    """JSON, one node on a line."""
    sections = (
        f'  "{section}": ' + json_lines(nodes, indent=4).rstrip() for section, nodes in data.items()
    )
    return "{\n" + ",\n".join(sections) + "\n}\n"


NNABLA = laid_out(
    "nnabla",
    "nnabla's DARTS_arch.json",
    Outline(
        "darts",
        _CELLS,
        _NNABLA,
        _nnabla_text,
        lambda cursor: has_keys(cursor.value, *_SECTIONS),
        entries=_sections,
    ),
    opens=r"\{(?=\s{0,40}[\"']arch_(?:normal|reduction)[\"'])",
)


_NNI_NAMES = OpNames({op: op for op in BANANAS_OPS})
_NNI_KEY = re.compile(r"(?:normal|reduce)/(?:op|input)_[0-9]{1,3}_[0-9]{1,3}")


def _nni_entries(cursor: Cursor, fields: dict[str, Shape]) -> dict[str, Cursor]:
    """The entries; keys without a slash (`width`, `depth`) are left alone."""
    entries = cursor.entries("NNI's architecture")
    for name, entry in entries.items():
        if "/" in name and name not in fields:
            message = f"a DARTS cell has nodes 2 to 5 with edges 0 and 1: what is {quoted(name)}?"
            raise entry.fault("E202" if _NNI_KEY.fullmatch(name) else "E109", message)
    return entries


_NNI: dict[str, Shape] = {
    f"{kind}/{what}_{node}_{slot}": part
    for kind, node, slot in product(_KINDS, _NODES, _SLOTS)
    for what, part in (
        ("op", OpAt((kind, node, slot), _NNI_NAMES)),
        ("input", SourceAt((kind, node, slot), listed=True)),
    )
}


def _has_key(value: Json, key: re.Pattern[str]) -> bool:
    return isinstance(value, dict) and any(map(key.fullmatch, value))


NNI_DARTS = laid_out(
    "nni_darts",
    "NNI's dictionary of DARTS cells",
    Outline(
        "darts",
        _CELLS,
        _NNI,
        lambda data: json_lines(data, by=2),
        lambda cursor: _has_key(cursor.value, _NNI_KEY),
        entries=_nni_entries,
    ),
    opens=r"\{(?=\s{0,40}[\"'](?:normal|reduce)/)",
)


_PREFIX = "NetworkSelectorDatasetInfo:darts:"
_KEY = re.compile(rf"{_PREFIX}(?:edge|inputs_node)_(?:normal|reduce)_[0-9]{{1,3}}")
_FIRST = {2: 0, 3: 2, 4: 5, 5: 9}
"""The number of each node's first edge: edges go by node, then by source."""
_301_NAMES = OpNames({op: op for op in NASLIB_OPS})
_Reads = dict[tuple[str, int], tuple[int, ...]]
"""The two sources of each node of each kind."""


def _fields_301(reads: _Reads) -> dict[str, Shape]:
    """The fields of cells whose nodes read these sources; node 2 reads both inputs."""
    fields: dict[str, Shape] = {}
    for kind in _KINDS:
        for node in _NODES:
            for slot, source in enumerate(reads[kind, node]):
                name = f"edge_{kind}_{_FIRST[node] + source}"
                fields[name] = OpAt((kind, node, slot), _301_NAMES, source)
        for node in _NODES[1:]:
            fields[f"inputs_node_{kind}_{node}"] = "_".join(map(str, reads[kind, node]))
    return fields


def _outline_301(fields: dict[str, Shape], entries: Mapping[str, Cursor]) -> Outline:
    return Outline("darts", _CELLS, fields, _text_301, entries=lambda _, __: entries)


def _text_301(data: dict[str, str]) -> str:
    return json_lines({f"{_PREFIX}{name}": value for name, value in data.items()})


def _parse_301(cursor: Cursor, _: Space | None) -> Parsed:
    """Keys of other things than cells (of the optimiser, say) are left alone."""
    entries = {
        name.removeprefix(_PREFIX): entry
        for name, entry in cursor.entries("a NAS-Bench-301 configuration").items()
        if _KEY.fullmatch(name) and entry.value is not None
    }
    reads: _Reads = {(kind, 2): (0, 1) for kind in _KINDS}
    for kind, node in product(_KINDS, _NODES[1:]):
        name = f"inputs_node_{kind}_{node}"
        if name not in entries:
            raise cursor.fault("E109", f"the configuration has no field '{name}'")
        reads[kind, node] = _sources(entries[name], node)
    fields = _fields_301(reads)
    parsed = _outline_301(fields, entries).read(cursor)
    for name, entry in entries.items():
        if name not in fields:
            message = f"the genotype has no place for '{name}'"
            hint = "edges are numbered 0 to 13; an edge counts where its node reads its source"
            raise entry.fault("E109", message, hint)
    return parsed


def _dump_301(genotype: Genotype) -> str:
    """The configuration as JSON. The order of a node's edges is lost."""
    cells = tuple(map(by_source, genotype.cells))
    reads: _Reads = {}
    for cell in cells:
        for node, sources in enumerate(cell.sources, start=2):
            if len({*sources}) < len(sources):
                what = f"node {node} of cell '{cell.kind}': it reads node {sources[0]} twice"
                raise inexpressible("nasbench301", what)
            reads[cell.kind, node] = sources
    outline = _outline_301(_fields_301(reads), {})
    return outline.write(replace(genotype, cells=cells), "nasbench301")


def _sources(entry: Cursor, node: int) -> tuple[int, int]:
    text = entry.text("the inputs of a node")
    match = re.fullmatch(r"([0-9])_([0-9])", text)
    pair = (int(match[1]), int(match[2])) if match else (0, 0)
    if not pair[0] < pair[1] < node:
        message = f"node {node} reads {quoted(text)}, not two of the states before it"
        raise entry.fault("E109", message, hint=f"0_1 to {node - 2}_{node - 1}")
    return pair


NASBENCH301 = Format(
    "nasbench301",
    "NAS-Bench-301's configuration",
    lambda cursor: _has_key(cursor.value, _KEY),
    _parse_301,
    _dump_301,
    (_CELLS,),
    opens=rf"\{{(?=\s{{0,40}}[\"'](?:{_PREFIX}|NetworkSelectorDatasetInfo:))",
)


def _begins_with_pair(cursor: Cursor) -> bool:
    """True if it begins with a list of pairs of numbers."""
    rows = cursor.value
    row = rows[0] if isinstance(rows, list) and rows else None
    return isinstance(row, list) and are_edges(row[:1], int, int)


def _pairs(ops: tuple[str, ...], brackets: Callable[[Iterable[Shape]], Shape]) -> Outline:
    """Both cells, each the pairs (source, op) of its nodes."""
    names = OpNames(ops)
    cells = (
        brackets(
            (SourceAt((kind, *at)), OpAt((kind, *at), names)) for at in product(_NODES, _SLOTS)
        )
        for kind in _KINDS
    )
    return Outline("darts", _CELLS, brackets(cells), repr, _begins_with_pair, str(names))


BANANAS = laid_out("bananas", "BANANAS's lists of numbers", _pairs(BANANAS_OPS, list), shared=True)
NASLIB = laid_out(
    "naslib",
    "NASLib's and nasbench301's tuples of numbers",
    _pairs(NASLIB_OPS, tuple),
    six_numbers(NASLIB_201_OPS, BY_SOURCE, tuple),
    shared=True,
)


def _unread(cell: CellGenotype) -> tuple[int, ...]:
    """The states that no node reads; none where inputs of a cell that halves the size are left."""
    states = range(cell.inputs + len(cell.nodes))
    read = {source for sources in cell.sources for source in sources}
    unread = tuple(state for state in states if state not in read)
    return () if cell.kind == "reduce" and unread[0] < cell.inputs else unread


def _integers(space: str, holds: Holds, ops: tuple[str, ...], *lead: Shape) -> Outline:
    """Source and op of each edge, one after the other."""
    names, nodes = OpNames(ops), range(holds.inputs, holds.inputs + (holds.nodes or 0))
    paths = list(product(holds.kinds, nodes, range(holds.edges or 0)))
    shape = [*lead, *(part for path in paths for part in (SourceAt(path), OpAt(path, names)))]

    def recognises(cursor: Cursor) -> bool:
        value = cursor.value
        if isinstance(value, str) and _INTEGERS.fullmatch(value):
            return len(re.findall("[0-9]+", value)) == len(shape)
        return are_numbers(value, (len(shape),))

    def text(data: list[int]) -> str:
        return " ".join(map(str, data)) + "\n"

    return Outline(space, holds, shape, text, recognises, str(names))


_INTEGERS = re.compile(r"[0-9]{1,2}(?:[\s,]{1,4}[0-9]{1,2}){22,39}")
_MORE = r"(?:[\s,]{1,3}[0-9]{1,2})"
ACTIVATIONS = ("tanh", "relu", "identity", "sigmoid")
ENAS_OPS = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
_CONVOLUTIONS = _integers(
    "nasnet",
    Holds(_KINDS, 2, 5, 2, leave=_unread),
    ENAS_OPS,
)
_RECURRENT = _integers("darts_rnn", Holds(("recurrent",), 1, 11, 1, leave=_unread), ACTIVATIONS, 0)


def _parse_enas(cursor: Cursor, _: Space | None) -> Parsed:
    """The genotype of 40 or 23 integers; what nobody reads leaves its cell."""
    numbers = spelled(cursor, numbers_in(cursor)) if isinstance(cursor.value, str) else cursor
    items = numbers.items("ENAS's numbers")
    if _RECURRENT.recognises(numbers):
        name = OpNames(ACTIVATIONS).read(items[0])
        if name != ACTIVATIONS[0]:
            message = f"the first node has '{name}'; the recurrent network here always has tanh"
            raise items[0].fault("E109", f"{message} there", hint="0 is tanh")
        return _RECURRENT.read(numbers)
    if not _CONVOLUTIONS.recognises(numbers):
        message = f"there are {len(items)} numbers; ENAS has 40, or 23 of a recurrent cell"
        raise cursor.fault("E109", message)
    parsed = _CONVOLUTIONS.read(numbers)
    reduce = parsed.genotype.cell("reduce")
    if not reduce.output:
        left = 0 if all(0 not in sources for sources in reduce.sources) else 1
        message = f"no node of cell 'reduce' reads input {left}: it would leave a cell whose other "
        raise items[len(items) // 2].fault("E202", f"{message}states are half as large")
    return parsed


ENAS = laid_out(
    "enas",
    "ENAS's 40 integers, or 23 of a recurrent cell",
    _CONVOLUTIONS,
    _RECURRENT,
    word=rf"(?<![\w.,])[0-9]{{1,2}}{_MORE}{{22}}(?:{_MORE}{{17}})?(?![\w.])",
    parse=_parse_enas,
)
