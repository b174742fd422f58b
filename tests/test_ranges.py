"""Every number that a user can give has a range, which is checked where the number is declared."""

import inspect
import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import pytest

from nasir import NasirError
from runners.cli import COMMANDS
from runners.cli.options import as_command
from runners.experiment import experiment, method, mixture, recipe, sizes
from runners.experiment.fields import Model, accepted, interval, sections
from runners.experiment.method import PARTS
from runners.experiment.recipe import read_recipe
from runners.forms import compile
from tests.command_line import call
from tests.searches import write_text

RANGES = ("must be a", "E302", "Input should be", "the data has")
"""What an error of a range says, or its code."""

MADE: dict[type[Model], dict[str, Any]] = {
    compile.NetworkTest: {"genotype": "darts_v2"},
    recipe.Stage: {"epochs": 1},
    recipe.Recipe: {},
    method.Method: {"name": ""},
    experiment.Experiment: {"of": "darts"},
}
"""What has to be given to make one."""

PART_CLASSES = {type(part) for kind in PARTS.values() for part in kind.values() if part is not None}
CLASSES: list[type[Model]] = [
    *MADE, compile.Options, mixture.Radius, *sorted(PART_CLASSES, key=str), sizes.NetworkSize,
    experiment.Search, experiment.RunOptions,
    *(type(each) for each in sections(recipe.Recipe()).values()),
    *(type(each) for each in sections(method.Method(name="")).values()),
]  # fmt: skip


def leaves(hint: Any) -> list[Any]:
    """The types that an annotation consists of."""
    parts = get_args(hint)[:1] if get_origin(hint) is Annotated else get_args(hint)
    return [each for part in parts for each in leaves(part)] if parts else [hint]


def numbers() -> list[tuple[type[Model], str]]:
    """Every field of a number, in every class that a user fills."""
    return [
        (each, name)
        for each in CLASSES
        for name in each.model_fields
        if name not in ("values", "stages")
        and {int, float} & set(leaves(get_type_hints(each, include_extras=True)[name]))
    ]


@pytest.mark.parametrize(("kind", "name"), numbers(), ids=lambda x: getattr(x, "__name__", x))
def test_a_number_out_of_its_range_is_an_error_that_names_the_range(
    kind: type[Model], name: str
) -> None:
    hint, given = get_type_hints(kind, include_extras=True)[name], MADE.get(kind, {})
    if get_origin(hint) is tuple:
        with pytest.raises(NasirError, match=f"`{name}"):
            kind(**given | {name: (2.0, -1.0)})
        return
    found = interval(hint)
    assert found is not None, "it has a range"
    wrongs = (found.least - 1, found.most * 2 + 1, -(10**18), 10**18, 10**5000, float("nan"), "1")
    for wrong in (*wrongs, True):
        with pytest.raises(NasirError) as caught:
            kind(**given | {name: wrong})
        assert f"`{name}` is " in str(caught.value)
        assert accepted(hint) in str(caught.value)
    for right in (found.least, found.most - (0.5 if found.below else 0)):
        kind(**given | {name: right})


def test_a_recipe_names_the_place_of_a_number_out_of_its_range(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"nasir": 1, "train": {"epochs": 3, "batch": 0}}, indent=1))
    with pytest.raises(NasirError, match="from 1 to 65,536") as caught:
        read_recipe(str(path))
    assert (caught.value.code, caught.value.where.line) == ("E107", 5)


def options() -> list[tuple[str, str]]:
    """Every option of a command that is a number, as it is typed."""
    found: list[tuple[str, str]] = []
    for name in ("search", "evaluate", "test", "compile", "cost", "show", "sample"):
        function = as_command(getattr(import_module(f"runners.cli.{COMMANDS[name].module}"), name))
        found += [
            (name, f"--{each.name.replace('_', '-')}" if each.name != "count" else "-n")
            for each in inspect.signature(function).parameters.values()
            if {int, float} & set(leaves(each.annotation))
        ]
    return found


@pytest.mark.parametrize(("command", "option"), options())
def test_a_command_refuses_numbers_out_of_range(command: str, option: str, tmp_path: Path) -> None:
    given = {"search": "darts", "sample": "darts"}.get(command, "darts_v2")
    if option in ("--hidden", "--vocabulary"):
        given = "darts_rnn" if given == "darts" else "DARTS_V2@darts_rnn"
    named = "digits"
    if option in ("--hidden", "--vocabulary"):
        named = write_text(tmp_path / "text", 4000)
    recipe = ("--recipe", "ptb") if named != "digits" and command == "evaluate" else ()
    data = ("--data", named, *recipe) if command in ("search", "evaluate", "test") else ()
    out = ("-o", str(tmp_path / "run")) if command in ("search", "evaluate", "compile") else ()
    for value in ("-3", "1000000000000000000"):
        done = call(command, given, option, value, *data, *out)
        assert done.code == 2, (value, done)
        assert any(words in done.err for words in RANGES), (value, done)
        assert not (tmp_path / "run").exists()
