"""What the pages say is so: their commands print what they show, their example runs."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

import lowering
from nasir.errors import CODES
from nasir.passes import PASSES
from tests.command_line import call

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SPACE = """\
nasir: 1
space: mine
skeleton: cifar
cells:
  normal:
    inputs: 2
    nodes: 4
    keep: 2
    output: [2, 3, 4, 5]
    exclude: [none]
    ops:
      - none
      - skip_connect
      - sep_conv_3x4
  reduce:
    like: normal
"""


def shown() -> dict[str, list[str]]:
    """The commands of the README and the lines it shows below each."""
    found: dict[str, list[str]] = {}
    for block in re.findall(r"```\n(\$ .*?)```", README, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, *lines = part.rstrip().split("\n")
            found[command] = lines
    return found


TRAINS = ("nasir search nasbench201", "nasir replay", "nasir evaluate")
"""What prints losses, whose last digits are the machine's; tests of their own run these."""


@pytest.mark.parametrize(
    "command",
    [
        command
        for command in shown()
        if "compile" not in command and "out/" not in command and not command.startswith(TRAINS)
    ],
)
def test_a_command_of_the_readme_prints_what_the_readme_shows(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(SPACE)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copytree(ROOT / "spaces" / "examples", tmp_path / "spaces" / "examples")
    program, *arguments = shlex.split(command)
    assert program == "nasir"
    result = call(*arguments)
    printed = (result.out + result.err).splitlines()
    for number, line in enumerate(shown()[command]):
        if line != "…":
            assert printed[number].startswith(line.removesuffix(" …")), line


def test_the_example_of_the_readme_runs_and_exports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lowering, "compile", lambda module: module)  # tested elsewhere, and slow
    (example,) = re.findall(r"```python\n(import torch.*?)```", README, re.DOTALL)
    (stated,) = re.findall(r"# (\d+)\n", example)
    exec(compile(example, "README.md", "exec"), {})
    assert capsys.readouterr().out.strip() == stated
    assert (tmp_path / "edited.onnx").exists()


def test_every_error_code_is_in_its_page() -> None:
    rows = re.findall(
        r"^\| (E\d+) \| (.*) \|$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    assert dict(rows) == CODES


def test_every_pass_is_in_the_page_of_the_graph() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/graph.md").read_text(), re.MULTILINE)
    assert rows == list(PASSES)


def test_every_page_that_is_linked_exists() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
