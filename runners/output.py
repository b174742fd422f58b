"""Output of commands: tables on a terminal, else plain lines; JSON; errors."""

import math
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import typer

if TYPE_CHECKING:
    from nasir import NasirError

Cell = str | int

_NUMBER = re.compile(r"[-+]?\d")

FAILED, WRONG_CALL = 1, 2

FAILURES = ("E112", "E501", "E502", "E504", "E724", "E741", "E744")
"""Errors of a correct call whose work failed on this machine: exit code 1.

Every other NasirError means a wrong call or input: exit code 2, as for an unknown option. `diff`
returns 1 for genotypes that differ, like diff(1).
"""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Rows under column names. Columns of numbers are right-aligned."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def texts(self) -> list[list[str]]:
        """Returns the formatted rows."""
        return [[_shown(cell) for cell in row] for row in self.rows]

    def is_number(self, column: int) -> bool:
        """Whether every cell of the column starts with a number or is a dash."""
        texts = [_shown(row[column]) for row in self.rows]
        numbers = [bool(_NUMBER.match(text)) for text in texts]
        return any(numbers) and all(n or t == "-" for n, t in zip(numbers, texts, strict=True))


def table_of(
    facts: Iterable[Mapping[str, object]], columns: Mapping[str, str], title: str = ""
) -> TextTable:
    """Returns a table with a row for each of the facts; `columns` maps column names to keys."""
    rows = tuple(tuple(_cell(each[key]) for key in columns.values()) for each in facts)
    return TextTable(title, tuple(columns), rows)


def _cell(value: object) -> Cell:
    """Formats a value; integers of more than twelve digits to three digits, --json has all."""
    if isinstance(value, list | tuple):
        return joined(cast("Iterable[object]", value))
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, int):
        return value if value < 10**12 else f"{value:.2e}"
    return "-" if value is None else str(value)


class FileText(str):
    """The text of a file, with line ends."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a command: facts for --json, else lines, tables and texts of files.

    `facts` may be a function; None prints nothing. `code` is the exit code. `errors` are those of
    some of the inputs.
    """

    facts: object | Callable[[], object]
    shown: Iterable[str | TextTable] = ()
    code: int = 0
    errors: tuple["NasirError", ...] = ()


def print_reply(reply: Reply, *, as_json: bool) -> None:
    """Prints a reply to stdout, as JSON or as text; its errors to stderr."""
    for error in reply.errors:
        print_error(error, as_json=as_json)
    if as_json:
        facts = reply.facts() if callable(reply.facts) else reply.facts
        if facts is not None:
            print_json(facts)
        return
    for part in reply.shown:
        if isinstance(part, TextTable):
            print_table(part)
        elif isinstance(part, FileText):
            print_text(part)
        else:
            print_line(part)


def exit_code(error: "NasirError") -> int:
    """Returns 1 if the work failed, 2 for a wrong call or input."""
    return FAILED if error.code in FAILURES else WRONG_CALL


def visible(text: str) -> str:
    """Returns the text on one line, with unprintable characters escaped."""
    from nasir import errors  # not at the top: not needed by `nasir --help`

    return errors.visible(text)


def print_line(text: str = "") -> None:
    """Prints a line to stdout."""
    typer.echo(visible(text))


def print_text(text: str) -> None:
    """Prints text to stdout; on a terminal with unprintable characters escaped."""
    from nasir.errors import visible_lines

    typer.echo(visible_lines(text) if is_terminal() else text, nl=False)


def print_json(facts: object) -> None:
    """Prints facts to stdout."""
    from nasir.errors import json_text

    typer.echo(json_text(facts, indent=2))


def print_table(table: TextTable) -> None:
    """Prints a table: drawn on a terminal, aligned lines elsewhere.

    If the terminal is too narrow for the longest word of each column, every row is a paragraph:
    words are never cut, so that names can be copied.
    """
    columns = tuple(map(visible, table.columns))
    table = replace(table, title=visible(table.title), columns=columns)
    if not is_terminal():
        for line in plain_lines(table):
            typer.echo(line)
        return
    width = shutil.get_terminal_size().columns
    if (widths := _widths(table, width)) is not None:
        _draw_table(table, widths, width)
        return
    for line in paragraphs(table, width):
        typer.echo(line)


def print_error(error: "NasirError", *, as_json: bool) -> None:
    """Prints an error to stderr."""
    if as_json:
        from nasir.errors import json_text

        typer.echo(json_text({"error": error.facts()}), err=True)
    else:
        typer.echo(str(error), err=True)


def print_bug(error: BaseException) -> None:
    """Prints an internal error to stderr, in two lines."""
    typer.echo(
        visible(f"nasir: internal error: {type(error).__name__}: {error}".rstrip(": "))
        + "\n  hint: this is a bug in nasir; NASIR_DEBUG=1 shows where",
        err=True,
    )


def print_note(text: str) -> None:
    """Prints an informative line to stderr."""
    typer.echo(visible(text), err=True)


def print_warning(text: str) -> None:
    """Prints a warning to stderr."""
    typer.echo(visible(f"warning: {text}"), err=True)


def plain_lines(table: TextTable) -> list[str]:
    """Formats the table as lines of aligned columns."""
    rows = [list(table.columns), *table.texts()] if any(table.columns) else table.texts()
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))] if rows else []
    found = [table.title] if table.title else []
    for row in rows:
        cells = [
            cell.rjust(width) if table.is_number(i) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        found.append("  ".join(cells).rstrip())
    return found


def paragraphs(table: TextTable, width: int) -> list[str]:
    """Formats rows as paragraphs: the first cell, and below it the others with their columns."""
    lines = [table.title] if table.title else []
    for first, *others in table.texts():
        parts = [
            f"{c}: {text}" if c else text for c, text in zip(table.columns[1:], others, strict=True)
        ]
        wrapped = textwrap.wrap(
            "; ".join(parts), width - 2, break_long_words=False, break_on_hyphens=False
        )
        lines += [first, *(f"  {line}" for line in wrapped)]
    return lines


def finite(value: float) -> float | None:
    """Returns the number, None for one that JSON lacks."""
    return value if math.isfinite(value) else None


def joined(values: Iterable[object], between: str = " ") -> str:
    """Joins the values of a cell; a dash if there are none."""
    return between.join(str(value) for value in values) or "-"


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else visible(cell)


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()


def _widths(table: TextTable, width: int) -> list[int] | None:
    """Returns column widths: the longest word, and a share of the remaining width by need.

    None if the longest words, with lines and margins, exceed `width`.
    """
    columns = list(zip(table.columns, *table.texts(), strict=True))
    least = [
        max((len(word) for text in texts for word in text.split()), default=0) for texts in columns
    ]
    left = width - (3 * len(columns) + 1) - sum(least)
    if left < 0:
        return None
    lacking = [max(map(len, texts)) - low for texts, low in zip(columns, least, strict=True)]
    share = min(sum(lacking), left)
    return [
        low + share * more // max(1, sum(lacking)) for low, more in zip(least, lacking, strict=True)
    ]


def _draw_table(table: TextTable, widths: list[int], width: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    if table.title:
        typer.echo(table.title)
    drawn = Drawn(show_header=any(table.columns), box=box.ROUNDED)
    for index, (name, fixed) in enumerate(zip(table.columns, widths, strict=True)):
        justify = "right" if table.is_number(index) else "left"
        drawn.add_column(Text(name), justify=justify, width=fixed)
    for row in table.texts():
        drawn.add_row(*(Text(cell) for cell in row))
    Console(width=width).print(drawn)


def measure_text(name: str, value: float) -> str:
    """Formats `96.35 %`, or a loss or perplexity to four digits."""
    return f"{value:.2f} %" if name in ("accuracy", "top5") else f"{value:.4g}"
