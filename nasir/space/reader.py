"""The text of a space file into a space, with the place of every fault."""

import re
from collections.abc import Collection, Iterator

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from nasir.document import Document, Json, Path, check_version, parse_document
from nasir.errors import EDGE_LIMIT, Budget, NasirError, json_text, nearest, quoted, unknown_op
from nasir.files import Source
from nasir.macros import ALL_OPS, EDGE_MACROS
from nasir.own_ops import OpModel
from nasir.space.decisions import SpaceCell, SpaceEdge
from nasir.space.model import (
    CellModel,
    EdgeModel,
    LayoutModel,
    LikeModel,
    ModuleModel,
    ParentsModel,
    SizeModel,
    SpaceModel,
)
from nasir.space.own_skeletons import (
    AuxiliaryModel,
    OwnSkeletonModel,
    StageModel,
    check_skeleton,
    read_skeleton,
)
from nasir.space.parts import Conditions, check_inputs, read_layout, read_ops, read_size, try_ops
from nasir.space.skeletons import SKELETONS, unsuited
from nasir.space.space import Space

_RANGE_FAULTS = ("greater_than_equal", "less_than_equal")


def read_space(source: Source) -> Space:
    """The space of a YAML or JSON text."""
    return read_document(parse_document(source))


def read_document(document: Document) -> Space:
    """The space of a document, or of a part of one."""
    check_version(document.root, "a space file")
    try:
        model = SpaceModel.model_validate(document.data)
    except ValidationError as error:
        # A misspelt field is unknown and missing at once; the first says where it is.
        faults = sorted(
            error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden"
        )
        raise _fault(document, faults[0]) from None
    given = model.skeleton
    if isinstance(given, str) and given not in SKELETONS:
        where, hint = document.place(("skeleton",)), nearest(given, SKELETONS)
        raise NasirError("E201", f"unknown skeleton {quoted(given)}", where, hint)
    for kind in model.cells:
        if re.fullmatch(r"c[0-9]{1,4}", kind):
            message = f"the kind of cell '{kind}' has the name of a layer"
            raise NasirError("E109", message, document.key_place(("cells", kind)))
    ops = read_ops(document, model)
    if isinstance(given, str):
        network, skeleton = "", SKELETONS[given]
    else:
        network, skeleton = read_skeleton(document, given, (*model.cells,), ops)
    known = {*skeleton.ops, *(op.name for op in ops)}
    inner = {*model.cells} - {*ALL_OPS, *known}
    if skeleton.ops is EDGE_MACROS:
        known |= inner
    edges = Budget(EDGE_LIMIT, "the space", "edges")
    cells = tuple(
        _Cell(document, ("cells", kind), kind, known, edges).read(_alike(document, model, kind))
        for kind in model.cells
    )
    try_ops(document, ops, cells)
    _check_options(document, cells, inner)
    check_inputs(document, skeleton, cells)
    size, open_size = read_size(document, model, skeleton)
    conditions = Conditions(model.where)
    space = Space(
        name=model.space,
        title=model.title,
        paper=model.paper,
        skeleton=skeleton.name,
        cells=cells,
        ops=ops,
        layout=read_layout(document, model, skeleton, cells),
        size=size,
        open_size=open_size,
        where=conditions if model.where else None,
        network=network,
        text=json_text(document.data),
    )
    if network:
        check_skeleton(document, space, skeleton)
    for index in range(len(model.where)):
        try:
            conditions.check(space, index)
        except NasirError as error:
            raise error.at(document.place(("where", index))) from None
    return space


def _check_options(document: Document, cells: tuple[SpaceCell, ...], inner: set[str]) -> None:
    """Raises an error for a cell that is an option of one before it, or that cannot be an
    option.
    """
    kinds = {cell.kind: place for place, cell in enumerate(cells)}
    for place, cell in enumerate(cells):
        for op in inner.intersection(cell.named_ops):
            reason = unsuited(cells[kinds[op]])
            if kinds[op] >= place:
                reason = f"describe it before '{cell.kind}'"
            if reason:
                message = f"cell '{op}' cannot be an option of cell '{cell.kind}': {reason}"
                raise NasirError("E109", message, document.key_place(("cells", cell.kind)))


class _Cell:
    """Reads one cell's description, checking what a schema cannot say."""

    def __init__(
        self, document: Document, path: Path, kind: str, known: Collection[str], budget: Budget
    ) -> None:
        self.budget = budget
        self.document = document
        self.known = known
        self.path = path
        self.kind = kind

    def read(self, model: CellModel | ParentsModel | ModuleModel) -> SpaceCell:
        """The cell with its edges written out."""
        if not isinstance(model, CellModel):
            return self.read_node_cell(model)
        self.ops(model.ops or (), "ops")
        self.ops(model.exclude, "exclude")
        self.ops(model.normalise, "normalise")
        edges = tuple(sorted(self.edges(model), key=lambda edge: (edge.node, edge.source)))
        keep = None if model.keep == "all" else model.keep
        self.budget.spend(len(edges), lambda: self.document.key_place(self.path))
        nodes = tuple(range(model.inputs, model.inputs + model.nodes))
        cell = SpaceCell(
            self.kind,
            model.inputs,
            model.nodes,
            edges,
            keep,
            model.exclude,
            nodes if model.output == "any" else model.output,
            combine=model.combine,
            join=model.join,
            repeats=model.repeats,
            any_output=model.output == "any",
            normalise=model.normalise,
        )
        self.check(cell)
        return cell

    def read_node_cell(self, model: ParentsModel | ModuleModel) -> SpaceCell:
        """A cell whose ops stand on nodes. Raises an error where there are too few states to
        read.
        """
        self.ops(model.node_ops, "node_ops")
        parents: tuple[int, ...] = ()
        if isinstance(model, ParentsModel):
            parents = (*model.parents, model.output_parents)
            for slot, wanted in enumerate(parents):
                if wanted > slot + 1:
                    last = slot == len(model.parents)
                    name = "the output" if last else f"node {slot + 1}"
                    message = f"{name} cannot read {wanted} of {slot + 1} states"
                    path = ("output_parents",) if last else ("parents", slot)
                    raise self.error("E202", message, *path)
        nodes = model.most_nodes if isinstance(model, ModuleModel) else len(model.parents)
        most = model.most_edges if isinstance(model, ModuleModel) else 0
        pairs = [(source, node) for node in range(1, nodes + 1) for source in range(node)]
        edges = tuple(SpaceEdge(source, node, ()) for source, node in pairs)
        self.budget.spend(len(edges), lambda: self.document.key_place(self.path))
        output = tuple(range(nodes + 1))
        return SpaceCell(
            self.kind,
            1,
            nodes,
            edges,
            None,
            (),
            output,
            node_ops=model.node_ops,
            parents=parents,
            most_edges=most,
        )

    def edges(self, model: CellModel) -> Iterator[SpaceEdge]:
        """The edges, in the order of the file."""
        states = model.inputs + model.nodes
        if model.edges == "all":
            for node in range(model.inputs, states):
                for source in range(node):
                    yield SpaceEdge(source, node, self.shared_ops(model))
            return
        seen: set[tuple[int, int]] = set()
        for index, edge in enumerate(model.edges):
            for key, state in (("source", edge.source), ("node", edge.node)):
                if state >= states or (key == "node" and state < model.inputs):
                    raise self.error("E202", f"there is no node {state}", "edges", index, key)
            if edge.source >= edge.node:
                message = f"node {edge.node} reads itself or a later node"
                raise self.error("E202", message, "edges", index, "source")
            if (edge.source, edge.node) in seen:
                raise self.error("E109", "the edge occurs twice", "edges", index)
            seen.add((edge.source, edge.node))
            self.ops(edge.ops or (), "edges", index, "ops")
            yield SpaceEdge(edge.source, edge.node, edge.ops or self.shared_ops(model))

    def shared_ops(self, model: CellModel) -> tuple[str, ...]:
        """The ops of edges that list none."""
        if model.ops is None:
            raise self.error("E109", f"cell '{self.kind}' has no field 'ops'")
        return model.ops

    def ops(self, names: tuple[str, ...], *path: str | int) -> None:
        """Raises an error for an unknown op, or for one that occurs twice."""
        for index, name in enumerate(names):
            where = self.document.place((*self.path, *path, index))
            if name not in self.known:
                raise unknown_op(name, self.known, where)
            if name in names[:index]:
                raise NasirError("E109", f"the op '{name}' occurs twice", where)

    def check(self, cell: SpaceCell) -> None:
        """Raises an error for nodes without enough edges, or where no op can be selected."""
        states = cell.inputs + cell.nodes
        for node in range(cell.inputs, states):
            have = len(cell.into(node))
            if cell.repeats and have:
                continue
            if have < (cell.keep or 1):
                message = f"node {node} of cell '{cell.kind}' has {have} edges"
                wanted = f" and keeps {cell.keep}" if cell.keep else ""
                raise self.error("E202", message + wanted, "keep" if cell.keep else "edges")
        for slot, state in enumerate(cell.output):
            if state >= states or state in cell.output[:slot]:
                what = "is not there" if state >= states else "is named twice"
                message = f"node {state} of the output {what}"
                raise self.error("E202", message, "output", slot)
        for edge in cell.edges:
            if not cell.selectable(edge):
                message = f"edge {edge.source} to {edge.node} has no op that can be selected"
                raise self.error("E109", message, "exclude")

    def error(self, code: str, message: str, *path: str | int) -> NasirError:
        """An error in this cell's description."""
        return NasirError(code, message, self.document.place((*self.path, *path)))


def _alike(
    document: Document, model: SpaceModel, kind: str
) -> CellModel | ParentsModel | ModuleModel:
    cell = model.cells[kind]
    if not isinstance(cell, LikeModel):
        return cell
    other = model.cells.get(cell.like)
    if other is not None and not isinstance(other, LikeModel):
        return other
    kinds = [name for name, known in model.cells.items() if not isinstance(known, LikeModel)]
    which = "itself" if cell.like == kind else f"'{cell.like}', which is "
    if cell.like != kind:
        which += "not described" if other is None else "like another one itself"
    raise NasirError(
        "E202",
        f"cell '{kind}' is like {which}",
        document.place(("cells", kind, "like")),
        hint=nearest(cell.like, kinds),
    )


def _fault(document: Document, details: ErrorDetails) -> NasirError:
    """An error of pydantic, at its place in the file."""
    path = _path(document.data, details["loc"])
    kind, message = details["type"], details["msg"]
    name = str(details["loc"][-1])
    message = f"{'.'.join(map(str, path)) or 'the space'}: {message[0].lower()}{message[1:]}"
    if kind == "extra_forbidden":
        where, hint = document.key_place(path), _known_fields(details["loc"])
        return NasirError("E109", f"unknown field {quoted(name)}", where, hint)
    if kind == "missing":
        return NasirError("E109", f"the field '{name}' is missing", document.place(path))
    if kind == "value_error":
        message = message.replace("value error, ", "", 1)
    if kind == "tuple_type":
        message = f"{'.'.join(map(str, path))}: must be a list"
    code = "E107" if kind in _RANGE_FAULTS else "E109"
    return NasirError(code, message, document.place(path))


def _known_fields(location: tuple[int | str, ...]) -> str:
    """A hint for an unknown field: the names that can stand there."""
    name = str(location[-1])
    if "<like>" in location:
        return "a cell that is like another has no other field"
    if len(location) == 1:
        return nearest(name, SpaceModel.model_fields)
    for tag, model in (("<parents>", ParentsModel), ("<module>", ModuleModel)):
        if tag in location:
            return nearest(name, model.model_fields)
    if "<own>" in location:
        parts = {"stages": StageModel, "auxiliary": AuxiliaryModel}
        found = parts[str(location[2])] if location[2] in parts and len(location) > 3 else None
        return nearest(name, (found or OwnSkeletonModel).model_fields)
    tables = {"layout": LayoutModel, "size": SizeModel, "ops": OpModel}
    if location[0] in tables:
        return nearest(name, tables[str(location[0])].model_fields)
    return nearest(name, EdgeModel.model_fields if "<list>" in location else CellModel.model_fields)


def _child(data: Json, step: int | str) -> tuple[Json] | None:
    """The entry of a mapping or list, or None where there is none."""
    if isinstance(data, dict) and isinstance(step, str) and step in data:
        return (data[step],)
    if isinstance(data, list) and isinstance(step, int) and step < len(data):
        return (data[step],)
    return None


def _path(data: Json, location: tuple[int | str, ...]) -> Path:
    """The part of pydantic's location that is in the data: its own tags are not."""
    path: Path = ()
    for step in location:
        inner = _child(data, step)
        if inner is not None:
            data, path = inner[0], (*path, step)
    return path
