"""`nasir draw`: drawings of a genotype's cells."""

from pathlib import Path
from typing import Annotated

import typer

from runners.commands.options import FromOption, GenotypeArgument, JsonOption, SpaceOption
from runners.inputs import read_named
from runners.output import print_json, print_line


def draw(
    genotype: GenotypeArgument,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the drawings go.")
    ] = Path(),
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT", help="svg (default), png, pdf or dot; repeatable."
        ),
    ] = None,
    space: SpaceOption = None,
    from_: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw a genotype's cells, one drawing for each kind.

    SVG and DOT need no other program; PNG and PDF need Graphviz's dot. Prints the files written.

    Example: nasir draw darts_v2 -o drawings --format svg --format dot
    """
    from nasir.draw import draw as draw_cells

    files = draw_cells(read_named(genotype, space), output, tuple(formats or ("svg",)))
    if as_json:
        print_json([str(file) for file in files])
        return
    for file in files:
        print_line(str(file))
