"""`nasir replay`: do a run again and compare."""

from pathlib import Path
from typing import Annotated

import typer

from runners.commands.options import JsonOption
from runners.output import print_json, print_line

SAME, DIFFERENT = 0, 1


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a finished run.")],
    as_json: JsonOption = False,
) -> None:
    """Run a search or a training again, and check that it gives the same, to the bit.

    Measures, architecture weights, genotype and network weights are compared. Exit code 0 if they
    are equal, 1 if not.

    Example: nasir replay runs/nasbench201-drnas-0
    """
    from runners.experiment.trained import replay as repeat

    found = repeat(run)
    if as_json:
        print_json({"run": str(run), "epochs": found.epochs, "difference": found.difference})
    elif found.difference:
        print_line(f"{run} does not repeat: {found.difference}")
    else:
        print_line(f"{run} repeats to the bit: {found.epochs} epochs and the genotype")
    raise typer.Exit(DIFFERENT if found.difference else SAME)
