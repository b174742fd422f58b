"""Compilations as one HTML page that needs no other file to be viewed."""

import base64
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from nasir import NasirError, dump_genotype, load_genotype
from nasir.draw import svg_text
from nasir.formats import FORMATS
from nasir.quoting import xml
from runners.forms.report import Report, notes, tables, title
from runners.output import TextTable

TITLES = ("Cost", "Passes, for inference", "Time of each stage", "Forms", "Held-out data")
"""Of the tables of a report, in their order."""


def html_page(
    reports: Sequence[Report], directory: Path, heading: str = "", introduction: str = ""
) -> str:
    """The page; files are linked relative to `directory`."""
    heading = heading or title(reports[0])
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    names = [f"{number}-{report.name}" for number, report in enumerate(reports, 1)]
    links = "".join(
        f'<a href="#{xml(name)}">{xml(report.name)}</a>'
        for name, report in zip(names, reports, strict=True)
    )
    sections = "\n".join(
        _section(report, name, directory) for report, name in zip(reports, names, strict=True)
    )
    last = "".join(f"<p>{xml(note)}</p>" for note in notes(reports[-1])[2:])
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{xml(heading)}</title>
<style>
{style}</style>
</head>
<body>
<header><div>
<h1>{xml(heading)}</h1>
<p>{xml(introduction)}</p>
<nav>{links if len(reports) > 1 else ""}</nav>
</div></header>
<main>
{sections}
<footer>{last}</footer>
</main>
</body>
</html>
"""


def _section(report: Report, name: str, directory: Path) -> str:
    genotype = load_genotype(report.genotype)
    cells = "".join(_figure(svg_text(cell), f"{cell.kind} cell") for cell in genotype.cells)
    tiles = "".join(
        f'<div class="tile"><b>{xml(value)}</b><span>{xml(name)}</span></div>'
        for name, value in _figures(report)
    )
    named = list(zip(TITLES, tables(report), strict=False))
    forms = "".join(_table(*row) for row in named[3:])
    columns = "".join(f"<div>{_table(*row)}</div>" for row in named[:3])
    texts = "".join(
        f"<details><summary>the genotype as {xml(form)}</summary><pre>{xml(text)}</pre></details>"
        for form, text in _texts(report).items()
    )
    files = f"<h3>Files</h3>\n<p>{_links(report.files, directory)}</p>" if report.files else ""
    return f"""\
<section id="{xml(name)}">
<h2>{xml(report.name)}</h2>
<p class="origin">{xml(title(report).partition(": ")[2])}. {xml(notes(report)[1])}.</p>
<div class="tiles">{tiles}</div>
<div class="cells">{cells}</div>
{forms}
<div class="columns">{columns}</div>
{texts}
{files}
</section>"""


def _figures(report: Report) -> tuple[tuple[str, str], ...]:
    """The most important numbers: a name and a value each."""
    times = {each.form: each.latency.seconds for each in report.forms if each.latency}
    best = min(times, key=lambda name: times[name])
    far = [each.difference.difference for each in report.forms if each.difference]
    expanded = next(each.after for each in report.passes if each.name == "expand")
    return (
        ("parameters", f"{report.cost.params:,}"),
        ("multiply-adds", f"{report.cost.macs / 1e6:.1f} M"),
        ("nodes, before and after passes", f"{expanded:,} → {report.passes[-1].after:,}"),
        (f"eager → {best}", f"{times['eager'] * 1e3:.1f} → {times[best] * 1e3:.1f} ms"),
        ("largest difference of a form", f"{max(far):.1e}" if far else "-"),
    )


def _texts(report: Report) -> dict[str, str]:
    """The genotype in every format that can hold it."""
    genotype, texts = load_genotype(report.genotype), dict[str, str]()
    for name in (name for name, row in FORMATS.items() if row.dump is not None):
        with suppress(NasirError):
            texts[name] = dump_genotype(genotype, name).strip()
    return texts


def _figure(svg: str, caption: str) -> str:
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{xml(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{xml(caption)}</figcaption></figure>"
    )


def _table(heading: str, table: TextTable) -> str:
    kinds = ['class="number"' if table.is_number(i) else "" for i in range(len(table.columns))]
    head = _row("th", table.columns, kinds)
    body = "".join(_row("td", row, kinds) for row in table.texts())
    return f'<h3>{xml(heading)}</h3><div class="wide"><table>{head}{body}</table></div>'


def _row(tag: str, cells: Iterable[str], kinds: list[str]) -> str:
    inner = (f"<{tag} {kind}>{xml(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
    return f"<tr>{''.join(inner)}</tr>"


def _links(files: Iterable[Path], directory: Path) -> str:
    shown = {path.as_posix(): path for path in files}
    names = {
        path.relative_to(directory).as_posix() if path.is_relative_to(directory) else name: path
        for name, path in shown.items()
    }
    return ", ".join(f'<a href="{quote(name)}">{xml(name)}</a>' for name in names)
