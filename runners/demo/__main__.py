"""`python -m runners.demo -o DIR`: run the demonstration and leave its report in DIR."""

from pathlib import Path
from typing import Annotated

import typer

from nasir.errors import NasirError
from nasir.files import write_atomically
from nasir.quoting import json_text
from runners.cli import exit_code
from runners.demo.cases import CASES
from runners.demo.markdown import markdown_report
from runners.demo.page import html_page
from runners.demo.run import Result, run_case
from runners.forms.progress import progress_for_stderr
from runners.machine.machine import wait_briefly
from runners.output import print_error, print_line


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the results go.")
    ] = Path("demo-output"),
    no_compile: Annotated[
        bool, typer.Option("--no-compile", help="Leave torch.compile out, which takes longest.")
    ] = False,
) -> None:
    """Compile three published architectures, run them, and leave a report."""
    wait_briefly()
    progress = progress_for_stderr()
    try:
        results = tuple(
            run_case(case, output / case.directory, progress, fast=not no_compile) for case in CASES
        )
        for path in write_reports(results, output):
            print_line(f"wrote {path}")
    except NasirError as error:
        print_error(error, as_json=False)
        raise typer.Exit(exit_code(error)) from None


def write_reports(results: tuple[Result, ...], directory: Path) -> tuple[Path, ...]:
    """The page, the Markdown report and the figures as JSON."""
    facts = {
        result.case.directory: result.report.facts() | {"genotype_returned": result.returned}
        for result in results
    }
    texts = {
        "report.html": html_page(results, directory),
        "report.md": markdown_report(results, directory),
        "report.json": json_text(facts, indent=2) + "\n",
    }
    return tuple(write_atomically(directory / n, text.encode()) for n, text in texts.items())


if __name__ == "__main__":
    typer.run(demo)
