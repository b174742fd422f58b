"""Arguments and options that several commands have."""

from typing import Annotated

import typer

GenotypeArgument = Annotated[
    str,
    typer.Argument(
        metavar="GENOTYPE",
        help="A published name, a file, FILE:NAME, a text, or - for stdin.",
    ),
]
SpaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="SPACE",
        help="The genotype's space: a name or a YAML file; the one it names by default.",
    ),
]


def _read_as(ctx: typer.Context, name: str | None) -> str | None:
    """Genotypes are in that format until the command ends."""
    from runners.inputs import reading_as

    ctx.with_resource(reading_as(name))
    return name


FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FORMAT",
        callback=_read_as,
        help="The genotype's format, where numbers alone do not say it; found by itself otherwise.",
    ),
]
SkeletonOption = Annotated[
    str | None,
    typer.Option(help="cifar, imagenet, nasbench201, rnn, …; the space's own by default."),
]
ChannelsOption = Annotated[int | None, typer.Option(help="Initial channels.")]
LayersOption = Annotated[
    int | None, typer.Option(help="Cells; for nasbench201, cells in each stage.")
]
ClassesOption = Annotated[int | None, typer.Option(help="Classes.")]
ResolutionOption = Annotated[int | None, typer.Option(help="Height and width of the image.")]
InChannelsOption = Annotated[
    int | None, typer.Option(help="Channels of the image: 3, or 1 where it is grey.")
]
VocabularyOption = Annotated[int | None, typer.Option(help="Words; of rnn.")]
HiddenOption = Annotated[int | None, typer.Option(help="Width of embedding and state; of rnn.")]
AuxiliaryOption = Annotated[bool, typer.Option("--auxiliary", help="Add the auxiliary head.")]
TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust-pickle", help="Load a pickle that asks for more than data: it may run any code."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print facts, and errors, as JSON.")]
