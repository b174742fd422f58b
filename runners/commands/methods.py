"""`nasir methods`: the search methods, or the parts and numbers of one."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from runners.commands.options import JsonOption
from runners.output import Cell, Table, print_json, print_line, print_table


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
    from runners.experiment.method import METHODS, PARTS

    rows = [(method, _parts(method)) for method in METHODS.values()]
    if as_json:
        facts = [{"name": m.name, "title": m.title, "paper": m.paper, **p} for m, p in rows]
        print_json({"methods": facts, "parts": {kind: list(PARTS[kind]) for kind in PARTS}})
        return
    columns = ("method", "mixture", "edges", "perturb", "architect", "select", "paper")
    cells: list[tuple[Cell, ...]] = [
        (method.name, *(parts[kind] for kind in columns[1:-1]), method.paper)
        for method, parts in rows
    ]
    print_table(Table("", columns, tuple(cells)))


def _one(name: str, as_json: bool) -> None:
    from runners.experiment.method_file import read_method

    method = read_method(name)
    parts = _parts(method)
    settings = {"cifar": method.settings, **method.elsewhere}
    if as_json:
        facts = {skeleton: asdict(found) for skeleton, found in settings.items()}
        print_json({"name": method.name, "title": method.title, "paper": method.paper, **parts,
                    "settings": facts})  # fmt: skip
        return
    print_line(f"{method.name}: {method.title} ({method.paper})")
    print_table(Table("", ("part", "is"), tuple(parts.items())))
    columns = ("setting", *settings)
    names = [n for n in asdict(method.settings) if n != "sizes"]
    rows = tuple((n, *(_shown(n, asdict(s)[n]) for s in settings.values())) for n in names)
    print_table(Table("", columns, rows))


def _parts(method: Any) -> dict[str, str]:
    from runners.experiment.method import PARTS, part_name

    found: dict[str, str] = {}
    for kind in PARTS:
        part = getattr(method, kind)
        found[kind] = "none" if part is None else part_name(kind, part)
    return found


def _shown(name: str, value: Any) -> str:
    if name != "stages":
        return " ".join(map(_number, value)) if name == "betas" else _number(value)
    return (
        " ; ".join(
            ",".join(
                str(x)
                for x in (
                    stage["epochs"],
                    stage["warm_up"],
                    "all" if stage["options"] is None else stage["options"],
                    f"1/{stage['parts']}",
                )
            )
            for stage in value
        )
        or "none"
    )


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"
