"""`nasir id`: the canonical id of genotypes."""

from typing import Annotated

import typer

import nasir
from runners.commands.options import FromOption, JsonOption
from runners.inputs import read_named
from runners.output import print_json, print_line


def id(
    genotypes: Annotated[
        list[str],
        typer.Argument(
            metavar="GENOTYPE...", help="Published names, files, texts, or - for standard input."
        ),
    ],
    from_: FromOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the canonical id of genotypes: equal for equal architectures.

    Example: nasir id darts_v1 darts_v2
    """
    found = [
        {"genotype": genotype.name, "id": nasir.canonical_id(genotype)}
        for genotype in map(read_named, genotypes)
    ]
    if as_json:
        print_json(found)
        return
    for facts in found:
        print_line(f"{facts['id']}  {facts['genotype']}")
