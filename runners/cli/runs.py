"""Commands that compute: compile, search, evaluate, test, replay, plot, import-weights."""

import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import nasir
from runners.cli.options import Fields, GenotypeArgument, RayOption, SpaceOption, wrong_call
from runners.experiment.experiment import Experiment, read_experiment
from runners.experiment.fields import from_text, merged, sections
from runners.experiment.recipe import Recipe
from runners.experiment.sizes import NetworkSection, Sizes, describe_size
from runners.folder.display import display_for_stderr
from runners.forms.compile import AUTO, TARGETS, NetworkTest, Options, compile_genotype
from runners.forms.report import report_parts
from runners.inputs import read_named
from runners.output import Cell, Reply, TextTable

SAME, DIFFERENT = 0, 1

WRITTEN = 12
"""Maximum number of classes in a printed confusion matrix."""


@dataclass(frozen=True, slots=True)
class Values:
    """Settings of recipes and methods with their own option, as sizes have."""

    epochs: int | None = None
    """Total epochs; the method's or the recipe's own."""
    batch: int | None = None
    """Images, or columns of text, per step."""
    validation: float | None = None
    """Share of the training images to hold out."""
    drop_path: float | None = None
    """Maximum probability of dropping an edge, in the last epoch."""
    cutout: int | None = None
    """Side of the cutout square."""


Asked = dict[str, Any]

_Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="RUN", help="The run directory to create.")
]
_Resume = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Continue a run that was stopped.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A value: optimizer.lr=0.05."),
]


def compile(
    genotype: GenotypeArgument,
    options: Annotated[
        Options, Fields(Options, without=("recipe", "limit", "directory", "target"))
    ],
    target: Annotated[
        str | None,
        typer.Option(help=f"{', '.join(TARGETS)}; {AUTO} selects the fastest exact one."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Write ONNX, Python, drawings and report here."
        ),
    ] = None,
) -> Reply:
    """Compile a genotype: a network in torch, and ONNX, plain Python and drawings of it.

    Prints cost, passes, output shape, speed, and each file's difference from the network in torch.
    Files are written only if an option names them. GENOTYPE may be the run directory of `nasir
    evaluate`: its weights are used, and each file's accuracy is compared on its data.

    Example: nasir compile darts_v2 --channels 16 --layers 8 -o out
    """
    options = options.having(target=target, directory=output)
    done = compile_genotype(genotype, options, display_for_stderr())
    return Reply(done.facts, report_parts(done))


def search(
    asked: Annotated[
        Asked,
        Fields(
            Experiment,
            without=("of", "recipe", "space", "inherit", "weights", "without_head", "values"),
        ),
    ],
    values: Annotated[Asked, Fields(Values, without=("validation",))],
    sizes: Annotated[Asked, Fields(Sizes, without=("classes", "resolution"))],
    space: Annotated[
        str | None,
        typer.Argument(metavar="SPACE", help="A space's name, its YAML file, or an experiment's."),
    ] = None,
    out: _Out = None,
    resume: _Resume = None,
    set_: _Set = None,
    ray: RayOption = None,
) -> Reply:
    """Search SPACE with a method, and write a genotype for `nasir compile`.

    The run directory has settings, metrics, the architecture's weights, a genotype for each epoch,
    checkpoints and TensorBoard events. --resume RUN continues a killed run, with the same result.
    `nasir plot RUN` draws it.

    Methods without a supernet (evolution, bananas, …) ask --value for values of genotypes; with
    --ray, workers tell those that are asked for together.

    Example: nasir search nasbench201 --method drnas --epochs 5 -o run
    """
    from runners.experiment import search as loop

    asked |= _values(values | sizes, set_)
    if resume is not None:
        if out is not None:
            message = "--out and --resume contradict each other"
            raise wrong_call(message, "a run continues in its own directory")
        named = asked if space is None else {**asked, "of": space}
        result = loop.resume(resume, named, ray=ray)
    else:
        if space is None:
            raise wrong_call("SPACE is missing", "nasir spaces lists them")
        found = _experiment(space, merged({"search": {}}, asked), asked)
        names = (found.of, found.searching.method)
        out = out or _fresh_run(found, *(Path(name).stem for name in names))
        result = loop.search(found, out, ray=ray)
    path = str(result.folder / "genotype.json")
    facts = {
        "run": str(result.folder),
        "genotype": json.loads(nasir.dump_genotype(result.genotype)),
        "measures": result.row,
        "plan": result.plan.facts(),
    }
    run, file = shlex.quote(str(result.folder)), shlex.quote(path)
    following = f"next: nasir evaluate {run} --recipe RECIPE (nasir recipes); nasir compile {file}"
    return Reply(facts, (f"genotype: {path}", following))


def evaluate(
    asked: Annotated[Asked, Fields(Experiment, without=("of", "search", "memory", "values"))],
    values: Annotated[Asked, Fields(Values, without=("drop_path", "cutout"))],
    sizes: Annotated[Asked, Fields(NetworkSection)],
    genotype: Annotated[
        str | None,
        typer.Argument(
            metavar="GENOTYPE",
            help="A name, a file, a text, a search's run directory, or an experiment's YAML file.",
        ),
    ] = None,
    out: _Out = None,
    resume: _Resume = None,
    set_: _Set = None,
) -> Reply:
    """Train GENOTYPE's network by a recipe, measure it on held-out data, and save its weights.

    The run directory has settings, metrics, checkpoints, TensorBoard events and, at the end,
    weights, a confusion matrix and a summary. --resume RUN continues a killed run, with the same
    result. `nasir plot RUN` draws it, `nasir compile RUN` exports it.

    Example: nasir evaluate darts_v2 --recipe digits -o run
    """
    from runners.experiment import train as training

    asked |= _values(values | sizes, set_)
    for name in {"inherit", "weights"} & asked.keys():
        asked[name] = str(Path(asked[name]).absolute())
    if resume is not None:
        if out is not None or genotype is not None:
            message = "--resume takes neither GENOTYPE nor --out"
            raise wrong_call(message, "a run continues in its own directory, with its own genotype")
        result = training.resume(resume, asked)
    else:
        genotype = genotype or asked.get("inherit")
        if genotype is None:
            raise wrong_call("GENOTYPE is missing", "nasir spaces --genotypes lists published ones")
        found = _experiment(genotype, asked, asked)
        result = training.evaluate(found, out or _fresh_training(found))
    run = shlex.quote(str(result.folder))
    lines = (
        f"weights: {result.folder / 'weights.safetensors'}",
        f"next: nasir plot {run}; nasir compile {run} --onnx net.onnx",
    )
    facts = {"run": str(result.folder), **result.summary}
    return Reply(facts, (training.summary_table(result.summary), *lines))


def _experiment(argument: str, whole: Asked, changed: Asked) -> Experiment:
    """Returns the experiment of a file with changes, or else a new one on `argument`."""
    found = read_experiment(argument)
    if found is None:
        return Experiment(of=argument, **whole)
    return found.having(**changed) if changed else found


def _values(short: Asked, texts: list[str] | None) -> Asked:
    """Returns the `values` of an experiment by section and name, if any."""
    known = sections(Recipe())
    found = {
        f"{next(name for name, section in known.items() if hasattr(section, key))}.{key}": value
        for key, value in short.items()
    }
    found |= dict(map(_value, texts or ()))
    return {"values": found} if found else {}


def _value(text: str) -> tuple[str, bool | int | float | str]:
    """Parses the name and the value of a `--set`."""
    name, equals, given = text.partition("=")
    if not equals:
        raise wrong_call(f"--set '{text}' is not NAME=VALUE", "for example --set optimizer.lr=0.05")
    return name, given == "true" if given in ("true", "false") else from_text(given)


def _fresh_training(experiment: Experiment) -> Path:
    name = read_named(experiment.of, experiment.space).name
    return _fresh_run(experiment, name, Path(experiment.recipe or "cifar10").stem)


def _fresh_run(experiment: Experiment, *names: str) -> Path:
    """Returns runs/NAMES-SEED, numbered if it exists and torchrun does not continue it."""
    from runners.experiment.run import is_restart

    stem = "-".join((*names, str(experiment.seed)))
    number, path, last = 1, Path("runs") / stem, Path()
    while path.exists():
        last = path
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return last if is_restart(last) else path


def test(
    genotype: Annotated[
        str,
        typer.Argument(metavar="GENOTYPE", help="A name, a file, a run directory, an ONNX model."),
    ],
    asked: Annotated[Asked, Fields(NetworkTest, without=("genotype",))],
) -> Reply:
    """Measure GENOTYPE's network with trained weights: loss, accuracy or perplexity, confusion.

    The size is that of the run, or of nasir's weights file, unless an option sets it.

    Example: nasir test darts_v2 --weights run/weights.safetensors --data digits
    """
    with display_for_stderr().stage("measure"):
        from runners.experiment.train import summary_table
        from runners.forms.test import run_test

        facts = run_test(NetworkTest(genotype=genotype, **asked))
    classes = facts["classes"]
    parts: list[str | TextTable] = [summary_table(facts)]
    if 0 < len(classes) <= WRITTEN:
        rows: list[tuple[Cell, ...]] = [
            (name, *row) for name, row in zip(classes, facts["confusion"], strict=True)
        ]
        parts += ["", TextTable("", ("true \\ predicted", *classes), tuple(rows))]
    return Reply(facts, parts)


def replay(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a finished run.")],
) -> Reply:
    """Repeat a search or a training, and check that the result is bitwise equal.

    Compares metrics, architecture weights, genotype and network weights. Exit code 0 if they are
    equal, 1 if not.

    Example: nasir replay runs/nasbench201-drnas-0
    """
    from runners.experiment.trained import replay as repeat

    found = repeat(run)
    line = f"{run} repeats to the bit: {found.epochs} epochs and the genotype"
    if found.difference:
        line = f"{run} does not repeat: {found.difference}"
    facts = {"run": str(run), "epochs": found.epochs, "difference": found.difference}
    return Reply(facts, (line,), DIFFERENT if found.difference else SAME)


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
            help="curves, entropy, trajectory, skips, cells, eigenvalue, truth, confusion, "
            "queries.",
        ),
    ] = None,
) -> Reply:
    """Draw a run's figures, each as PNG and SVG, and its cells over epochs as a GIF.

    For another program's log, draws its cells and their changes. An unfinished run is drawn up to
    its last epoch. Figures without content are skipped; --json has the reasons. Prints the files
    written.

    Example: nasir plot runs/drnas -o figures --benchmark nasbench201.csv.gz
    """
    with display_for_stderr().stage("draw figures"):
        from runners.plot import plot_run  # matplotlib takes time to import

        done = plot_run(run, output, benchmark, tuple(only or ()))
    files = [str(file) for file in done.files]
    left_out = [{"figure": name, "reason": why} for name, why in done.left_out.items()]
    return Reply({"files": files, "left_out": left_out}, files)


def import_weights(
    genotype: GenotypeArgument,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A state dict: .pt, .pth or .safetensors.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="OUT", help="The safetensors file to write."),
    ],
    space: SpaceOption = None,
    skeleton: Annotated[
        str | None,
        typer.Option(help="cifar, imagenet, nasbench201, rnn, …; the space's own by default."),
    ] = None,
) -> Reply:
    """Translate an original implementation's weights of GENOTYPE into nasir's keys.

    Supports NetworkCIFAR, NetworkImageNet and RNNModel of DARTS, its copies and AutoDL-Projects,
    NAS-Bench-201's TinyNetwork, and supernets of DARTS, for which GENOTYPE is the space. Files are
    loaded without running their code; sizes are read from the tensors. `nasir compile` and `nasir
    test` accept the result with --weights.

    Example: nasir import-weights darts_v2 cifar10_model.pt -o darts_v2.safetensors
    """
    from runners.originals import import_weights as do_import

    done = do_import(genotype, file, output, skeleton, space)
    rows: list[tuple[Cell, ...]] = [
        ("from", done.family),
        ("network", describe_size(done.size) + (", auxiliary head" if done.auxiliary else "")),
        ("tensors", done.tensors),
        ("numbers", done.numbers),
        ("left out", ", ".join(done.left_out) or "nothing"),
    ]
    return Reply(
        asdict(done), (TextTable("", (done.genotype, ""), tuple(rows)), f"wrote {done.file}")
    )
