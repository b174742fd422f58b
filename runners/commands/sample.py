"""`nasir sample`: genotypes drawn from a search space."""

import json
from random import Random
from typing import Annotated

import typer

import nasir
from nasir.errors import NasirError
from runners.commands.options import JsonOption
from runners.output import print_json, print_text

_SHORT = ("nasbench201", "darts")
"""Formats that write a genotype on one line."""


def sample(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A space: its name or file.")],
    count: Annotated[
        int, typer.Option("-n", "--count", min=1, max=1_000_000, help="How many genotypes.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, max=10**15, help="Decides every draw.")] = 0,
    to: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Of the output; else the shortest one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw genotypes from a search space, each as likely as any other.

    Example: nasir sample darts -n 5 --seed 0
    """
    drawn, random = nasir.load_space(space), Random(seed)
    genotypes = [nasir.sample(drawn, random) for _ in range(count)]
    if as_json:
        print_json([_facts(drawn, genotype) for genotype in genotypes])
        return
    for genotype in genotypes:
        text = nasir.dump_genotype(genotype, to) if to else _shortest(genotype)
        print_text(text if text.endswith("\n") else f"{text}\n")


def _facts(space: nasir.Space, genotype: nasir.Genotype) -> dict[str, object]:
    return {
        "rank": nasir.rank(space, genotype),
        "id": nasir.canonical_id(genotype),
        "genotype": json.loads(nasir.dump_genotype(genotype, "nasir"))["genotype"],
    }


def _shortest(genotype: nasir.Genotype) -> str:
    """On one line in the first format that holds the genotype, else in nasir's."""
    for name in _SHORT:
        try:
            return nasir.dump_genotype(genotype, name)
        except NasirError:
            continue
    return nasir.dump_genotype(genotype, "nasir")
