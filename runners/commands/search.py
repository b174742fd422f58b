"""`nasir search`: search a space with a method, on data, into a run directory."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from runners.commands import run_options as options
from runners.commands.options import JsonOption
from runners.output import print_json, print_line

_VALUES = {
    **options.COMMON,
    "drop_path": options.Short(
        "train.drop_path", float, "Largest probability to drop an edge, in the last epoch."
    ),
    "cutout": options.Short("pictures.cutout", int, "Side of the cut-out square."),
}

_Space = Annotated[
    str | None,
    typer.Argument(metavar="SPACE", help="A space's name, its YAML file, or an experiment's."),
]


@options.asking(_VALUES, search=True)
def search(
    asked: dict[str, Any],
    space: _Space = None,
    out: options.Out = None,
    resume: options.Resume = None,
    as_json: JsonOption = False,
) -> None:
    """Search SPACE with a method, and leave a genotype that `nasir compile` takes.

    The run directory holds settings, measures, the architecture's weights, a genotype for each
    epoch, checkpoints and TensorBoard events; a run that was killed goes on with --resume RUN and
    ends as if nothing had happened. `nasir plot RUN` draws it.

    Example: nasir search nasbench201 --method drnas --epochs 5 -o run
    """
    _show(_searched(space, out, resume, asked), as_json)


def _searched(
    space: str | None, out: Path | None, resume: Path | None, asked: dict[str, Any]
) -> Any:
    """The result of a new search, or of one that is resumed."""
    from runners.experiment import search as loop
    from runners.experiment.experiment import Experiment, merged, read_experiment

    if resume is not None:
        if out is not None:
            message = "--out and --resume contradict each other"
            raise options.wrong(message, "a run goes on where it lies")
        return loop.resume(resume, asked if space is None else {**asked, "of": space})
    if space is None:
        raise options.wrong("SPACE is missing", "nasir spaces lists them")
    found = read_experiment(space)
    if found is None:
        found = Experiment.model_validate(merged({"of": space, "search": {}}, asked))
    elif asked:
        found = found.having(asked)
    return loop.search(found, out or _fresh(found))


def _fresh(experiment: Any) -> Path:
    """runs/SPACE-METHOD-SEED, or numbered."""
    names = (Path(experiment.of).stem, Path(experiment.searching.method).stem)
    return options.fresh_run("-".join((*names, str(experiment.seed))))


def _show(result: Any, as_json: bool) -> None:
    import nasir

    text = nasir.dump_genotype(result.genotype)
    if as_json:
        import json

        facts = {"run": str(result.folder), "genotype": json.loads(text), "measures": result.row}
        facts["plan"] = result.plan.facts()
        print_json(facts)
        return
    genotype = str(result.folder / "genotype.json")
    print_line(f"genotype: {genotype}")
    print_line(f"next: nasir compile {shlex.quote(genotype)}")
