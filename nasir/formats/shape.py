"""Shapes of genotype files: one value says how a file is read and how it is written.

A shape is the file's data itself, lists, tuples and mappings, in which `OpAt` and `SourceAt` stand
for parts of cells. Reading collects those parts with their places; writing puts a genotype's there,
for a format to print. A list of another length, or other fields of a mapping, are errors.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count, takewhile
from typing import Any, TypeAlias

from nasir.document import Cursor, Path
from nasir.errors import Where, unknown_op
from nasir.formats.format import Format, Holds, Parsed, inexpressible
from nasir.formats.python_text import Value
from nasir.space.decisions import CellGenotype, Edge
from nasir.space.space import Genotype, Space


@dataclass(slots=True)
class Parts:
    """The parts of cells by path, and where those of a file stand.

    A source's path is (kind, node, slot) or (kind, "output", slot), that of an op has "op" behind
    its edge's or its node's.
    """

    root: Cursor | None = None
    format_name: str = ""
    values: dict[Path, str | int] = field(default_factory=dict[Path, "str | int"])
    cursors: dict[Path, Cursor] = field(default_factory=dict[Path, Cursor])

    @classmethod
    def of(cls, cells: Iterable[CellGenotype], kinds: Iterable[str], name: str = "") -> "Parts":
        """The parts of cells, by the kinds that the format has."""
        parts = cls(None, name)
        for kind, cell in zip(kinds, cells, strict=True):
            parts.values |= {(kind, *path): op for (_, *path), op in cell.op_paths}
            rows = [*enumerate(cell.sources, start=cell.inputs), ("output", cell.output)]
            parts.values |= {(kind, at, i): s for at, row in rows for i, s in enumerate(row)}
        return parts

    def put(self, path: Path, cursor: Cursor, value: str | int) -> None:
        """A part and where it stands."""
        self.values[path], self.cursors[path] = value, cursor

    def place(self, path: Path) -> Where:
        """The place of the part, or else of the nearest part around it."""
        while path and path not in self.cursors:
            path = path[:-1]
        cursor = self.cursors.get(path, self.root)
        return cursor.where if cursor else Where()

    def slots(self, *path: str | int) -> list[Path]:
        """The paths of all slots at a path, in order."""
        paths = ((*path, slot) for slot in count())
        return list(takewhile(self.values.__contains__, paths))

    def cell(self, kind: str, inputs: int, nodes: int) -> CellGenotype:
        """The cell of a kind."""
        values, states = self.values, range(inputs, inputs + nodes)
        rows = [
            tuple(
                Edge(str(values.get((*path, "op"), "")), int(values[path]))
                for path in self.slots(kind, state)
            )
            for state in states
        ]
        output = tuple(int(values[path]) for path in self.slots(kind, "output"))
        ops = [(kind, state, "op") for state in states if (kind, state, "op") in values]
        named = tuple(str(values[path]) for path in ops)
        return CellGenotype(kind, inputs, tuple(rows), output, named)


@dataclass(frozen=True, slots=True)
class OpNames:
    """A format's names of ops, or their numbers from 0 with what it calls these; else any name."""

    ours: Mapping[str, str] | tuple[str, ...] | None = None
    word: str = "number"

    def __str__(self) -> str:
        return ", ".join(f"{number} {name}" for number, name in enumerate(self.ours or ()))

    def read(self, cursor: Cursor) -> str:
        """The op that the format calls so."""
        if isinstance(self.ours, tuple):
            number = cursor.integer(f"an op's {self.word}")
            if 0 <= number < len(self.ours):
                return self.ours[number]
            message, hint = f"unknown op {self.word} {number}", f"the {self.word}s: {self}"
            raise cursor.fault("E201", message, hint)
        name = cursor.text("an op")
        if self.ours is not None and name not in self.ours:
            raise unknown_op(name, self.ours, cursor.where)
        return self.ours[name] if self.ours else name

    def write(self, op: str) -> str | int | None:
        """The op's name or number in the format, if it has one."""
        if isinstance(self.ours, tuple):
            return self.ours.index(op) if op in self.ours else None
        if self.ours is None:
            return op
        return next((theirs for theirs, ours in self.ours.items() if ours == op), None)


@dataclass(frozen=True, slots=True)
class OpAt:
    """The op of an edge, or of a node. `source` is the edge's, where the file does not say it."""

    path: Path
    names: OpNames
    source: int | None = None


@dataclass(frozen=True, slots=True)
class SourceAt:
    """What an edge reads, or a state that leaves a cell: a number, or a list of one if `listed`."""

    path: Path
    listed: bool = False


Shape: TypeAlias = (
    "OpAt | SourceAt | str | int | list[Shape] | tuple[Shape, ...] | dict[str, Shape]"
)
"""Texts and numbers are always there, and are not read."""


Paths: TypeAlias = Mapping[int, Path]
"""The path that all parts of a list or a mapping in a shape share, by its identity."""


def _about(shape: Shape, found: dict[int, Path]) -> Path:
    """The path that all parts share; adds those of lists and mappings to `found`."""
    inner = shape.values() if isinstance(shape, dict) else shape
    if not isinstance(inner, Iterable) or isinstance(inner, str):
        return _path_of(shape, found)
    steps = zip(*filter(None, [_about(part, found) for part in inner]), strict=False)
    path = tuple(step[0] for step in takewhile(lambda step: len({*step}) == 1, steps))
    found[id(shape)] = path
    return path


def paths_in(shape: Shape) -> Paths:
    """The paths of the lists and mappings in a shape."""
    found: dict[int, Path] = {}
    _about(shape, found)
    return found


def _path_of(shape: Shape, paths: Paths) -> Path:
    """The path of a part, of a list or mapping that of `paths`; texts and numbers have none."""
    return shape.path if isinstance(shape, (OpAt, SourceAt)) else paths.get(id(shape), ())


def _named(path: Path) -> str:
    """What a part of a genotype is called."""
    names = ["the genotype", "cell '{}'", "node {1} of cell '{0}'", "an edge"]
    return names[min(len(path), 3)].format(*path)


def read(shape: Shape, cursor: Cursor, parts: Parts, paths: Paths | None = None) -> None:
    """Adds what stands in a file to the parts. `paths` are those in the shape, if known."""
    paths = paths_in(shape) if paths is None else paths
    if isinstance(shape, OpAt):
        parts.put((*shape.path, "op"), cursor, shape.names.read(cursor))
        if shape.source is not None:
            parts.values[shape.path] = shape.source
    elif isinstance(shape, SourceAt):
        item = cursor
        if shape.listed and isinstance(cursor.value, list):
            (item,) = _items(cursor, "the source of an edge", 1, "parts", "E109")
        parts.put(shape.path, cursor, item.integer("a source"))
    elif isinstance(shape, (dict, list, tuple)):
        path = paths[id(shape)]
        if path:
            parts.cursors[path] = cursor
        if isinstance(shape, dict):
            if cursor.value == {} and len(path) == 1:
                raise cursor.fault("E202", f"{_named(path)} has no nodes")
            read_fields(shape, cursor.fields(_named(path), shape), parts, paths)
            return
        inner = _path_of(shape[0], paths)[:3] if shape and len(path) < 3 else ()
        unit, code = _UNITS[len(inner)], "E202" if len(path) < 3 else "E109"
        items = _items(cursor, _named(path), len(shape), unit, code)
        for part, item in zip(shape, items, strict=True):
            read(part, item, parts, paths)


_UNITS = ("parts", "cells", "nodes", "edges")
"""What a list has, by the length of the paths of its parts."""


def _items(cursor: Cursor, what: str, count: int, unit: str, code: str) -> tuple[Cursor, ...]:
    items = cursor.items(what)
    if len(items) != count:
        raise cursor.fault(code, f"{what} has {len(items)} {unit}, not {count}")
    return items


def read_fields(
    shape: dict[str, Shape], fields: Mapping[str, Cursor], parts: Parts, paths: Paths
) -> None:
    """Adds the fields of a mapping to the parts."""
    for name, part in shape.items():
        if name not in fields and parts.root:
            raise parts.root.fault("E109", f"{_named(paths[id(shape)])} has no field '{name}'")
        read(part, fields[name], parts, paths)


def write(shape: Shape, parts: Parts) -> Any:
    """The data of a file with these parts."""
    if isinstance(shape, OpAt):
        name = shape.names.write(str(parts.values[*shape.path, "op"]))
        if name is None:
            what = f"{_named(shape.path[:2])}: op '{parts.values[*shape.path, 'op']}'"
            raise inexpressible(parts.format_name, f"{what} has no {shape.names.word}")
        return name
    if isinstance(shape, SourceAt):
        source = parts.values[shape.path]
        return [source] if shape.listed else source
    if isinstance(shape, dict):
        return {name: write(part, parts) for name, part in shape.items()}
    if isinstance(shape, (list, tuple)):
        return type(shape)(write(part, parts) for part in shape)
    return shape


@dataclass(frozen=True)
class Outline:
    """Files of one shape: which cells they hold, of which space, and how the data is printed.

    `recognises` tells the outlines of one format apart; `numbering` is what numbers mean. `entries`
    gives the fields of a mapping that may have others too, and checks those.
    """

    space: str
    holds: Holds
    shape: Shape
    text: Callable[[Any], str] = repr
    recognises: Callable[[Cursor], bool] = lambda _: True
    numbering: str = ""
    entries: Callable[[Cursor, dict[str, Shape]], Mapping[str, Cursor]] | None = None

    @cached_property
    def paths(self) -> Paths:
        """The paths in the shape."""
        return paths_in(self.shape)

    def read(self, cursor: Cursor) -> Parsed:
        """The genotype of a value."""
        parts, holds = Parts(cursor), self.holds
        if self.entries and isinstance(self.shape, dict):
            read_fields(self.shape, self.entries(cursor, self.shape), parts, self.paths)
        else:
            read(self.shape, cursor, parts, self.paths)
        cells = [parts.cell(kind, holds.inputs, holds.nodes or 0) for kind in holds.kinds]
        if holds.leave:
            cells = [replace(cell, output=holds.leave(cell)) for cell in cells]
        return Parsed(Genotype(self.space, tuple(cells)), parts.place)

    def write(self, genotype: Genotype, format_name: str) -> str:
        """The text of a genotype whose cells the outline holds."""
        parts = Parts.of(genotype.cells, self.holds.kinds, format_name)
        return self.text(write(self.shape, parts))


def laid_out(
    name: str,
    title: str,
    *outlines: Outline,
    word: str = "",
    opens: str = "",
    shared: bool = False,
    parse: Callable[[Cursor, Space | None], Parsed] | None = None,
) -> Format:
    """A format of outlines, of which the first that recognises a value reads it, unless `parse`."""

    def of(genotype: Genotype) -> Outline:
        return next(each for each in outlines if each.holds.takes(genotype))

    def read(cursor: Cursor, _: Space | None) -> Parsed:
        return next((each for each in outlines if each.recognises(cursor)), outlines[0]).read(
            cursor
        )

    return Format(
        name,
        title,
        lambda cursor: any(each.recognises(cursor) for each in outlines),
        parse or read,
        lambda genotype: of(genotype).write(genotype, name),
        tuple(outline.holds for outline in outlines),
        word,
        opens,
        shared,
        numbering=lambda genotype: of(genotype).numbering,
    )


def spelled(cursor: Cursor, pieces: Iterable[Value]) -> Cursor:
    """The pieces of a word as a list of their own."""
    return Value(tuple(pieces), start_of(cursor)).document(cursor.document.source).root


def start_of(cursor: Cursor) -> int:
    """The offset in its source of a value that is a word."""
    return cursor.document.places.values.get(cursor.path, 0)


def place_in(cursor: Cursor, offset: int) -> Where:
    """The place `offset` characters into a value that is a word."""
    return cursor.document.source.at(start_of(cursor) + offset)


def numbers_in(cursor: Cursor) -> tuple[Value, ...]:
    """The numbers in a word."""
    base, matches = start_of(cursor), re.finditer("[0-9]+", str(cursor.value))
    return tuple(Value(int(match[0]), base + match.start()) for match in matches)


def json_lines(fields: Mapping[str, Any], by: int = 1, indent: int = 2) -> str:
    """A mapping as JSON, so many fields a line."""
    texts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items()]
    lines = [", ".join(texts[start : start + by]) for start in range(0, len(texts), by)]
    pad = "\n" + " " * indent
    return f"{{{pad}{f',{pad}'.join(lines)}{pad[:-2]}}}\n"
