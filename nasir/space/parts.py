"""Reads the own ops, layout, size and conditions of a space file, with the place of every fault."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nasir.costing import Totals, totals
from nasir.document import Document, Path
from nasir.errors import NasirError, nearest, quoted
from nasir.expressions import Number, evaluate, evaluate_parts, names
from nasir.macros import ALL_OPS, MACROS, EdgeAttrs
from nasir.ops import Macro
from nasir.own_ops import INPUT, Composition, faults, own_ops
from nasir.space.decisions import Numbers, SpaceCell
from nasir.space.layout import (
    DEPTHS,
    PUBLISHED,
    SIZE_NAMES,
    CellPlace,
    Layout,
    StagedSize,
    check_number,
)
from nasir.space.model import SpaceModel
from nasir.space.own_skeletons import find_skeleton
from nasir.space.skeletons import Skeleton, network_size
from nasir.space.space import Genotype, Space
from nasir.template import Scope
from nasir.types import ImageType

_IMAGE = ImageType(96, 32, 32)
"""The type that own ops are tried on: 96 channels can be divided in many ways."""


def read_ops(document: Document, model: SpaceModel) -> tuple[Macro, ...]:
    """The space's own ops. Raises an error, at the step or its attribute."""
    for name, op in model.ops.items():
        if name in ALL_OPS and name not in MACROS:
            raise NasirError(
                "E109",
                f"'{name}' is the name of an op that skeletons use",
                document.key_place(("ops", name)),
                hint="choose another name",
            )
        known = {*ALL_OPS, *(other for other in model.ops if other != name)}
        for path, error in faults(op, known):
            raise error.at(document.place(("ops", name, *path)))
    macros = own_ops(model.ops, lambda name: document.key_place(("ops", name)))
    return tuple(macros.values())


def try_ops(document: Document, ops: Iterable[Macro], cells: Iterable[SpaceCell]) -> None:
    """Tries each own op on an image, whose type one that is an option must keep.

    Others may change it: they are steps of own ops, or are used in graphs.
    """
    options = {name for cell in cells for name in cell.named_ops}
    for macro in ops:
        _try(document, macro, kept=macro.name in options)


def _try(document: Document, macro: Macro, *, kept: bool) -> None:
    """Runs the op on an image. Raises an error at the step that fails, or for another result.

    What only this image's size, or a stride of 2, may be to blame for is no fault yet.
    """
    body = macro.body
    assert isinstance(body, Composition)
    for stride in (1, 2):
        scope = Scope({"%0": _IMAGE})
        values = {INPUT: "%0"}
        for index, step in enumerate(body.steps):
            try:
                body.add(scope, index, values, EdgeAttrs(stride=stride))
            except NasirError as error:
                if error.code == "E302" or (error.code == "E305" and stride == 2):
                    return
                wrong = (key for key in step.attributes if f"'{key}'" in error.message)
                path = ("ops", macro.name, "steps", index)
                key = next(wrong, "")
                where = document.key_place((*path, key)) if key else document.place(path)
                raise NasirError(error.code, error.message, where, error.hint) from None
        result = scope.type(values[body.names[-1]])
        if kept and stride == 1 and result != _IMAGE:
            message = f"the op '{macro.name}' turns {_IMAGE} into {result}"
            where = document.key_place(("ops", macro.name))
            hint = "an op on an edge keeps the channels, and at stride 1 the size"
            raise NasirError("E305", message, where, hint)


def check_inputs(document: Document, skeleton: Skeleton, cells: Iterable[SpaceCell]) -> None:
    """Raises an error for a cell with more inputs than a skeleton gives that gives several."""
    for cell in cells:
        if skeleton.inputs > 1 and cell.inputs > skeleton.inputs:
            raise NasirError(
                "E202",
                f"cell '{cell.kind}' has {cell.inputs} inputs; "
                f"the skeleton '{skeleton.name}' gives at most {skeleton.inputs}",
                document.place(("cells", cell.kind, "inputs")),
            )


def read_layout(
    document: Document, model: SpaceModel, skeleton: Skeleton, cells: Iterable[SpaceCell]
) -> Layout:
    """The layout of the space, or the published one."""
    given = model.layout
    if given is None:
        return PUBLISHED
    if not skeleton.laid_out:
        message = f"the skeleton '{skeleton.name}' has a layout of its own"
        raise NasirError("E109", message, document.key_place(("layout",)))
    lists = {"pattern": given.pattern, "halves": given.halves, "doubles": given.doubles or ()}
    for key, kinds in lists.items():
        for index, kind in enumerate(kinds):
            _check_kind(document, kind, model.cells, ("layout", key, index))
    places: list[tuple[str, tuple[CellPlace, ...]]] = []
    for kind, row in given.places.items():
        path = ("layout", "places", kind)
        _check_kind(document, kind, model.cells, path)
        places.append(
            (kind, tuple(_place(document, (*path, i), each) for i, each in enumerate(row)))
        )
    doubles = given.halves if given.doubles is None else given.doubles
    layout = Layout(given.pattern, tuple(places), given.halves, doubles)
    named = {op for cell in cells for op in cell.named_ops}
    for kind in model.cells:
        if kind not in layout.kinds and kind not in named:
            where = document.key_place(("cells", kind))
            raise NasirError("E202", f"the layout puts the cell '{kind}' nowhere", where)
    return layout


def read_size(
    document: Document, model: SpaceModel, skeleton: Skeleton
) -> tuple[Numbers, tuple[tuple[str, tuple[int, ...]], ...]]:
    """The numbers that are fixed, and those that are open. Raises an error for ones that the
    skeleton does not have, for one that occurs twice, and for ones beyond all limits.
    """
    given: dict[str, int | tuple[int, ...]] = model.size.model_dump(exclude_none=True)
    known = skeleton.sizes
    for name, numbers in given.items():
        if name not in known:
            message = f"the skeleton '{skeleton.name}' has no size '{name}'"
            where = document.key_place(("size", name))
            raise NasirError("E109", message, where, hint=f"it has: {', '.join(known)}")
        row = numbers if isinstance(numbers, tuple) else (numbers,)
        for index, number in enumerate(row):
            where = document.place(("size", name, index)[: 2 + (row is numbers)])
            check_number(name, number, where=where)
            if number in row[:index]:
                raise NasirError("E109", f"the number {number} occurs twice", where)
    names = [name for name in SIZE_NAMES if name in given]
    fixed = tuple((name, number) for name in names if isinstance(number := given[name], int))
    return fixed, tuple((n, row) for n in names if isinstance(row := given[n], tuple))


def _check_kind(document: Document, kind: str, known: Iterable[str], path: Path) -> None:
    if kind not in known:
        where = document.key_place(path)
        raise NasirError("E202", f"there is no cell '{kind}'", where, nearest(kind, known))


def _place(document: Document, path: Path, value: int | str) -> CellPlace:
    if isinstance(value, int):
        if abs(value) > 1023:
            message = f"a layer must be between -1023 and 1023, not {value}"
            raise NasirError("E107", message, document.place(path))
        return CellPlace(value)
    if not re.fullmatch(r"[0-9]{1,3}/[0-9]{1,3}", value):
        message = f"a place is a layer or a fraction such as 1/3, not {quoted(value)}"
        raise NasirError("E109", message, document.place(path))
    number, of = map(int, value.split("/"))
    if number >= of:
        message = f"a fraction of the layers is less than 1, and {value} is not"
        raise NasirError("E107", message, document.place(path))
    return CellPlace(number, of)


@dataclass(frozen=True, slots=True)
class Conditions:
    """Expressions of `nasir.expressions` that are true of every genotype of the space.

    There are `params`, `macs` and `activations` of the network in the space's size, the numbers of
    that size, and, of all kinds of cell together or of one (`normal.edges`), `nodes`, `edges` and
    how often each op occurs; its name with `_` for `-`.
    """

    texts: tuple[str, ...]

    def check(self, space: Space, index: int) -> None:
        """Raises an error for an expression that is none, or whose value is not true or false."""
        text = self.texts[index]
        known = (*Totals._fields, *find_skeleton(space.skeleton, space).sizes)
        ops = {_spelled(op) for cell in space.cells for op in cell.named_ops}
        for used in names(text):
            kind, _, name = used.rpartition(".")
            if name in ops & ({*known, "nodes", "edges"} if not kind else {"nodes", "edges"}):
                message = f"'{name}' is an op of the space, and a number of every network"
                raise NasirError("E109", message, hint="give the op another name")
        value = evaluate_parts(text, dict.fromkeys(known, 1) | _counts(space, None))
        if not isinstance(value, bool):
            raise NasirError("E306", f"{quoted(text)} is no condition", hint="as: params < 500k")

    def reasons(self, genotype: Genotype) -> Iterator[str]:
        """The conditions that a genotype of the space does not fulfil, with its numbers.

        One without a value, as its network cannot be built, is not fulfilled.
        """
        space = genotype.definition
        assert space is not None
        skeleton = find_skeleton(space.skeleton, space)
        size = network_size(genotype, skeleton, {})
        known = _counts(space, genotype) | {name: getattr(size, name) for name in skeleton.sizes}
        if isinstance(size, StagedSize):
            known |= zip(DEPTHS, size.depths, strict=True)
        for text in self.texts:
            used = names(text)
            try:
                if not known.keys() >= {*used}:
                    known |= totals(genotype, skeleton, size)._asdict()
                if evaluate(text, known):
                    continue
                why = ", ".join(f"{name} = {known[name]:,}" for name in used)
            except NasirError as error:
                why = error.message
            yield f"it does not fulfil `{text}`: {why}"


def _counts(space: Space, genotype: Genotype | None) -> dict[str, Number]:
    """Counts of ops, nodes and edges by name, and by kind and name; zeros of a space."""
    found = Counter[str]()
    for kind in space.kinds:
        cell = space.cell(kind)
        own = Counter(dict.fromkeys(("nodes", "edges", *map(_spelled, cell.named_ops)), 0))
        if genotype is not None:
            chosen = genotype.cell(kind)
            own["nodes"] += len(chosen.nodes)
            own["edges"] += sum(map(len, chosen.nodes)) + len(chosen.output) * chosen.on_nodes
            own.update(map(_spelled, chosen.named_ops))
        found.update(own)
        found.update({f"{_spelled(kind)}.{name}": number for name, number in own.items()})
    return {**found}


def _spelled(name: str) -> str:
    return name.replace("-", "_")
