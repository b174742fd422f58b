"""The demonstration's results as one HTML page that needs no other file to be looked at."""

import base64
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from nasir.quoting import xml
from runners.demo.pictures import pictures, png
from runners.demo.run import Result
from runners.demo.tables import figures, logits_table, tables
from runners.forms.show_report import notes, title
from runners.output import Table

TITLE = "nasir: three genotypes, compiled"
INTRODUCTION = (
    "Each genotype came from another file format and went the same way: a typed graph, passes, a "
    "network in torch, an ONNX model, a Python file that needs only torch, and pictures of its "
    "cells. Every file was then read back and run on the pictures below. The weights are random, "
    "so the classes mean nothing; what counts is that all ways to run a network agree."
)


def html_page(results: tuple[Result, ...], directory: Path) -> str:
    """The page; files are linked as they lie below `directory`."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    links = "".join(f'<a href="#{xml(r.case.directory)}">{xml(r.case.title)}</a>' for r in results)
    sections = "\n".join(_section(result, directory) for result in results)
    last = "".join(f"<p>{xml(note)}</p>" for note in notes(results[-1].report)[2:])
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{xml(TITLE)}</title>
<style>
{style}</style>
</head>
<body>
<header><div>
<h1>{xml(TITLE)}</h1>
<p>{xml(INTRODUCTION)}</p>
<nav>{links}</nav>
</div></header>
<main>
<section>
<h2>The pictures</h2>
<p class="origin">Made by formulas, 32x32, and given to every network with CIFAR-10's mean and
deviation taken out.</p>
<div class="cells pictures">{_pictures()}</div>
</section>
{sections}
<footer>{last}</footer>
</main>
</body>
</html>
"""


def _section(result: Result, directory: Path) -> str:
    report = result.report
    came = ("yes", "gave its genotype back") if result.returned else ("no", "lost its genotype")
    cells = "".join(
        _figure(path, f"{path.stem.rpartition('-')[2]} cell")
        for path in report.files
        if path.suffix == ".svg"
    )
    tiles = "".join(
        f'<div class="tile"><b>{xml(value)}</b><span>{xml(name)}</span></div>'
        for name, value in figures(result)
    )
    columns = "".join(f"<div>{_table(table)}</div>" for table in tables(result))
    return f"""\
<section id="{xml(result.case.directory)}">
<h2>{xml(result.case.title)}</h2>
<p class="origin">{xml(result.case.origin)}. {xml(title(report))}.</p>
<div class="tiles">{tiles}</div>
<div class="cells">{cells}</div>
<div class="columns">{columns}</div>
<div class="logits">{_table(logits_table(result))}</div>
<p>The ONNX file <span class="{came[0]}">{came[1]}</span> when it was read.</p>
{_texts(result)}
<h3>Files</h3>
<p>{_links(report.files, directory)}</p>
</section>"""


def _pictures() -> str:
    return "".join(
        f'<figure><img alt="{name}" src="data:image/png;base64,{_base64(png(image))}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, image in pictures().items()
    )


def _figure(path: Path, caption: str) -> str:
    data = _base64(path.read_bytes())
    return (
        f'<figure><img alt="{xml(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{xml(caption)}</figcaption></figure>"
    )


def _table(table: Table) -> str:
    kinds = ['class="number"' if table.is_number(i) else "" for i in range(len(table.columns))]
    head = _row("th", table.columns, kinds)
    body = "".join(_row("td", row, kinds) for row in table.texts())
    title = f"<h3>{xml(table.title)}</h3>"
    return f'{title}<div class="wide"><table>{head}{body}</table></div>'


def _row(tag: str, cells: Iterable[str], kinds: list[str]) -> str:
    inner = (f"<{tag} {kind}>{xml(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def _texts(result: Result) -> str:
    """The genotype in every format, folded away."""
    return "".join(
        f"<details><summary>the genotype as {xml(name)}</summary><pre>{xml(text)}</pre></details>"
        for name, text in result.texts.items()
    )


def _links(files: Iterable[Path], directory: Path) -> str:
    names = [path.relative_to(directory).as_posix() for path in files]
    return ", ".join(f'<a href="{quote(name)}">{xml(name)}</a>' for name in names)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
