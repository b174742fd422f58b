"""Runs the pages of docs/how-to and the notebooks.

Of a page, blocks with a title are files, other `python` and `sh` blocks run in their order, and
`text` blocks are lines that were printed, where `…` stands for any.
"""

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark_files import CSV
from tests.command_line import ROOT, call

DOCS = ROOT / "docs"
PAGES = [DOCS / "index.md", *sorted(DOCS.glob("how-to/*.md"))]
NOTEBOOKS = sorted(DOCS.glob("notebooks/*.ipynb"))
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, with `nasir` and this Python on the path."""
    (tmp_path / "bin").mkdir()
    for name, module in (("nasir", " -m nasir"), ("python", "")):
        program = tmp_path / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{module} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def needs(text: str, folder: Path) -> None:
    """Links the table of NAS-Bench-201 where a page reads it."""
    if CSV.name in text:
        if not CSV.exists():
            pytest.skip(f"needs {CSV.name}")
        (folder / CSV.name).symlink_to(CSV)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_does_what_it_shows(page: Path, folder: Path) -> None:
    text = page.read_text(encoding="utf-8")
    needs(text, folder)
    names: dict[str, Any] = {"__name__": "page"}
    printed = ""
    for kind, title, body in BLOCK.findall(text):
        if title:
            (folder / title).write_text(body, encoding="utf-8")
        elif kind == "python":
            printed = run_python(body, page.name, names)
        elif kind == "sh":
            printed = run_shell(body)
        elif kind == "text":
            lines = [line.strip() for line in printed.splitlines()]
            for line in body.splitlines():
                assert line == "…" or line.strip() in lines, printed


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_first_to_last_and_has_no_outputs(
    notebook: Path, folder: Path
) -> None:
    text = notebook.read_text(encoding="utf-8")
    needs(text, folder)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(json.loads(text)["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
            run_python("".join(cell["source"]), f"cell {number}", names)


def run_python(body: str, name: str, names: dict[str, Any]) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile(body, name, "exec"), names)
    return out.getvalue()


def run_shell(body: str) -> str:
    """Commands of nasir alone in this process, which is faster; else by a shell."""
    commands = [line for line in body.replace("\\\n", " ").splitlines() if line]
    if all(re.match(r"nasir [^|>&;*$]+$", line) for line in commands):
        printed = ""
        for line in commands:
            done = call(*shlex.split(line, comments=True)[1:])
            assert done.code == 0, done.err
            printed += done.out + done.err
        return printed
    shell = ["bash", "-euo", "pipefail", "-c", body]
    done = subprocess.run(shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
