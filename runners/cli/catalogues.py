"""Commands that list what nasir ships: ops, methods, recipes."""

from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

import nasir
from nasir.errors import NasirError, nearest, quoted
from nasir.macros import ALL_OPS, EDGE_MACROS
from nasir.ops import Macro, Op
from nasir.passes import PLAIN
from nasir.text import is_list, print_node, print_value
from runners.output import Cell, Reply, TextTable, joined

_EXAMPLE = nasir.ImageType(16, 32, 32)

_FIRST = "cifar"
"""The skeleton on which a method has the values that its file states outside `on`."""


def ops(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An op to show in detail.")
    ] = None,
) -> Reply:
    """List the ops, or show the primitives that one consists of.

    Ops on edges are what a genotype may name; blocks and primitives stand in graphs only.

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
        "edge": "ops on edges: what a genotype may name",
        "block": "blocks of skeletons",
        "primitive": "primitives: what graphs consist of in the end",
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
    """The attributes in one cell: a name alone is required, else its default follows."""
    return joined(
        name
        if field.is_required()
        else f"{name}={print_value(field.default, listed=is_list(field))}"
        for name, field in op.attrs.model_fields.items()
    )


def _expanded(name: str, stride: int) -> dict[str, Any]:
    """The primitives of an op on an edge at that stride."""
    builder = nasir.Builder(x=_EXAMPLE)
    result = builder(name, "x", name=name, stride=stride)
    graph, _ = nasir.run_passes(builder.graph(result), PLAIN)
    return {"stride": stride, "nodes": [print_node(graph, node) for node in graph]}


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="METHOD", help="A method, or a YAML file; all of them.")
    ] = None,
) -> Reply:
    """List the search methods, or show the parts and numbers of one.

    Any part can be replaced: nasir search darts --perturb pgd --select projection

    Example: nasir methods drnas
    """
    from runners.experiment.method import PARTS, method_names, read_method

    if name is None:
        found = [read_method(each, _FIRST) for each in method_names()]
        every = [(method, _parts(method)) for method in found]
        facts = [{"name": m.name, "about": m.about, "paper": m.paper, **p} for m, p in every]
        columns = ("method", "mixture", "edges", "perturb", "architect", "select", "paper")
        rows = tuple((m.name, *(p[kind] for kind in columns[1:-1]), m.paper) for m, p in every)
        known = {kind: list(PARTS[kind]) for kind in PARTS}
        return Reply({"methods": facts, "parts": known}, (TextTable("", columns, rows),))
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
    """The resolved values of a method on one skeleton: parts, their numbers, settings."""
    from runners.experiment.recipe import sections

    found: dict[str, Any] = {}
    for kind, part in _parts(method).items():
        found[kind] = part
        if part != "none":
            found |= {f"{kind}.{k}": v for k, v in asdict(getattr(method, kind)).items()}
    numbers = sections(method.settings)
    found |= {f"{name}.{k}": v for name, part in numbers.items() for k, v in asdict(part).items()}
    return {**found, "stages": [asdict(stage) for stage in method.settings.stages]}


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
    from runners.experiment.recipe import read_recipe, recipe_names, sections

    if name is None:
        found = [read_recipe(each) for each in recipe_names()]
        rows: list[tuple[Cell, ...]] = [
            (recipe.name, recipe.train.epochs, recipe.train.batch, recipe.about) for recipe in found
        ]
        columns = ("recipe", "epochs", "batch", "trains")
        facts = {"recipes": [recipe.facts() for recipe in found]}
        return Reply(facts, (TextTable("", columns, tuple(rows)),))
    recipe = read_recipe(name)
    values = tuple(
        (f"{section}.{key}", _shown(value) or "-")
        for section, part in sections(recipe).items()
        for key, value in asdict(part).items()
    )
    title = f"{recipe.name}: {recipe.about}"
    return Reply(recipe.facts(), (title, TextTable("", ("value", "is"), values)))


def _shown(value: object) -> str:
    """A value of a method or a recipe: a number, a word, a switch, rows of these, stages."""
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
    return str(value).lower() if value is None or isinstance(value, bool) else _plain(value)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
