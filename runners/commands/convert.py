"""`nasir convert`: a genotype from one file format to another."""

from pathlib import Path
from typing import Annotated

import typer

import nasir
from nasir.files import write_atomically
from runners.commands.options import FromOption, SpaceOption
from runners.inputs import check_file, read
from runners.output import print_line, print_note, print_text


def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="A published name, a file, a text, or - for standard input."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(metavar="FORMAT", help="nasir, darts, nnabla, nasbench101, nasbench201, …"),
    ] = "nasir",
    space: SpaceOption = None,
    from_: FromOption = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Instead of stdout.")
    ] = None,
) -> None:
    """Convert a genotype from one file format to another.

    The format of IN is detected, and named on stderr. A format that cannot hold the genotype says
    what it cannot hold.

    Example: nasir convert DARTS_arch.json --to darts
    """
    if output is not None:
        check_file(output)
    reading = read(source, space)
    text = nasir.dump_genotype(reading.genotype, to)
    text += "" if text.endswith("\n") else "\n"
    print_note(f"read as {reading.described}")
    if output is None:
        print_text(text)
    else:
        print_line(str(write_atomically(output, text.encode())))
