"""`nasir plot`: figures of a run."""

from pathlib import Path
from typing import Annotated

import typer

from runners.commands.options import JsonOption
from runners.forms.progress import display_for_stderr
from runners.output import print_json, print_line


def plot(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run directory, or a log with genotypes.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Where figures go; RUN/plots, or LOG-plots."
        ),
    ] = None,
    benchmark: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="A store, or a benchmark's own file: for truth."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="curves, entropy, trajectory, skips, cells, eigenvalue, truth or confusion.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a run's figures, each as PNG and SVG, and its cells over epochs as a GIF.

    Of another program's log its cells are drawn, and how they changed.
    A run that is not finished is drawn as far as it went. Figures that a run has nothing for are
    left out; --json says why. Prints the files written.

    Example: nasir plot runs/drnas -o figures --benchmark nasbench201.csv.gz
    """
    with display_for_stderr().stage("draw figures"):
        from runners.plot import plot_run  # matplotlib takes its time

        done = plot_run(run, output, benchmark, tuple(only or ()))
    if as_json:
        left_out = [{"figure": each.figure, "reason": each.reason} for each in done.left_out]
        print_json({"files": [str(file) for file in done.files], "left_out": left_out})
        return
    for file in done.files:
        print_line(str(file))
