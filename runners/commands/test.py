"""`nasir test`: measure a trained network on held-out data."""

from pathlib import Path
from typing import Annotated

import typer

from runners.commands.options import (
    AuxiliaryOption,
    ChannelsOption,
    ClassesOption,
    FromOption,
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
from runners.forms.progress import display_for_stderr
from runners.output import Cell, TextTable, print_json, print_line, print_table

WRITTEN = 12
"""Up to so many classes the confusion matrix is printed."""

_Genotype = Annotated[
    str,
    typer.Argument(metavar="GENOTYPE", help="A name, a file, a run directory, an ONNX model."),
]
_Weights = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Weights (safetensors); a run's own.")
]
_Data = Annotated[
    str | None, typer.Option(help="cifar10:PATH, imagefolder:PATH, text:PATH, …; a run's own.")
]
_Recipe = Annotated[
    str | None, typer.Option(help="How data is normalised and held out; a run's own.")
]
_Batch = Annotated[int, typer.Option(help="Images, or columns of text, at a time.")]
_Limit = Annotated[int | None, typer.Option(help="At most so many images (tokens).")]
_Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1.")]
_Precision = Annotated[str, typer.Option(help="float32 or bf16.")]


def test(
    genotype: _Genotype,
    weights: _Weights = None,
    data: _Data = None,
    recipe: _Recipe = None,
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
    batch: _Batch = 100,
    limit: _Limit = None,
    device: _Device = "cpu",
    precision: _Precision = "float32",
    as_json: JsonOption = False,
) -> None:
    """Measure GENOTYPE's network with trained weights: loss, accuracy or perplexity, confusion.

    The size is that of the run, or what a weights file of nasir's says, unless it is named here.

    Example: nasir test darts_v2 --weights run/weights.safetensors --data digits
    """
    with display_for_stderr().stage("measure"):
        from runners.forms.exam import Exam, examine

        size = NetworkSize(
            skeleton,
            channels,
            layers,
            classes,
            resolution,
            auxiliary,
            vocabulary,
            hidden,
            in_channels,
        )
        found = examine(
            Exam(genotype, weights, data, recipe, size, space, batch, limit, device, precision)
        )
    facts = found.facts()
    if as_json:
        print_json(facts)
        return
    from runners.experiment.train import summary_table

    print_table(summary_table(facts))
    if 0 < len(found.classes) <= WRITTEN:
        print_line()
        print_table(_confusion(found.classes, found.confusion))


def _confusion(classes: tuple[str, ...], counts: list[list[int]]) -> TextTable:
    rows: list[tuple[Cell, ...]] = [(name, *row) for name, row in zip(classes, counts, strict=True)]
    return TextTable("", ("true \\ said", *classes), tuple(rows))
