"""`nasir search`: search a space with a method, on data, into a run directory."""

from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from runners.commands.options import JsonOption
from runners.output import print_json, print_line

SIZES = ("channels", "layers", "hidden", "vocabulary")
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
    space: Annotated[
        str | None, typer.Argument(metavar="SPACE", help="A space's name, or its YAML file.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="A method (`nasir methods`), or a YAML file. darts.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="digits, cifar10:PATH, imagefolder:PATH, FILE.npz, text:PATH, … digits."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="RUN", help="The run directory to make.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="0.")] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs of all stages; the method's own. Warm-ups scale.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Pictures, or columns of text, a step.")] = None,
    steps: Annotated[int | None, typer.Option(help="End each epoch after so many steps.")] = None,
    channels: Annotated[int | None, typer.Option(help="Initial channels.")] = None,
    layers: Annotated[int | None, typer.Option(help="Cells; for nasbench201, in a stage.")] = None,
    hidden: Annotated[int | None, typer.Option(help="Units of the recurrent network.")] = None,
    vocabulary: Annotated[int | None, typer.Option(help="Words; what the data has.")] = None,
    channels_fraction: Annotated[
        str | None, typer.Option(metavar="1/K", help="Ops see 1/K of the channels.")
    ] = None,
    mixture: Annotated[
        str | None,
        typer.Option(help="softmax, dirichlet, gumbel, hard-gumbel, uniform, controller."),
    ] = None,
    edges: Annotated[str | None, typer.Option(help="none or softmax: weigh edges.")] = None,
    perturb: Annotated[str | None, typer.Option(help="none, noise or pgd.")] = None,
    architect: Annotated[
        str | None, typer.Option(help="first, second, frozen or reinforce.")
    ] = None,
    regularise: Annotated[str | None, typer.Option(help="l2 or kl.")] = None,
    select: Annotated[str | None, typer.Option(help="argmax, projection, best-of or draw.")] = None,
    early_stop: Annotated[str | None, typer.Option(help="none or eigenvalue.")] = None,
    drop_path: Annotated[
        float | None, typer.Option(help="Largest probability to drop an edge, in the last epoch.")
    ] = None,
    interval: Annotated[int | None, typer.Option(help="Epochs between projections. 5.")] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Architectures that best-of measures.")
    ] = None,
    batches: Annotated[
        int | None, typer.Option(help="Held-out batches that selection measures on; 0 for all.")
    ] = None,
    split: Annotated[
        float | None, typer.Option(help="Share of the training data for the weights. 0.5.")
    ] = None,
    shuffled: Annotated[
        bool, typer.Option("--shuffled", help="Split by the seed, not in file order.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(help="At most so many pictures (tokens) of each part.")
    ] = None,
    cutout: Annotated[int | None, typer.Option(help="Side of the cut-out square. 0.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting, such as rate=0.05."),
    ] = None,
    validate: Annotated[str | None, typer.Option(help="each or last (epoch).")] = None,
    memory: Annotated[str | None, typer.Option(help="none, cells or states.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bf16.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="Repeat to the bit on a GPU too.")
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option("--as-published", help="Keep known defects of the published code."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Search SPACE with a method, and leave a genotype that `nasir compile` takes.

    The run directory holds settings, measures, the architecture's weights, a genotype for each
    epoch, checkpoints and TensorBoard events; a run that was killed goes on with --resume RUN and
    ends as if nothing had happened. `nasir plot RUN` draws it.

    Example: nasir search nasbench201 --method drnas --epochs 5 -o run
    """
    given: dict[str, Any] = ctx.params
    asked = _asked(given)
    from runners import loop

    if resume is not None:
        if space is not None:
            asked["space"] = space
        _check_alone(out)
        result = loop.resume(resume, asked)
    else:
        if space is None:
            raise _missing("SPACE", "nasir spaces lists them")
        request = loop.Request(space, **asked)
        result = loop.search(request, out or _fresh(request))
    _show(result, as_json)


def _asked(given: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request that were named."""
    asked = {name: given[name] for name in PLAIN if given[name] is not None}
    asked |= {name: True for name in FLAGS if given[name]}
    parts = {kind: given[name] for name, kind in PARTS.items() if given[name] is not None}
    sizes = {name: given[name] for name in SIZES if given[name] is not None}
    values = dict(_value(text) for text in given["set_"] or ())
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
            raise _wrong(f"--{name} is '{given[name]}'", f"one of: {', '.join(known)}")
    return asked


def _value(text: str) -> tuple[str, float]:
    name, equals, value = text.partition("=")
    try:
        if equals:
            return name, float(Fraction(value)) if "/" in value else float(value)
    except (ValueError, ZeroDivisionError):
        pass
    raise _wrong(f"--set '{text}' is no NAME=NUMBER", "for example --set rate=0.05")


def _fresh(request: Any) -> Path:
    """runs/SPACE-METHOD-SEED, numbered where that is taken."""
    stem = "-".join((Path(request.space).stem, Path(request.method).stem, str(request.seed)))
    number, path = 1, Path("runs") / stem
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path


def _check_alone(out: Path | None) -> None:
    if out is not None:
        raise _wrong("--out and --resume contradict each other", "a run goes on where it lies")


def _missing(what: str, hint: str) -> Exception:
    return _wrong(f"{what} is missing", hint)


def _wrong(message: str, hint: str) -> Exception:
    from nasir import NasirError

    return NasirError("E505", message, hint=hint)


def _show(result: Any, as_json: bool) -> None:
    import nasir

    text = nasir.dump_genotype(result.genotype)
    if as_json:
        import json

        facts = {"run": str(result.folder), "genotype": json.loads(text), "measures": result.row}
        print_json(facts)
        return
    print_line(f"genotype: {result.folder / 'genotype.json'}")
    print_line(f"next: nasir compile {result.folder / 'genotype.json'}")
