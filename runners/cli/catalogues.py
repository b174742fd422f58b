"""Commands that list what nasir ships: spaces, examples, ops, methods, recipes."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

import typer

import nasir
from nasir.errors import NasirError, Where, nearest, quoted
from nasir.files import write_atomically
from nasir.formats import entries, load_entry
from nasir.graph import print_node
from nasir.macros import ALL_OPS, EDGE_MACROS
from nasir.node import is_list, print_value
from nasir.ops import Macro, Op
from nasir.passes import PLAIN
from nasir.space import SpaceCell, catalog
from nasir.space.load import results, spaces_directory
from nasir.space.nasbench101 import decisions
from nasir.space.own_skeletons import find_skeleton
from runners.folder.display import display_for_stderr
from runners.output import Reply, TextTable, joined, print_warning, table_of

_EXAMPLE = nasir.ImageType(16, 32, 32)

_FIRST = "cifar"
"""The skeleton with the values that a method's file states outside `on`."""


def ops(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An op to show in detail.")
    ] = None,
) -> Reply:
    """List the ops, or show the primitives of one.

    A genotype names ops on edges; blocks and primitives occur in graphs only.

    Example: nasir ops sep_conv_3x3
    """
    if name is None:
        return _all_ops()
    if name not in ALL_OPS:
        raise NasirError("E201", f"unknown op {quoted(name)}", hint=nearest(name, ALL_OPS))
    op = ALL_OPS[name]
    facts = _op_facts(op)
    facts["examples"] = [_expanded(name, stride) for stride in (1, 2) if name in EDGE_MACROS]
    lines = [
        f"{name} ({facts['kind']}): {op.summary}",
        f"attributes: {_attributes(op)}",
        f"traits: {joined(facts['traits'])}",
    ]
    for example in facts["examples"]:
        nodes = example["nodes"] or ["(nothing: the input itself)"]
        lines += ["", f"at stride {example['stride']}, from x: {_EXAMPLE}"]
        lines += [f"  {line}" for line in nodes]
    return Reply(facts, lines)


def _all_ops() -> Reply:
    titles = {
        "edge": "ops on edges: named by genotypes",
        "block": "blocks of skeletons",
        "primitive": "primitives: ops of expanded graphs",
    }
    parts: list[str | TextTable] = []
    for kind, title in titles.items():
        rows = tuple(
            (op.name, op.summary, _attributes(op), joined(sorted(op.traits)))
            for op in ALL_OPS.values()
            if _op_kind(op) == kind
        )
        parts += ["", TextTable(title, ("op", "what it does", "attributes", "traits"), rows)]
    return Reply([_op_facts(op) for op in ALL_OPS.values()], parts[1:])


def _op_kind(op: Op) -> str:
    if isinstance(op, Macro):
        return "edge" if op.on_edge else "block"
    return "primitive"


def _op_facts(op: Op) -> dict[str, Any]:
    return {
        "name": op.name,
        "kind": _op_kind(op),
        "summary": op.summary,
        "inputs": {"least": op.arity[0], "most": op.arity[1]},
        "attributes": [
            {
                "name": name,
                "required": field.is_required(),
                "default": None if field.is_required() else field.default,
            }
            for name, field in op.attrs.model_fields.items()
        ],
        "traits": sorted(op.traits),
    }


def _attributes(op: Op) -> str:
    """Formats the attributes in one cell: name, and its default unless it is required."""
    return joined(
        name
        if field.is_required()
        else f"{name}={print_value(field.default, listed=is_list(field))}"
        for name, field in op.attrs.model_fields.items()
    )


def _expanded(name: str, stride: int) -> dict[str, Any]:
    """Returns the primitives of an op on an edge with that stride."""
    builder = nasir.Builder(x=_EXAMPLE)
    result = builder(name, "x", name=name, stride=stride)
    graph, _ = nasir.run_passes(builder.graph(result), PLAIN)
    return {"stride": stride, "nodes": [print_node(graph, node) for node in graph]}


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="METHOD", help="A method, or a YAML file; all of them.")
    ] = None,
) -> Reply:
    """List the search methods, or show the parts and settings of one.

    Any part can be replaced: nasir search darts --perturb pgd --select projection

    Example: nasir methods drnas
    """
    from runners.experiment.method import METHODS, PARTS, read_method

    if name is None:
        found = [read_method(each, _FIRST) for each in METHODS]
        facts = [{"name": m.name, "about": m.about, "paper": m.paper, **_parts(m)} for m in found]
        kinds = ("mixture", "edges", "perturb", "architect", "select", "ask", "paper")
        columns = {"method": "name"} | {each: each for each in kinds}
        known = {kind: list(PARTS[kind]) for kind in PARTS}
        return Reply({"methods": facts, "parts": known}, (table_of(facts, columns),))
    method = read_method(name, _FIRST)
    skeletons = (_FIRST, *(each for each in method.skeletons if each != _FIRST))
    on = {each: _method_values(read_method(name, each)) for each in skeletons}
    names = dict.fromkeys(key for values in on.values() for key in values)
    rows = tuple(
        (key, *(_shown(values[key]) if key in values else "" for values in on.values()))
        for key in names
    )
    title = f"{method.name}: {method.about}" + (f" ({method.paper})" if method.paper else "")
    facts = {"name": method.name, "about": method.about, "paper": method.paper, "on": on}
    return Reply(facts, (title, TextTable("", ("value", *skeletons), rows)))


def _method_values(method: Any) -> dict[str, Any]:
    """Returns a method's values on one skeleton: parts, their fields, settings."""
    from runners.experiment.fields import sections

    found: dict[str, Any] = {}
    for kind, part in _parts(method).items():
        found[kind] = part
        if part != "none":
            found |= {f"{kind}.{k}": v for k, v in getattr(method, kind).model_dump().items()}
    numbers = sections(method)
    found |= {f"{name}.{key}": value for name, part in numbers.items() for key, value in part}
    return {**found, "stages": [stage.model_dump() for stage in method.stages]}


def _parts(method: Any) -> dict[str, str]:
    from runners.experiment.method import PARTS, part_name

    parts = {kind: getattr(method, kind) for kind in PARTS}
    return {k: "none" if part is None else part_name(k, part) for k, part in parts.items()}


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A recipe, or a YAML file; all of them.")
    ] = None,
) -> Reply:
    """List the recipes of `nasir evaluate`, or show the values of one.

    Any value can be replaced: nasir evaluate darts_v2 --set optimizer.lr=0.05

    Example: nasir recipes cifar10-drnas
    """
    from runners.experiment.fields import sections
    from runners.experiment.recipe import RECIPES, read_recipe

    if name is None:
        found = [read_recipe(each) for each in RECIPES]
        facts = {"recipes": [recipe.facts() for recipe in found]}
        rows = [dict(recipe) | dict(recipe.train) for recipe in found]
        columns = {"recipe": "name", "epochs": "epochs", "batch": "batch", "trains": "about"}
        return Reply(facts, (table_of(rows, columns),))
    recipe = read_recipe(name)
    values = tuple(
        (f"{section}.{key}", _shown(value) or "-")
        for section, part in sections(recipe).items()
        for key, value in part
    )
    title = f"{recipe.name}: {recipe.about}"
    return Reply(recipe.facts(), (title, TextTable("", ("value", "is"), values)))


def _shown(value: object) -> str:
    """Formats a value of a method or a recipe: number, word, switch, list or stages."""
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if "epochs" in found:
            options = "all" if found["options"] is None else found["options"]
            return f"{found['epochs']},{found['warm_up']},{options},1/{found['parts']}"
        return " ".join(f"{key} {each:g}" for key, each in found.items())
    if isinstance(value, (list, tuple)):
        rows = cast("list[object]", value)
        between = " ; " if rows and isinstance(rows[0], dict) else " "
        return between.join(map(_shown, rows)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


_COUNTED = 300_000
"""Maximum number of cells of a kind to enumerate: about ten seconds."""


def spaces(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A space to show: its name or file.")
    ] = None,
    genotypes: Annotated[
        bool, typer.Option("--genotypes", help="List the published genotypes instead.")
    ] = False,
    published: Annotated[
        bool, typer.Option("--results", help="List the published results, with their sources.")
    ] = False,
    classes: Annotated[
        bool,
        typer.Option("--classes", help="Count NAME's architectures too; enumerates its cells."),
    ] = False,
) -> Reply:
    """List the search spaces, or the published genotypes or results.

    Example: nasir spaces darts
    """
    if genotypes:
        return _genotypes()
    if published:
        return _results()
    if classes and name is None:
        raise typer.BadParameter("give the NAME of a space with --classes")
    if name is not None:
        space = nasir.load_space(name)
        with display_for_stderr(classes or space.where).stage(f"count {name}"):
            return _one(space, _class_facts(space) if classes else {})
    facts = [_summary(space) for space in catalog().values()]
    columns = {"space": "name", "title": "title", "skeleton": "skeleton", "cells": "cells"}
    return Reply(facts, (table_of(facts, columns | {"genotypes": "size", "paper": "paper"}),))


def _genotypes() -> Reply:
    def facts() -> list[dict[str, Any]]:
        return [asdict(entry) | {"space": load_entry(entry).space} for entry in entries()]

    columns = {"genotype": "name"} | {each: each for each in ("catalogue", "aliases", "paper")}
    return Reply(facts, (table_of(map(asdict, entries()), columns),))


def _results() -> Reply:
    facts = [asdict(result) for result in results()]
    columns = {each: each for each in ("system", "dataset", "metric", "value")}
    columns |= {"±": "deviation", "M params": "parameters_million", "GPU days": "search_gpu_days"}
    return Reply(facts, (table_of(facts, columns | {"source": "source"}),))


def _summary(space: nasir.Space) -> dict[str, Any]:
    return {
        "name": space.name,
        "title": space.title,
        "paper": space.paper,
        "skeleton": space.skeleton,
        "size": nasir.size(space) if space.countable else None,
        "cells": list(space.kinds),
    }


def _class_facts(space: nasir.Space) -> dict[str, int]:
    """Counts different architectures; {} if there are too many cells, or genotypes."""
    most = max(space.total if space.inner or space.where else d.size for d in space.decisions)
    if most > _COUNTED:
        print_warning(f"{most:,} are too many to count the different ones")
        return {}
    return {"classes": nasir.count_classes(space)}


def _one(space: nasir.Space, counted: dict[str, int]) -> Reply:
    layout = str(space.layout) if find_skeleton(space.skeleton, space).laid_out else ""
    facts = _summary(space) | counted
    described = {cell.kind: _cell(cell) for cell in space.cells}
    facts["cells"] = {kind: found for kind, (found, _) in described.items()}
    facts |= {"open_size": {name: list(numbers) for name, numbers in space.open_size}}
    facts |= {"all": space.total, "acceptance": (share := nasir.acceptance(space))}
    facts |= {"where": list(space.where.texts) if space.where else []}
    facts |= {"ops": {op.name: op.summary for op in space.ops}, "layout": layout}
    different = "".join(f", {count:,} different architectures" for count in counted.values())
    parts: list[str | TextTable] = [
        f"{space.name}: {space.title or 'a space'}, skeleton {space.skeleton}",
        *([space.paper] if space.paper else []),
        f"{_number(space, share)}{different}",
        *([f"layout: {layout}"] if layout else []),
        *(f"{name}: one of {', '.join(map(str, numbers))}" for name, numbers in space.open_size),
        *(f"its own op {op.name}: {op.summary}" for op in space.ops),
    ]
    for _, lines in described.values():
        parts += ["", *lines]
    return Reply(facts, parts)


def _number(space: nasir.Space, share: float) -> str:
    if space.where is None:
        return f"{space.total:,} genotypes"
    many = f"{space.count:,}" if space.countable else f"about {share:.2%}"
    return f"{many} of {space.total:,} genotypes fulfil {'; '.join(space.where.texts)}"


Described = tuple[dict[str, Any], list[str | TextTable]]
"""What is said of a cell, by name and as lines."""


def _cell(cell: SpaceCell) -> Described:
    return _node_cell(cell) if cell.node_ops else _edge_cell(cell)


def _edge_cell(cell: SpaceCell) -> Described:
    inputs = "1 input" if cell.inputs == 1 else f"{cell.inputs} inputs"
    keep = "every edge" if cell.keep is None else f"{cell.keep} edges"
    line = (
        f"cell {cell.kind}: {inputs}, {cell.nodes} nodes, each keeps {keep}; "
        f"output {'any of ' if cell.any_output else ''}{joined(cell.output)}; "
        f"never selected: {joined(cell.exclude)}; {decisions(cell).size:,} cells"
    )
    parts: list[str | TextTable] = [line]
    if (cell.combine, cell.join) != ("sum", "concat"):
        parts.append(f"a node is the {cell.combine} of its edges, the output the {cell.join}")
    rows = tuple((f"{e.source} to {e.node}", joined(e.ops)) for e in cell.edges)
    others = ("kind", "node_ops", "parents", "most_edges", "normalise")
    facts = {name: value for name, value in asdict(cell).items() if name not in others}
    found = {"size": decisions(cell).size, **facts}
    return found, [*parts, TextTable("", ("edge", "ops"), rows)]


def _node_cell(cell: SpaceCell) -> Described:
    facts: dict[str, Any] = {"inputs": cell.inputs, "node_ops": list(cell.node_ops)}
    line = f"cell {cell.kind}: one input, ops on nodes: {joined(cell.node_ops)}"
    if not cell.parents:
        facts |= {"most_nodes": cell.nodes, "most_edges": cell.most_edges}
        return facts, [line, f"at most {cell.nodes} nodes and {cell.most_edges} edges"]
    names = [*(f"node {node}" for node in range(1, cell.nodes + 1)), "output"]
    rows = tuple(zip(names, cell.parents, strict=True))
    *parents, output = cell.parents
    facts |= {"parents": parents, "output_parents": output}
    return facts, [line, TextTable("", ("", "reads"), rows)]


def examples(
    out: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")
    ] = Path("examples"),
) -> Reply:
    """Copy the example files: two spaces with a genotype each, and files of other formats.

    An existing file with other content is an error, before anything is written.

    Example: nasir examples
    """
    copies = {
        out / path.name: path.read_bytes()
        for path in sorted((spaces_directory() / "examples").iterdir())
    }
    for path, content in copies.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            message = "the file exists with other content"
            hint = "choose another directory with --output, or move the file away"
            raise NasirError("E112", message, Where(str(path)), hint=hint)
    written = [str(write_atomically(path, content)) for path, content in copies.items()]
    return Reply(written, written)
