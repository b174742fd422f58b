"""Pages that mkdocs makes of the code: the references, the notebooks, and linked files of the root.

A reference of Python has the names that a package's `__init__.pyi` exports; that of the command
line has the help of every command. The site needs the packages of nasir itself.
"""

import json
import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGES = {
    "nasir": "Graphs, spaces, formats, passes, costs; also the names of lowering and runners.",
    "lowering": "Networks in torch, ONNX and Python.",
    "runners": "Searches, trainings and exports.",
}
LINK = re.compile(r"\]\(([^):#]+)(#[^)]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages of the references and notebooks, and what pages link to in the root."""
    pages = {f"reference/{name}.md": api(name, about) for name, about in PACKAGES.items()}
    pages["reference/command-line.md"] = command_line()
    for path in sorted(DOCS.glob("notebooks/*.ipynb")):
        pages[f"notebooks/{path.stem}.md"] = notebook(path)
    for path in linked():
        pages[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leads links to files of the root to their copies in the site."""
    folder = PurePosixPath(page.file.src_uri).parent
    written = (DOCS if (DOCS / page.file.src_uri).exists() else ROOT) / folder

    def led(match: re.Match[str]) -> str:
        path = Path(os.path.normpath(written / match[1]))
        if not path.is_file():
            return match[0]
        return f"]({os.path.relpath(in_site(path), folder)}{match[2] or ''})"

    return LINK.sub(led, markdown)


def in_site(path: Path) -> str:
    """Returns where a file of the repository is in the site."""
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()


def linked() -> set[Path]:
    """Returns the files outside `docs` that its pages link to."""
    found: set[Path] = set()
    for page in DOCS.rglob("*.md"):
        for match in LINK.finditer(page.read_text(encoding="utf-8")):
            path = Path(os.path.normpath(page.parent / match[1]))
            if path.is_file() and not path.is_relative_to(DOCS):
                found.add(path)
    return found


def api(package: str, about: str) -> str:
    """Returns the reference of a package: each public name, by mkdocstrings."""
    exports = (ROOT / package / "__init__.pyi").read_text(encoding="utf-8")
    names = re.findall(r"^from \S+ import (\w+) as \1$", exports, re.MULTILINE)
    return "\n\n".join([f"# {package}", about, *(f"::: {package}.{name}" for name in names)])


def command_line() -> str:
    """Returns the help of `nasir` and of each command."""
    from runners.cli import COMMANDS
    from runners.cli.entry import load_command

    parts = ["# Command line", shown()]
    for name in COMMANDS:
        parts += [f"## nasir {name}", shown(name)]
        for below in getattr(load_command(name), "commands", ()):
            parts += [f"### nasir {name} {below}", shown(name, below)]
    return "\n\n".join(parts)


def shown(*command: str) -> str:
    from runners.cli import app

    done = CliRunner().invoke(app, [*command, "--help"], prog_name="nasir")
    assert done.exit_code == 0, done.output
    return f"```text\n{done.stdout.rstrip()}\n```"


def notebook(path: Path) -> str:
    """Returns a notebook's cells as a page; its outputs are not stored."""
    parts: list[str] = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts.insert(1, f"[Download the notebook]({path.name})")
    return "\n\n".join(parts)
