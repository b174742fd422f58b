"""Options that errors and hints name are options of the command that says them."""

import ast
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest

from runners.cli import COMMANDS
from runners.cli.entry import load_command
from tests.command_line import ROOT

CALL = re.compile(r"nasir ([a-z-]+)[^.;`]*$")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")

SAID_BY = {
    "runners/experiment/search.py": ("search",),
    "runners/experiment/architect.py": ("search",),
    "runners/experiment/mixture.py": ("search",),
    "runners/experiment/method.py": ("search",),
    "runners/experiment/train.py": ("evaluate",),
    "runners/experiment/recipe.py": ("evaluate",),
    "runners/folder": ("search", "evaluate"),
    "runners/folder/facts.py": ("search", "evaluate"),
    "runners/machine/device.py": ("search", "evaluate", "test"),
    "runners/forms/test.py": ("test",),
    "runners/forms/compile.py": ("compile",),
    "runners/forms/quantise.py": ("compile",),
    "runners/forms/make.py": ("compile",),
    "runners/forms/table.py": ("compile",),
    "runners/plot": ("plot",),
    **{
        f"runners/cli/{module}.py": tuple(
            name for name, row in COMMANDS.items() if row.module == module
        )
        for module in {row.module for row in COMMANDS.values()} - {"runs"}
    },  # import-weights names options of other commands
}
"""The commands that reach the errors of a module; of others any command may."""


@lru_cache
def options(command: str) -> frozenset[str]:
    """What a command takes, and all that the commands of a group take."""
    loaded: Any = load_command(command)
    each = [loaded, *getattr(loaded, "commands", {}).values()]
    return frozenset(
        {name for one in each for part in one.params for name in part.opts} | {"--help"}
    )


def said(text: str) -> list[tuple[str, str]]:
    """The options in the texts of a file, each with the command in front of it, if one is."""
    found: list[tuple[str, str]] = []
    for written in texts(ast.parse(text)):
        for match in OPTION.finditer(written):
            before = CALL.search(written[: match.start()])
            found.append((match[0], before[1] if before else ""))
    return found


def texts(node: ast.AST) -> Iterator[str]:
    """The texts in a syntax tree; of one with values in it, each value as {}."""
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        yield "".join(map(str, parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    else:
        for child in ast.iter_child_nodes(node):
            yield from texts(child)


FILES = sorted(
    str(path.relative_to(ROOT))
    for room in ("nasir", "lowering", "runners")
    for path in (ROOT / room).rglob("*.py")
    if "demo" not in path.parts and said(path.read_text(encoding="utf-8"))
)


@pytest.mark.parametrize("file", FILES)
def test_an_option_that_a_text_names_is_one_of_its_command(file: str) -> None:
    by = next((names for start, names in SAID_BY.items() if file.startswith(start)), ())
    known = {name: options(name) for name in COMMANDS}
    anywhere = {option for each in known.values() for option in each} | {"--version", "--help"}
    for option, command in said((ROOT / file).read_text(encoding="utf-8")):
        if command in known:
            assert option in known[command], f"nasir {command} has no {option}"
        elif by:
            assert any(option in known[name] for name in by), f"{by} have no {option}"
        else:
            assert option in anywhere, option
