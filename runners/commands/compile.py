"""`nasir compile`: a genotype into a network, and files and figures of it."""

from pathlib import Path
from typing import Annotated

import typer

from runners.commands.options import (
    AuxiliaryOption,
    ChannelsOption,
    ClassesOption,
    FromOption,
    GenotypeArgument,
    HiddenOption,
    InChannelsOption,
    JsonOption,
    LayersOption,
    ResolutionOption,
    SkeletonOption,
    SpaceOption,
    VocabularyOption,
)
from runners.experiment.size import NetworkSize
from runners.forms.compile import Options, compile_genotype
from runners.forms.progress import display_for_stderr
from runners.forms.report import print_report
from runners.forms.table import AUTO, FORMS
from runners.output import print_json

_Weights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights to load (safetensors).")
]
_Seed = Annotated[int, typer.Option(help="Of the initial weights.")]
_Onnx = Annotated[Path | None, typer.Option(metavar="FILE", help="Write an ONNX model.")]
_Inline = Annotated[bool, typer.Option("--inline", help="Write the ONNX model without functions.")]
_Python = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a stand-alone Python file, weights beside it."),
]
_Export = Annotated[
    Path | None, typer.Option(metavar="FILE.pt2", help="Write the program of torch.export.")
]
_Draw = Annotated[Path | None, typer.Option(metavar="DIR", help="Write drawings of the cells.")]
_Data = Annotated[
    str | None, typer.Option(help="Compare accuracies on it: cifar10:PATH, …; a run's own.")
]
_Check = Annotated[
    int, typer.Option(help="On at most so many held-out images (tokens); 0: on none.")
]
_Quantise = Annotated[
    str | None, typer.Option(help="dynamic or static: write ONNX of 8-bit numbers as well.")
]
_Target = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(FORMS)}; {AUTO} measures the exact ones, picks the fastest."),
]
_Ship = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Write the target's network and a program that runs it."),
]
_NoCompile = Annotated[
    bool, typer.Option("--no-compile", help="Leave torch.compile out; it can take minutes.")
]
_Batch = Annotated[int, typer.Option(help="Images in each measured call.")]
_Device = Annotated[str, typer.Option(help="Where speed is measured: cpu or cuda.")]
_Report = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all figures: FILE.json, or FILE.html.")
]
_Output = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="DIR", help="Write ONNX, Python, drawings and report here."
    ),
]


def compile(
    genotype: GenotypeArgument,
    space: SpaceOption = None,
    from_: FromOption = None,
    skeleton: SkeletonOption = None,
    channels: ChannelsOption = None,
    layers: LayersOption = None,
    classes: ClassesOption = None,
    resolution: ResolutionOption = None,
    in_channels: InChannelsOption = None,
    vocabulary: VocabularyOption = None,
    hidden: HiddenOption = None,
    auxiliary: AuxiliaryOption = False,
    weights: _Weights = None,
    seed: _Seed = 0,
    onnx: _Onnx = None,
    inline: _Inline = False,
    python: _Python = None,
    export: _Export = None,
    draw: _Draw = None,
    data: _Data = None,
    check: _Check = 1000,
    quantise: _Quantise = None,
    target: _Target = None,
    ship: _Ship = None,
    no_compile: _NoCompile = False,
    batch: _Batch = 1,
    device: _Device = "cpu",
    report: _Report = None,
    output: _Output = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a genotype: a network in torch, and ONNX, plain Python and drawings of it.

    Prints cost, passes, output shape, speed, and how far each file is from the network in torch.
    Nothing is written unless a file or directory is named. GENOTYPE may be the run directory of
    `nasir evaluate`: its weights are taken, and each file's accuracy is compared on its data.

    Example: nasir compile darts_v2 --channels 16 --layers 8 -o out
    """
    options = Options(
        size=NetworkSize(
            skeleton,
            channels,
            layers,
            classes,
            resolution,
            auxiliary,
            vocabulary,
            hidden,
            in_channels,
        ),
        weights=weights,
        seed=seed,
        compile=not no_compile,
        batch=batch,
        device=device,
        space=space,
        onnx=onnx,
        python=python,
        export=export,
        draw=draw,
        report=report,
        directory=output,
        inline=inline,
        data=data,
        check=check,
        quantise=quantise,
        target=target,
        ship=ship,
    )
    done = compile_genotype(genotype, options, display_for_stderr())
    if as_json:
        print_json(done.facts())
    else:
        print_report(done)
