"""`nasir search`: search a space with a method, on data, into a run directory."""

import shlex
from pathlib import Path
from typing import Any

import typer

from runners.commands import run_options as options
from runners.commands.options import JsonOption
from runners.output import print_json, print_line

SIZES = ("channels", "layers", "in_channels", "hidden", "vocabulary")
PARTS = {
    "mixture": "mixture",
    "edges": "edges",
    "perturb": "perturb",
    "architect": "architect",
    "regularise": "regularise",
    "select": "select",
    "early_stop": "stop",
}
PLAIN = (
    "method",
    "data",
    "seed",
    "epochs",
    "batch",
    "drop_path",
    "interval",
    "candidates",
    "batches",
    "steps",
    "split",
    "limit",
    "cutout",
    "validate",
    "memory",
    "device",
    "precision",
)
FLAGS = ("shuffled", "deterministic", "as_published")


def search(
    ctx: typer.Context,
    space: options.Space = None,
    method: options.Method = None,
    data: options.Data = None,
    out: options.Out = None,
    resume: options.Resume = None,
    seed: options.Seed = None,
    epochs: options.Epochs = None,
    batch: options.Batch = None,
    steps: options.Steps = None,
    channels: options.Channels = None,
    layers: options.Layers = None,
    in_channels: options.InChannels = None,
    hidden: options.Hidden = None,
    vocabulary: options.Vocabulary = None,
    channels_fraction: options.ChannelsFraction = None,
    mixture: options.Mixture = None,
    edges: options.Edges = None,
    perturb: options.Perturb = None,
    architect: options.Architect = None,
    regularise: options.Regularise = None,
    select: options.Select = None,
    early_stop: options.EarlyStop = None,
    drop_path: options.DropPath = None,
    interval: options.Interval = None,
    candidates: options.Candidates = None,
    batches: options.Batches = None,
    split: options.Split = None,
    shuffled: options.Shuffled = False,
    limit: options.Limit = None,
    cutout: options.Cutout = None,
    set_: options.Set = None,
    validate: options.Validate = None,
    memory: options.Memory = None,
    device: options.Device = None,
    precision: options.Precision = None,
    deterministic: options.Deterministic = False,
    as_published: options.AsPublished = False,
    as_json: JsonOption = False,
) -> None:
    """Search SPACE with a method, and leave a genotype that `nasir compile` takes.

    The run directory holds settings, measures, the architecture's weights, a genotype for each
    epoch, checkpoints and TensorBoard events; a run that was killed goes on with --resume RUN and
    ends as if nothing had happened. `nasir plot RUN` draws it.

    Example: nasir search nasbench201 --method drnas --epochs 5 -o run
    """
    _show(_searched(ctx.params), as_json)


def _searched(given: dict[str, Any]) -> Any:
    """The result of a new search, or of one that goes on."""
    asked = _asked(given)
    from runners.experiment import loop

    space, resume = given["space"], given["resume"]
    if resume is not None:
        _check_alone(given["out"])
        return loop.resume(resume, asked if space is None else {**asked, "space": space})
    if space is None:
        raise _missing("SPACE", "nasir spaces lists them")
    request = loop.Request(space, **asked)
    return loop.search(request, given["out"] or _fresh(request))


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request that were named."""
    asked = {name: given[name] for name in PLAIN if given[name] is not None}
    asked |= {name: True for name in FLAGS if given[name]}
    parts = {kind: given[name] for name, kind in PARTS.items() if given[name] is not None}
    sizes = {name: given[name] for name in SIZES if given[name] is not None}
    values = dict(options.value(text) for text in given["set_"] or ())
    if parts:
        asked["parts"] = parts
    if sizes:
        asked["sizes"] = sizes
    if values:
        asked["values"] = values
    if given["channels_fraction"] is not None:
        asked["fraction"] = given["channels_fraction"]
    for name, known in (("validate", ("each", "last")), ("memory", ("none", "cells", "states"))):
        if given[name] is not None and given[name] not in known:
            raise options.wrong(f"--{name} is '{given[name]}'", f"one of: {', '.join(known)}")
    return asked


def _fresh(request: Any) -> Path:
    """runs/SPACE-METHOD-SEED, or numbered."""
    stem = "-".join((Path(request.space).stem, Path(request.method).stem, str(request.seed)))
    return options.fresh_run(stem)


def _check_alone(out: Path | None) -> None:
    if out is not None:
        raise options.wrong(
            "--out and --resume contradict each other", "a run goes on where it lies"
        )


def _missing(what: str, hint: str) -> Exception:
    return options.wrong(f"{what} is missing", hint)


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
