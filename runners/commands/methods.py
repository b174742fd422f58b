"""`nasir methods`: the search methods, or the parts and numbers of one."""

from dataclasses import asdict
from typing import Annotated, Any, cast

import typer

from runners.commands.options import JsonOption
from runners.output import Cell, TextTable, print_json, print_line, print_table

_FIRST = "cifar"
"""The skeleton on which a method has the values that its file states outside `on`."""


def methods(
    name: Annotated[
        str | None, typer.Argument(metavar="METHOD", help="A method, or a YAML file; all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the search methods, or show the parts and numbers of one.

    Any part can be replaced: nasir search darts --perturb pgd --select projection

    Example: nasir methods drnas
    """
    if name is None:
        _list(as_json)
    else:
        _one(name, as_json)


def _list(as_json: bool) -> None:
    from runners.experiment.method import PARTS, method_names, read_method

    rows = [(method, _parts(method)) for method in (read_method(n, _FIRST) for n in method_names())]
    if as_json:
        facts = [{"name": m.name, "about": m.about, "paper": m.paper, **p} for m, p in rows]
        print_json({"methods": facts, "parts": {kind: list(PARTS[kind]) for kind in PARTS}})
        return
    columns = ("method", "mixture", "edges", "perturb", "architect", "select", "paper")
    cells: list[tuple[Cell, ...]] = [
        (method.name, *(parts[kind] for kind in columns[1:-1]), method.paper)
        for method, parts in rows
    ]
    print_table(TextTable("", columns, tuple(cells)))


def _one(name: str, as_json: bool) -> None:
    from runners.experiment.method import read_method

    method = read_method(name, _FIRST)
    skeletons = (_FIRST, *(each for each in method.skeletons if each != _FIRST))
    found = {each: _values(read_method(name, each)) for each in skeletons}
    if as_json:
        print_json({"name": method.name, "about": method.about, "paper": method.paper, "on": found})
        return
    print_line(f"{method.name}: {method.about}" + (f" ({method.paper})" if method.paper else ""))
    names = dict.fromkeys(key for values in found.values() for key in values)
    rows = tuple(
        (key, *(_shown(key, values[key]) if key in values else "" for values in found.values()))
        for key in names
    )
    print_table(TextTable("", ("value", *skeletons), rows))


def _values(method: Any) -> dict[str, Any]:
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

    found: dict[str, str] = {}
    for kind in PARTS:
        part = getattr(method, kind)
        found[kind] = "none" if part is None else part_name(kind, part)
    return found


def _shown(name: str, value: Any) -> str:
    if name == "stages":
        return " ; ".join(map(_stage, value)) or "none"
    if isinstance(value, dict):
        radius = cast("dict[str, float]", value)
        return " ".join(f"{key} {each:g}" for key, each in radius.items())
    if isinstance(value, (list, tuple)):
        return " ".join(f"{each:g}" for each in cast("list[float]", value))
    return str(value).lower() if value is None or isinstance(value, (str, bool)) else f"{value:g}"


def _stage(stage: Any) -> str:
    options = "all" if stage["options"] is None else stage["options"]
    return f"{stage['epochs']},{stage['warm_up']},{options},1/{stage['parts']}"
