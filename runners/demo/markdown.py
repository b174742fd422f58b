"""The demonstration's results as a Markdown report."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from nasir.quoting import markdown, visible_lines
from runners.demo.page import INTRODUCTION, TITLE
from runners.demo.run import Result
from runners.demo.tables import figures, logits_table, tables
from runners.forms.show_report import notes, title
from runners.output import Table


def markdown_report(results: tuple[Result, ...], directory: Path) -> str:
    """The report; files are linked as they lie below `directory`."""
    lines = [f"# {TITLE}", "", INTRODUCTION, ""]
    for result in results:
        lines += _case(result, directory)
    for note in notes(results[-1].report)[2:]:
        lines += [markdown(note[0].upper() + note[1:] + "."), ""]
    return "\n".join(lines)


def _case(result: Result, directory: Path) -> Iterator[str]:
    report = result.report
    files = [path.relative_to(directory).as_posix() for path in report.files]
    yield from (f"## {markdown(result.case.title)}", "")
    yield from (markdown(f"{result.case.origin}. {title(report)}."), "")
    yield from (f"- {markdown(name)}: {markdown(value)}" for name, value in figures(result))
    came = "gave its genotype back" if result.returned else "lost its genotype"
    yield from (f"- the ONNX file {came}", "")
    yield from (f"!{_link(name)}" for name in files if name.endswith(".svg"))
    yield ""
    for table in (*tables(result), logits_table(result)):
        yield from (f"### {markdown(table.title)}", "", *_table(table), "")
    for name, text in result.texts.items():
        yield from (f"### The genotype as {markdown(name)}", "", *_code(text), "")
    yield from ("Files: " + ", ".join(map(_link, files)), "")


def _link(path: str) -> str:
    return f"[{markdown(path)}]({quote(path)})"


def _code(text: str) -> Iterator[str]:
    """The text in a fence that is longer than any in it."""
    shown = visible_lines(text)
    fence = "`" * (3 + max(map(len, re.findall("`+", shown)), default=0))
    yield from (fence, shown, fence)


def _table(table: Table) -> Iterator[str]:
    rules = ["---:" if table.is_number(i) else "---" for i in range(len(table.columns))]
    head, *rows = ([markdown(cell) for cell in row] for row in (table.columns, *table.texts()))
    for row in (head, rules, *rows):
        yield f"| {' | '.join(row)} |"
