"""The output of commands: tables on a terminal, plain lines elsewhere, facts as JSON, errors."""

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
"""Errors where the call was right and the work failed on this machine: exit code 1.

Every other NasirError says that the call or its input is wrong: exit code 2, as for an option
that does not exist. `diff` returns 1 for genotypes that differ, like diff(1).
"""


@dataclass(frozen=True, slots=True)
class TextTable:
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


def table_of(
    facts: Iterable[Mapping[str, object]], columns: Mapping[str, str], title: str = ""
) -> TextTable:
    """A row for each of the facts; `columns` has the key of a column's values by its name."""
    rows = tuple(tuple(_cell(each[key]) for key in columns.values()) for each in facts)
    return TextTable(title, tuple(columns), rows)


def _cell(value: object) -> Cell:
    """A value in a table; of more than twelve digits the first three, as --json has all."""
    if isinstance(value, list | tuple):
        return joined(cast("Iterable[object]", value))
    if isinstance(value, float):
        return f"{value:,.10g}"
    if isinstance(value, int):
        return value if value < 10**12 else f"{value:.2e}"
    return "-" if value is None else str(value)


class FileText(str):
    """Text as it stands in a file, of any number of lines, each with its end."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of a command: facts for --json, otherwise lines, tables and texts of files.

    `facts` may be a function that finds them; None prints nothing. `code` is the exit code.
    `errors` are those of some of the inputs.
    """

    facts: object | Callable[[], object]
    shown: Iterable[str | TextTable] = ()
    code: int = 0
    errors: tuple["NasirError", ...] = ()


def print_reply(reply: Reply, *, as_json: bool) -> None:
    """The reply on stdout, as JSON or for a reader; its errors on stderr."""
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
    """1 when the work failed, 2 when the call or its input is wrong."""
    return FAILED if error.code in FAILURES else WRONG_CALL


def visible(text: str) -> str:
    """The text on one line, with what does not print escaped (`nasir.quoting.visible`)."""
    from nasir import quoting  # not at the top: `nasir --help` has no use for nasir

    return quoting.visible(text)


def print_line(text: str = "") -> None:
    """One line on stdout."""
    typer.echo(visible(text))


def print_text(text: str) -> None:
    """Text on stdout: as it is in a file, with what does not print escaped on a terminal."""
    from nasir.quoting import visible_lines

    typer.echo(visible_lines(text) if is_terminal() else text, nl=False)


def print_json(facts: object) -> None:
    """Facts on stdout."""
    from nasir.quoting import json_text

    typer.echo(json_text(facts, indent=2))


def print_table(table: TextTable) -> None:
    """The table: drawn on a terminal, aligned lines elsewhere.

    On a terminal that is too narrow for the longest word of each column, every row is a paragraph:
    a name that is to be typed is never cut or broken.
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
    """The error on stderr."""
    if as_json:
        from nasir.quoting import json_text

        typer.echo(json_text({"error": error.facts()}), err=True)
    else:
        typer.echo(str(error), err=True)


def print_bug(error: BaseException) -> None:
    """A fault of nasir's own on stderr, in two lines."""
    typer.echo(
        visible(f"nasir: internal error: {type(error).__name__}: {error}".rstrip(": "))
        + "\n  hint: this is a bug in nasir; NASIR_DEBUG=1 shows where",
        err=True,
    )


def print_note(text: str) -> None:
    """A line on stderr that says what was done."""
    typer.echo(visible(text), err=True)


def print_warning(text: str) -> None:
    """A line on stderr that is no error."""
    typer.echo(visible(f"warning: {text}"), err=True)


def plain_lines(table: TextTable) -> list[str]:
    """The table as lines of aligned columns."""
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
    """The rows one after the other: the first cell, and below it the others with their columns."""
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


def joined(values: Iterable[object], between: str = " ") -> str:
    """The values in one cell; a dash when there are none."""
    return between.join(str(value) for value in values) or "-"


def _shown(cell: Cell) -> str:
    return f"{cell:,}" if isinstance(cell, int) else visible(cell)


def is_terminal() -> bool:
    """Whether tables are drawn: a person looks at the output."""
    return sys.stdout.isatty()


def _widths(table: TextTable, width: int) -> list[int] | None:
    """The width of each column: its longest word, and a share of what is left by what it lacks.

    None where the longest words, with the lines and margins around them, are wider than `width`.
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
    """`96.35 %`, or a loss or a perplexity to four digits."""
    return f"{value:.2f} %" if name in ("accuracy", "top5") else f"{value:.4g}"
