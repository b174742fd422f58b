"""Compares the README and the pages of docs with the program."""

import re
import shlex
from pathlib import Path

import pytest

import nasir
from nasir import PASSES
from nasir.errors import CODES
from tests.command_line import call

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def shown() -> dict[str, list[str]]:
    """The commands of the README and the lines it shows below each."""
    found: dict[str, list[str]] = {}
    for block in re.findall(r"```\n(\$ .*?)```", README, re.DOTALL):
        for part in block.split("$ ")[1:]:
            command, *lines = part.rstrip().split("\n")
            found[command] = lines
    return found


TRAINS = ("nasir search nasbench201", "nasir convert run/", "nasir replay", "nasir evaluate")
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
    call("examples")
    program, *arguments = shlex.split(command)
    assert program == "nasir"
    result = call(*arguments)
    printed = (result.out + result.err).splitlines()
    for number, line in enumerate(shown()[command]):
        if line != "…":
            assert printed[number].startswith(line.removesuffix(" …")), line


def test_each_snippet_of_the_readme_runs_as_it_stands_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nasir, "compile", lambda module: module)  # tested elsewhere, and slow
    snippets = re.findall(r"```python\n(import .*?)```", README, re.DOTALL)
    assert len(snippets) == 2
    for snippet in snippets:
        exec(compile(snippet, "README.md", "exec"), {})
        stated = re.findall(r"# (\d+)\n", snippet)
        assert capsys.readouterr().out.split() == stated
    assert (tmp_path / "edited.onnx").exists()


def test_every_error_code_is_in_its_page() -> None:
    rows = re.findall(
        r"^\| (E\d+) \| (.*) \|$", (ROOT / "docs/errors.md").read_text(), re.MULTILINE
    )
    assert dict(rows) == CODES


def test_every_pass_is_in_the_page_of_the_graph() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs/graph.md").read_text(), re.MULTILINE)
    assert rows == list(PASSES)


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_page_and_heading_that_is_linked_exists() -> None:
    for page in pages():
        for link in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            linked = page.parent / name if name else page
            assert linked.exists(), f"{page.name} links to {link}"
            titles = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in {"", *anchors}, f"{page.name} links to {link}"


def lines_of_code(text: str) -> int:
    """The lines that are neither blank nor comments nor docstrings."""
    text = re.sub(r'^ *""".*?"""$', "", text, flags=re.DOTALL | re.MULTILINE)
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.split("\n"))


@pytest.mark.parametrize(
    ("example", "path", "start"),
    [
        ("own space", "docs/how-to/my-space.md", "nasir: 1\nspace: mine"),
        ("own data, loss and metric", "docs/how-to/my-data.md", "import torch\nimport torch.nn"),
        ("own mixture", "docs/how-to/my-method.md", '"""DARTS-'),
        ("own skeleton", "docs/extend.md", "from nasir.space.cells"),
        ("own op, new", "spaces/examples/fourier.py", ""),
        ("segmentation", "spaces/examples/decoder.yaml", ""),
        ("1-d signals", "spaces/examples/signals.yaml", ""),
    ],
)
def test_lines_of_the_own_examples_are_those_compared(example: str, path: str, start: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".md"):
        (text,) = (
            b for b in re.findall(r"```[^\n]*\n(.*?)```", text, re.DOTALL) if b.startswith(start)
        )
    table = (ROOT / "docs/compared.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| \[?{re.escape(example)}.*?\| (\d+)", table, re.MULTILINE)
    assert row is not None
    assert int(row[1]) == lines_of_code(text)


def test_every_command_and_option_on_a_page_exists() -> None:
    helps: dict[tuple[str, ...], str] = {}
    for page in pages():
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for command in re.findall(r"(?:^\$ |^ {4}|^|`)nasir ([a-z][^`\n]*)", text, re.MULTILINE):
            words = command.split()
            if words[0] in ("compiles", "graph"):  # a sentence; a graph's first line
                continue
            name = tuple(words[: 1 + (words[0] == "bench")])
            helps[name] = helps.get(name) or call(*name, "--help").out
            assert f"nasir {' '.join(name)} " in helps[name], f"{page.name}: nasir {command}"
            for option in re.findall(r"(?<!\S)--?[a-z][a-z-]*", command):
                assert re.search(rf"{option}\b", helps[name]), f"{page.name}: nasir {command}"
