"""`nasir recipes`: what networks are trained with."""

from typing import Annotated

import typer

from runners.commands.options import JsonOption
from runners.output import Cell, TextTable, print_json, print_line, print_table


def recipes(
    name: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A recipe, or a YAML file; all of them.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the recipes of `nasir evaluate`, or show the values of one.

    Any value can be replaced: nasir evaluate darts_v2 --set optimizer.lr=0.05

    Example: nasir recipes cifar10-drnas
    """
    if name is None:
        _list(as_json)
    else:
        _one(name, as_json)


def _list(as_json: bool) -> None:
    from runners.experiment.recipe import read_recipe, recipe_names

    found = [read_recipe(name) for name in recipe_names()]
    if as_json:
        print_json({"recipes": [recipe.facts() for recipe in found]})
        return
    rows: list[tuple[Cell, ...]] = [
        (recipe.name, recipe.train.epochs, recipe.train.batch, recipe.about) for recipe in found
    ]
    print_table(TextTable("", ("recipe", "epochs", "batch", "trains"), tuple(rows)))


def _one(name: str, as_json: bool) -> None:
    from runners.experiment.recipe import SECTIONS, read_recipe
    from runners.fields import values_of

    recipe = read_recipe(name)
    if as_json:
        print_json(recipe.facts())
        return
    print_line(f"{recipe.name}: {recipe.about}")
    rows: list[tuple[Cell, ...]] = [
        (f"{section}.{key}", _shown(value))
        for section in SECTIONS
        for key, value in values_of(getattr(recipe, section)).items()
    ]
    print_table(TextTable("", ("value", "is"), tuple(rows)))


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value) or "-"
