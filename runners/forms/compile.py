"""Options for compiling and testing a network; compiles a genotype end to end.

Importing this module does not import torch, and wrong options fail before torch is imported.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictBool

import nasir
from nasir.arguments import checked
from nasir.errors import NasirError, Where, nearest, quoted
from nasir.passes import INFERENCE
from nasir.space import adopt
from runners.experiment.fields import AnyCount, BatchSize, Limit, Model, Seed
from runners.experiment.recipe import Recipe
from runners.experiment.sizes import NetworkSize
from runners.experiment.trained import find_trained
from runners.folder.display import Display
from runners.forms.report import Clock, Report
from runners.inputs import check_directory, check_file, named, read_named
from runners.machine.machine import check_alone

AUTO = "auto"

REPORT = "report.json"
"""The report in a compilation's directory."""

TARGETS = (
    "eager", "published", "channels_last", "folded", "folded_last", "compiled", "package",
    "onnxruntime", "python", "export", "int8_dynamic", "int8_static",
)  # fmt: skip
"""The names of the forms in `runners.forms.table`, which imports torch."""


class Options(Model):
    """How to compile, and which files to write; None: not written.

    The docstrings of fields are the help of `nasir compile`. Files without a path of their own,
    except exported programs, are written to `directory`. `recipe` defines the normalisation of
    `data`; `limit` is the run's. `target` is a form of `runners.forms.table`, or `auto` for the
    fastest.
    """

    code: ClassVar[str] = "E505"

    size: NetworkSize = NetworkSize()
    weights: Path | None = None
    """Weights to load (safetensors)."""
    without_head: StrictBool = False
    """Leave the head out of the weights: for other classes."""
    features: StrictBool = False
    """Give the outputs of the stages instead of the head's."""
    seed: Seed = 0
    """Seed of the initial weights."""
    compile: StrictBool = True
    """Skip torch.compile, which can take minutes."""
    batch: BatchSize = 1
    """Images per measured call."""
    device: str = "cpu"
    """Device for latencies: cpu or cuda."""
    space: str | Path | None = None
    """The genotype's space: a name or a YAML file; by default, the space that the genotype names.
    """
    onnx: Path | None = None
    """Write an ONNX model."""
    python: Path | None = None
    """Write a stand-alone Python file, with its weights in a .safetensors file."""
    export: Path | None = None
    """Write a torch.export program (.pt2)."""
    draw: Path | None = None
    """Write drawings of the cells into this directory."""
    report: Path | None = None
    """Write the report: FILE.json, or FILE.html."""
    directory: Path | None = None
    inline: StrictBool = False
    """Write the ONNX model without functions."""
    dynamic: StrictBool = False
    """Write the ONNX model for images of any height and width."""
    half: StrictBool = False
    """Write the ONNX model in float16."""
    opset: Annotated[int, Field(strict=True, ge=17, le=21)] | None = None
    """ONNX opset, 17 to 21; 21."""
    data: str | None = None
    """Compare accuracies on this data: cifar10:PATH, …; a run's own."""
    check: AnyCount = 1000
    """Number of held-out images (tokens) to compare on; 0: none."""
    recipe: Recipe | None = None
    limit: Limit | None = None
    quantise: Literal["dynamic", "static"] | None = None
    """dynamic or static: also write an 8-bit ONNX model."""
    target: str | None = None
    ship: Path | None = None
    """Write the target's network and a program that runs it into this directory."""

    @property
    def onnx_options(self) -> Mapping[str, bool | int]:
        """Returns the options of `lowering.to_onnx` that are set."""
        named = {name: getattr(self, name) for name in ("inline", "dynamic", "half", "opset")}
        return {name: value for name, value in named.items() if value}

    def files(self) -> Mapping[str, Path]:
        """Returns the files to write, by form."""
        named = {"onnxruntime": self.onnx, "python": self.python, "export": self.export}
        if self.quantise is not None and self.onnx is not None:
            named[f"int8_{self.quantise}"] = self.onnx.with_suffix(".int8.onnx")
        return {form: path for form, path in named.items() if path is not None}


class NetworkTest(Model):
    """A network to measure. A field of None is taken from the run, the weights file or the data.

    The docstrings of fields are the help of `nasir test`. `genotype` is an argument of
    `nasir.load_genotype`, a training's run directory, or an ONNX file, which runs in ONNX Runtime
    if no `weights` are named. `recipe` defines the normalisation.
    """

    code: ClassVar[str] = "E505"

    genotype: str
    weights: Path | None = None
    """Weights (safetensors); a run's own."""
    data: str | None = None
    """cifar10:PATH, imagefolder:PATH, text:PATH, …; a run's own."""
    recipe: str | None = None
    """Recipe of normalisation and held-out data; a run's own."""
    size: NetworkSize = NetworkSize()
    space: str | None = None
    """The genotype's space: a name or a YAML file; by default, the space that the genotype names.
    """
    batch: BatchSize = 100
    """Images, or columns of text, per batch."""
    limit: Limit | None = None
    """Maximum number of images (tokens)."""
    device: str = "cpu"
    """cpu, cuda, cuda:1."""
    precision: str = "float32"
    """float32 or bf16."""


@checked
def compile_genotype(
    genotype: nasir.Genotype | str | Path,
    options: Options | None = None,
    progress: Display | None = None,
) -> Report:
    """Compiles a genotype, or an argument of `load_genotype`; writes the files in `options`.

    Options are checked before anything is written; each file is written atomically. Raises an error
    of reading and building, for the device, memory, weights, options, target, or if a file differs
    from the network.
    """
    check_alone()
    clock = Clock(progress or Display())
    with clock.quick_stage("read the genotype"):
        read, options = _read(genotype, options or Options())
        options = _checked(options, read.name)
    with clock.quick_stage("build the graph"):
        graph = options.size.build(read, features=options.features)
    with clock.quick_stage("run the passes"):
        _, passes = nasir.run_passes(graph, INFERENCE)
    with clock.stage("load torch"):
        from runners.forms.make import make_forms
    return make_forms(read, graph, passes, options, clock)


def _read(
    genotype: nasir.Genotype | str | Path, options: Options
) -> tuple[nasir.Genotype, Options]:
    """Returns the genotype, and the options completed from a run directory or a weights file.

    Raises an error for a run that has not ended.
    """
    if isinstance(genotype, nasir.Genotype):
        argument = ""
        read = genotype if options.space is None else adopt(genotype, options.space)
        read = named(read, read.space)
    else:
        argument, read = genotype, read_named(genotype, options.space)
    found = find_trained(argument, options.size, options.weights)
    return read, options.having(
        size=found.size,
        weights=found.weights,
        data=options.data or (None if options.features else found.data),
        recipe=options.recipe or found.recipe,
        limit=found.limit,
    )


def _checked(options: Options, name: str) -> Options:
    """Checks the options; names every file that goes into `directory`."""
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", options.device):
        message = f"unknown device {quoted(options.device)}"
        raise NasirError("E505", message, hint=nearest(options.device, ("cpu", "cuda", "cuda:0")))
    if options.ship is not None and options.target is None:
        options = options.having(target=AUTO)
    if options.directory is not None:
        stem = options.directory / re.sub(r"[^\w+-]+", "_", name)
        options = options.having(
            onnx=options.onnx or stem.with_name(f"{stem.name}.onnx"),
            python=options.python or stem.with_name(f"{stem.name}.py"),
            draw=options.draw or options.directory,
            report=options.report or options.directory / REPORT,
        )
    if options.without_head and options.weights is None:
        raise NasirError("E505", "'without_head' needs weights", hint="--weights FILE")
    if options.features and (options.data is not None or options.ship is not None):
        message = "features have no classes to predict"
        raise NasirError("E505", message, hint="leave --data and --ship out")
    if options.onnx_options and options.onnx is None:
        message = f"'{next(iter(options.onnx_options))}' needs an ONNX file"
        raise NasirError("E505", message, hint="add --onnx or -o")
    if options.quantise is not None and options.onnx is None:
        raise NasirError("E505", "quantising needs an ONNX file", hint="--onnx")
    asked = () if options.target in (None, AUTO) else (find_target(options.target),)
    eight_bit = any(name.startswith("int8") for name in (*options.files(), *asked))
    if eight_bit and (options.data is None or not options.check):
        message = "quantising needs data for value ranges and accuracies"
        raise NasirError("E505", message, hint="--data cifar10:PATH, or a run directory")
    _check_files(options)
    return options


def find_target(name: str) -> str:
    """Returns the name of a form. Raises an error for an unknown one."""
    if name not in TARGETS:
        message = f"unknown target {quoted(name)}"
        raise NasirError("E201", message, hint=nearest(name, (AUTO, *TARGETS)))
    return name


def _check_files(options: Options) -> None:
    """Raises an error for a file named twice, or a path that cannot be written."""
    if options.python is not None and options.python.suffix != ".py":
        hint = f"write to {options.python.with_suffix('.py')}"
        where = Where(str(options.python))
        raise NasirError("E505", "a Python file's name ends in .py", where, hint)
    weights = options.python and options.python.with_suffix(".safetensors")
    seen: set[Path] = set()
    for path in filter(None, (*options.files().values(), weights, options.report)):
        if path.resolve() in seen:
            raise NasirError(
                "E505",
                f"two outputs have the path {quoted(str(path))}",
                hint="a Python file's weights have its name with .safetensors",
            )
        seen.add(path.resolve())
        check_file(path)
    if options.draw is not None:
        check_directory(options.draw)
