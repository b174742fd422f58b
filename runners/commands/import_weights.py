"""`nasir import-weights`: weights of the original implementations as nasir's."""

from pathlib import Path
from typing import Annotated

import typer

from runners.commands.options import (
    FromOption,
    GenotypeArgument,
    JsonOption,
    SkeletonOption,
    SpaceOption,
)
from runners.experiment.size import NetworkSize, describe_size
from runners.output import Cell, TextTable, print_json, print_line, print_table


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
    from_: FromOption = None,
    skeleton: SkeletonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Translate weights that an original implementation trained for GENOTYPE into nasir's keys.

    NetworkCIFAR, NetworkImageNet and RNNModel of DARTS, of the code that copied it and of
    AutoDL-Projects, NAS-Bench-201's TinyNetwork, and supernets of DARTS, for which GENOTYPE is the
    space. Files are loaded without running code in them; sizes are read from the tensors.
    `nasir compile` and `nasir test` take the result with --weights.

    Example: nasir import-weights darts_v2 cifar10_model.pt -o darts_v2.safetensors
    """
    from runners.originals import import_weights as do_import

    done = do_import(genotype, file, output, NetworkSize(skeleton), space)
    if as_json:
        print_json(done.facts())
        return
    rows: list[tuple[Cell, ...]] = [
        ("from", done.family),
        ("network", describe_size(done.size) + (", auxiliary head" if done.auxiliary else "")),
        ("tensors", done.tensors),
        ("numbers", done.numbers),
        ("left out", ", ".join(done.left_out) or "nothing"),
    ]
    print_table(TextTable("", (done.genotype, ""), tuple(rows)))
    print_line(f"wrote {done.path}")
