"""Commands on many runs: sweep, compare."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from runners.cli.options import RayOption
from runners.folder.display import display_for_stderr
from runners.output import FAILED, FileText, Reply

_Table = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="A benchmark with test accuracies of found cells."),
]


def sweep(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A sweep's YAML file.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="DIR", help="The folder of runs and tables.")
    ],
    ray: RayOption = None,
    table: _Table = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the commands of trials that are not done.")
    ] = False,
) -> Reply:
    """Run every trial of a sweep: an experiment whose fields are lists, each value once.

    DIR has a run directory for each trial, and at the end a table (Markdown, CSV, JSON, HTML,
    LaTeX) and curves. The same command after a kill goes on: finished trials are not run again.
    With --dry-run, nothing is run: a batch system can run the printed lines.

    Example: nasir sweep sweep.yaml -o results
    """
    from runners.sweeps.trials import read_sweep

    found = read_sweep(file, out)
    if dry_run:
        lines = [trial.command for trial in found.trials if not trial.done]
        return Reply(lines, (FileText("".join(f"{line}\n" for line in lines)),))
    from runners.sweeps.results import compare_runs, write_tables
    from runners.sweeps.running import sweep as run

    failed = run(file, out, ray)
    ended = [trial.folder for trial in found.trials if trial.done]
    code = FAILED if failed else 0
    errors = tuple(failed.values())
    if not ended:
        return Reply({"failed": sorted(failed), "files": []}, (), code, errors)
    comparison = compare_runs(ended, table)
    files = [str(path) for path in write_tables(comparison, out)]
    facts = {**comparison.facts, "failed": sorted(failed), "files": files}
    return Reply(facts, (comparison.table, *files), code, errors)


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run directories.")],
    table: _Table = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write tables and curves here."),
    ] = None,
) -> Reply:
    """Compare runs by every setting that differs except the seed.

    Prints mean, deviation, best, worst, cost, the published figure, and the difference to the
    method random with a 95 % bootstrap interval. A method within noise of random is marked.

    Example: nasir compare results/* --table nasbench201.csv.gz -o figures
    """
    with display_for_stderr().stage("compare"):
        from runners.sweeps.results import compare_runs, write_tables

        folders = [run for run in runs if not run.is_file()]  # tables beside them: results/*
        found = compare_runs(folders, table)
        files = [] if output is None else [str(path) for path in write_tables(found, output)]
    lines = [f"unfinished: {shlex.quote(path)}" for path in found.unfinished]
    return Reply({**found.facts, "files": files}, (found.table, *lines, *files))
