"""`nasir evaluate`: train a genotype's network from scratch, measure it, and keep it."""

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from runners.commands import run_options as options
from runners.commands.options import FromOption, JsonOption, SkeletonOption, SpaceOption
from runners.output import print_json, print_line, print_table

SIZES = ("channels", "layers", "classes", "resolution", "in_channels", "hidden", "vocabulary")
PLAIN = ("recipe", "data", "seed", "skeleton", "space", "limit", "steps", "device")
VALUES = {
    "epochs": "train.epochs",
    "batch": "train.batch",
    "validation": "train.validation",
    "precision": "run.precision",
}
"""Options that are values of a recipe."""

_Genotype = Annotated[
    str | None,
    typer.Argument(metavar="GENOTYPE", help="A name, a file, a text, or a search's run directory."),
]
_Recipe = Annotated[
    str | None, typer.Option(help="A recipe (`nasir recipes`), or a YAML file. cifar10.")
]
_Epochs = Annotated[int | None, typer.Option(help="Epochs; the recipe's own.")]
_Layers = Annotated[int | None, typer.Option(help="Cells; the recipe's own.")]
_Classes = Annotated[int | None, typer.Option(help="Classes; what the data has.")]
_Resolution = Annotated[int | None, typer.Option(help="Height and width; what the data has.")]
_Validation = Annotated[
    float | None, typer.Option(help="Share of the training pictures to hold out. 0.")
]
_Inherit = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Begin with the weights of that search.")
]
_Weights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Begin with these weights, or those of a run.")
]


def evaluate(
    ctx: typer.Context,
    genotype: _Genotype = None,
    recipe: _Recipe = None,
    data: options.Data = None,
    out: options.Out = None,
    resume: options.Resume = None,
    set_: options.Set = None,
    seed: options.Seed = None,
    epochs: _Epochs = None,
    batch: options.Batch = None,
    steps: options.Steps = None,
    skeleton: SkeletonOption = None,
    channels: options.Channels = None,
    layers: _Layers = None,
    classes: _Classes = None,
    resolution: _Resolution = None,
    in_channels: options.InChannels = None,
    hidden: options.Hidden = None,
    vocabulary: options.Vocabulary = None,
    space: SpaceOption = None,
    from_: FromOption = None,
    validation: _Validation = None,
    limit: options.Limit = None,
    inherit: _Inherit = None,
    weights: _Weights = None,
    device: options.Device = None,
    precision: options.Precision = None,
    deterministic: options.Deterministic = False,
    as_json: JsonOption = False,
) -> None:
    """Train GENOTYPE's network as a recipe says, measure it on held-out data, and keep its weights.

    The run directory holds settings, measures, checkpoints, TensorBoard events and, at the end,
    weights, a confusion matrix and a summary. A run that was killed goes on with --resume RUN and
    ends as if nothing had happened. `nasir plot RUN` draws it, `nasir compile RUN` exports it.

    Example: nasir evaluate darts_v2 --recipe digits -o run
    """
    _show(_evaluated(ctx.params), as_json)


def _evaluated(given: dict[str, Any]) -> Any:
    """The result of a new training, or of one that goes on."""
    asked = _asked(given)
    from runners.experiment import training

    genotype, resume = given["genotype"], given["resume"]
    if resume is not None:
        if given["out"] is not None or genotype is not None:
            message = "--resume takes neither GENOTYPE nor --out"
            raise options.wrong(message, "a run goes on where it lies, with what it began")
        return training.resume(resume, asked)
    genotype = genotype or (given["inherit"] and str(given["inherit"]))
    if genotype is None:
        raise options.wrong("GENOTYPE is missing", "nasir spaces --genotypes lists published ones")
    request = training.Training(genotype, **asked)
    return training.evaluate(request, given["out"] or _fresh(request))


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request that were named."""
    asked = {name: given[name] for name in PLAIN if given[name] is not None}
    asked |= {name: str(given[name].absolute()) for name in ("inherit", "weights") if given[name]}
    if given["deterministic"]:
        asked["deterministic"] = True
    sizes = {name: given[name] for name in SIZES if given[name] is not None}
    values = {key: str(given[name]) for name, key in VALUES.items() if given[name] is not None}
    values |= dict(map(options.value, given["set_"] or ()))
    if sizes:
        asked["sizes"] = sizes
    if values:
        asked["values"] = values
    return asked


def _fresh(request: Any) -> Path:
    """runs/GENOTYPE-RECIPE-SEED, or numbered."""
    from runners.inputs import read_named

    name = read_named(request.genotype, request.space).name
    return options.fresh_run("-".join((name, Path(request.recipe).stem, str(request.seed))))


def _show(result: Any, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(result.folder), **result.summary})
        return
    from runners.experiment.train import summary_table

    print_table(summary_table(result.summary))
    print_line(f"weights: {result.folder / 'weights.safetensors'}")
    run = shlex.quote(str(result.folder))
    print_line(f"next: nasir plot {run}; nasir compile {run} --onnx net.onnx")
