"""What commands print: tables on a terminal, plain lines elsewhere, facts as JSON, errors."""

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from nasir import NasirError

Cell = str | int

_NUMBER = re.compile(r"[-+]?\d")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column names. Columns of numbers stand to the right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """The rows as they are shown."""
        return [[_shown(cell) for cell in row] for row in self.rows]

    def is_number(self, column: int) -> bool:
        """Whether every cell of the column begins with a number, or is a dash."""
        texts = [_shown(row[column]) for row in self.rows]
        numbers = [bool(_NUMBER.match(text)) for text in texts]
        return any(numbers) and all(n or t == "-" for n, t in zip(numbers, texts, strict=True))


def print_line(text: str = "") -> None:
    """One line on stdout."""
    typer.echo(text)


def print_text(text: str) -> None:
    """Text as it is on stdout."""
    typer.echo(text, nl=False)


def print_json(facts: object) -> None:
    """Facts on stdout."""
    typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))


def print_table(table: Table) -> None:
    """The table: drawn on a terminal, aligned lines elsewhere."""
    if sys.stdout.isatty():
        _draw_table(table)
        return
    for line in plain_lines(table):
        typer.echo(line)


def print_error(error: "NasirError", *, as_json: bool) -> None:
    """The error on stderr."""
    if as_json:
        typer.echo(json.dumps({"error": error.facts()}, ensure_ascii=False), err=True)
    else:
        typer.echo(printable(str(error)), err=True)


def print_bug(error: BaseException) -> None:
    """A fault of nasir's own on stderr, in two lines."""
    typer.echo(
        printable(f"nasir: internal error: {type(error).__name__}: {error}".rstrip(": "))
        + "\n  hint: this is a bug in nasir; NASIR_DEBUG=1 shows where",
        err=True,
    )


def print_warning(text: str) -> None:
    """A line on stderr that is no error."""
    typer.echo(printable(f"warning: {text}"), err=True)


def plain_lines(table: Table) -> list[str]:
    """The table as lines of aligned columns."""
    rows = [list(table.columns), *table.texts()] if any(table.columns) else table.texts()
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))] if rows else []
    lines = [table.title] if table.title else []
    for row in rows:
        cells = [
            cell.rjust(width) if table.is_number(i) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def joined(values: Iterable[object], between: str = " ") -> str:
    """The values in one cell; a dash when there are none."""
    return between.join(str(value) for value in values) or "-"


def printable(text: str) -> str:
    """The text without what a terminal would obey; no character moves."""
    return "".join(c if c.isprintable() or c == "\n" else " " if c == "\t" else "�" for c in text)


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else printable(cell)


def _draw_table(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(
        title=Text(table.title) if table.title else None,
        title_justify="left",
        show_header=any(table.columns),
        box=box.ROUNDED,
    )
    for index, name in enumerate(table.columns):
        drawn.add_column(Text(name), justify="right" if table.is_number(index) else "left")
    for row in table.texts():
        drawn.add_row(*(Text(cell) for cell in row))
    Console().print(drawn)


def measure_text(name: str, value: float) -> str:
    """`96.35 %`, or a loss or a perplexity to four digits."""
    return f"{value:.2f} %" if name in ("accuracy", "top5") else f"{value:.4g}"
