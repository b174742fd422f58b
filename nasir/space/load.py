"""Loads spaces by name or from files, brings genotypes into them, and lists published results."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from nasir.arguments import checked
from nasir.document import Place
from nasir.errors import NOWHERE, NasirError, nearest, quoted, unknown_op
from nasir.files import Source, is_there, looks_like_path, read_source
from nasir.macros import ACTIVATIONS, EDGE_MACROS
from nasir.ops import Op
from nasir.space.decisions import CellGenotype
from nasir.space.space import Genotype, Space
from nasir.table import Table


@cache
def spaces_directory() -> Path:
    """The directory of the shipped spaces and genotypes."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_spaces"
    beside = package.parent / "spaces"
    directory = inside if inside.is_dir() else beside
    assert directory.is_dir(), f"nasir's data is missing: {inside} and {beside}"
    return directory


SpaceLike = Space | str | Path
"""A space, or what `load_space` takes."""

_SUFFIXES = (".yaml", ".yml", ".json")

_TWO_SPACES = {
    "s5": "S5 is 'darts' in RobustDARTS, and 'darts_no_none' in SmoothDARTS and DARTS-PT",
}
"""Names that papers give to different spaces, and what they mean."""


@checked
def load_space(source: str | Path) -> Space:
    """The shipped space of that name (in any case), or the space of a YAML or JSON file.

    Raises an error for an unknown name, or for files that cannot be read, or for spaces that make
    no sense.
    """
    is_text = isinstance(source, str) and ("\n" in source or source.lstrip()[:1] == "{")
    if is_text and not is_there(str(source)):
        return parse_space(Source.of(str(source)))  # first: a layout's fractions look like paths
    if is_text or isinstance(source, Path) or looks_like_path(source, _SUFFIXES):
        return parse_space(read_source(source))
    spaces = _spaces()
    found = spaces.get(source.lower(), spaces.get(source))
    if found is None:
        hint = _TWO_SPACES.get(source.lower()) or nearest(source, spaces)
        raise NasirError("E201", f"unknown space {quoted(source)}", hint=hint)
    return _shipped(found) if isinstance(found, Path) else found


def as_space(given: SpaceLike) -> Space:
    """The space itself, or what `load_space` gives."""
    return given if isinstance(given, Space) else load_space(given)


def catalog() -> Table[Space]:
    """Every space with a name: the shipped ones, and those of extensions in use."""
    return Table(*map(load_space, _spaces()))


def space_names() -> tuple[str, ...]:
    """The names in the catalog; no space is read for them."""
    return tuple(_spaces())


def is_named(space: Space) -> bool:
    """True if a space is the one that its name stands for."""
    return space.name in _spaces() and load_space(space.name) == space


def is_shipped(name: str) -> bool:
    """True if a shipped space has that name, in any case."""
    return isinstance(_spaces().get(name.lower()), Path)


def parse_space(source: Source) -> Space:
    """The space of a YAML or JSON text."""
    from nasir.space.reader import read_space  # pydantic's models cost time that few commands need

    return read_space(source)


def space_schema() -> dict[str, Any]:
    """The JSON Schema of a space file, for editors."""
    from nasir.space.model import json_schema

    return json_schema()


@cache
def _spaces() -> Table[Path | Space]:
    files = sorted(spaces_directory().glob("*.yaml"))
    rows: dict[str, Path | Space] = {path.stem: path for path in files}
    return Table.of(rows, "space")


@cache
def _shipped(path: Path) -> Space:
    return parse_space(read_source(path))


def adopt(genotype: Genotype, space: Space | str | Path) -> Genotype:
    """The genotype as one of that space (or of what `load_space` takes).

    The space need not contain it: see `Space.contains`. Raises an error for an op that neither
    nasir nor the space defines, and what reading the space raises.
    """
    if not isinstance(space, Space):
        space = load_space(space)
    check_ops(genotype, space)
    cells = tuple(_adopted(cell, space) for cell in genotype.cells)
    return replace(genotype, space=space.name, cells=cells, definition=space)


def home_of(genotype: Genotype) -> Space | None:
    """The genotype's space: its definition, or the shipped one of that name, or None."""
    if genotype.definition is not None:
        return genotype.definition
    return load_space(genotype.space) if is_shipped(genotype.space) else None


def ops_of(space: Space | None, kind: str) -> Mapping[str, Op]:
    """The ops that a cell of that kind may name; the space's own come before shipped ones.

    Activations stand in cells of the kind `recurrent` alone, other ops in all others.
    """
    shipped = ACTIVATIONS if kind == "recurrent" else EDGE_MACROS
    return {**shipped, **{op.name: op for op in space.ops}} if space and space.ops else shipped


def check_ops(genotype: Genotype, space: Space | None, place: Place = lambda _: NOWHERE) -> None:
    """Raises an error for an op that neither nasir nor the space defines, with the nearest name."""
    for cell in genotype.cells:
        known = ops_of(None, cell.kind).keys()
        if not known >= set(cell.named_ops):
            known = {*ops_of(space, cell.kind), *(space.options(cell.kind) if space else ())}
        for path, op in cell.op_paths:
            if op not in known:
                raise unknown_op(op, known, place(path))


def _adopted(cell: CellGenotype, space: Space) -> CellGenotype:
    if cell.kind not in space.kinds:
        return cell
    own = space.cell(cell.kind)
    return replace(cell, combine=own.combine, join=own.join)


Status = Literal["repository", "figure", "code", "computed"]
"""Stated in a repository, read off a figure there, a constant in its code, or computed."""


@dataclass(frozen=True, slots=True)
class PublishedResult:
    """A published figure. `deviation` is over runs; costs exclude the evaluation.

    `genotype` names the shipped genotype that the figure is of, where it is one's.
    """

    system: str
    dataset: str
    metric: str
    value: float
    status: Status
    source: str
    deviation: float | None = None
    parameters_million: float | None = None
    search_gpu_days: float | None = None
    genotype: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        assert self.status in get_args(Status), self.status


@cache
def results() -> tuple[PublishedResult, ...]:
    """Every published result, in the order of the file."""
    path = spaces_directory() / "results" / "published.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["results"]
    return tuple(PublishedResult(**row) for row in rows)
