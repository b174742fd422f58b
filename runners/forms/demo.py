"""`python -m runners.forms.demo -o DIR`: compiles three genotypes and writes a page to DIR."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from nasir.errors import NasirError
from nasir.files import write_atomically
from nasir.formats import load_genotype
from nasir.space.load import spaces_directory
from runners import view
from runners.experiment.sizes import NetworkSize
from runners.folder.display import Display, display_for_stderr
from runners.forms.compile import Options, compile_genotype
from runners.forms.report import Report, html_page
from runners.machine.machine import set_openmp_wait_policy
from runners.output import exit_code, print_error, print_line
from runners.view.architecture import genotype_document

TITLE = "nasir: three genotypes, compiled"
INTRODUCTION = (
    "A published genotype by its name, a file in the JSON of nnabla's DARTS example, and an "
    "architecture of NAS-Bench-201 by its string: each became a typed graph, went through the "
    "passes, and was made in several forms, which were run and compared with the network in eager "
    "torch. The weights are random."
)


SMALL = NetworkSize(channels=16, layers=8)

CASES: Mapping[str, tuple[str | Path, Options]] = {
    "darts_v2": ("darts_v2", Options(size=SMALL)),
    "nnabla": (
        spaces_directory() / "examples" / "DARTS_arch.json",
        Options(size=SMALL, compile=False),
    ),
    "nasbench201": (
        (
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
            "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
        ),
        Options(compile=False),
    ),
}
"""Genotypes and options by directory. torch.compile takes most of the minute, so only one uses it.
"""


def run_demo(
    cases: Mapping[str, tuple[str | Path, Options]], output: Path, progress: Display
) -> tuple[Path, ...]:
    """Compiles every case into its own directory; returns the pages.

    They are that of all reports, and one to edit the first genotype in.
    """
    reports: list[Report] = []
    for name, (genotype, options) in cases.items():
        with progress.stage(name):
            options = options.having(directory=output / name)
            reports.append(compile_genotype(genotype, options, progress))
    page = html_page(reports, output, TITLE, INTRODUCTION)
    genotype, options = next(iter(cases.values()))
    with progress.stage("page to edit"):
        document = genotype_document(load_genotype(genotype), options.size)
    return (
        write_atomically(output / "report.html", page.encode()),
        write_atomically(output / "edit.html", view.html_page(document).encode()),
    )


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the results go.")
    ] = Path("demo-output"),
) -> None:
    """Compile three published architectures, run them, and write a page."""
    set_openmp_wait_policy()
    try:
        pages = run_demo(CASES, output, display_for_stderr())
    except NasirError as error:
        print_error(error, as_json=False)
        raise typer.Exit(exit_code(error)) from None
    for page in pages:
        print_line(f"wrote {page}")


if __name__ == "__main__":
    typer.run(demo)
