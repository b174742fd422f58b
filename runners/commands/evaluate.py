"""`nasir evaluate`: train a genotype's network from scratch, measure it, and keep it."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from runners.commands import run_options as options
from runners.commands.options import FromOption, JsonOption
from runners.output import print_json, print_line, print_table

_VALUES = {
    **options.COMMON,
    "classes": options.Short("network.classes", int, "Classes; what the data has."),
    "resolution": options.Short("network.resolution", int, "Height and width; what the data has."),
    "skeleton": options.Short(
        "network.skeleton", str, "cifar, imagenet, nasbench201, rnn, …; the space's own."
    ),
    "validation": options.Short(
        "train.validation", float, "Share of the training images to hold out."
    ),
}

_Genotype = Annotated[
    str | None,
    typer.Argument(
        metavar="GENOTYPE",
        help="A name, a file, a text, a search's run directory, or an experiment's YAML file.",
    ),
]


@options.asking(_VALUES, search=False)
def evaluate(
    asked: dict[str, Any],
    genotype: _Genotype = None,
    out: options.Out = None,
    resume: options.Resume = None,
    from_: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train GENOTYPE's network as a recipe says, measure it on held-out data, and keep its weights.

    The run directory holds settings, measures, checkpoints, TensorBoard events and, at the end,
    weights, a confusion matrix and a summary. A run that was killed goes on with --resume RUN and
    ends as if nothing had happened. `nasir plot RUN` draws it, `nasir compile RUN` exports it.

    Example: nasir evaluate darts_v2 --recipe digits -o run
    """
    del from_  # its callback reads it
    _show(_evaluated(genotype, out, resume, asked), as_json)


def _evaluated(
    genotype: str | None, out: Path | None, resume: Path | None, asked: dict[str, Any]
) -> Any:
    """The result of a new training, or of one that is resumed."""
    from runners.experiment import train as training
    from runners.experiment.experiment import Experiment, read_experiment

    for name in ("inherit", "weights"):
        if name in asked:
            asked[name] = str(Path(asked[name]).absolute())
    if resume is not None:
        if out is not None or genotype is not None:
            message = "--resume takes neither GENOTYPE nor --out"
            raise options.wrong(message, "a run goes on where it lies, with what it began")
        return training.resume(resume, asked)
    genotype = genotype or asked.get("inherit")
    if genotype is None:
        raise options.wrong("GENOTYPE is missing", "nasir spaces --genotypes lists published ones")
    found = read_experiment(genotype)
    if found is None:
        found = Experiment.model_validate({"of": genotype, **asked})
    elif asked:
        found = found.having(asked)
    return training.evaluate(found, out or _fresh(found))


def _fresh(experiment: Any) -> Path:
    """runs/GENOTYPE-RECIPE-SEED, or numbered."""
    from runners.inputs import read_named

    name = read_named(experiment.of, experiment.space).name
    recipe = Path(experiment.recipe or "cifar10").stem
    return options.fresh_run("-".join((name, recipe, str(experiment.seed))))


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(result.folder), **result.summary})
        return
    from runners.experiment.train import summary_table

    print_table(summary_table(result.summary))
    print_line(f"weights: {result.folder / 'weights.safetensors'}")
    run = shlex.quote(str(result.folder))
    print_line(f"next: nasir plot {run}; nasir compile {run} --onnx net.onnx")
