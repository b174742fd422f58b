"""`nasir examples`: the example files that come with nasir, copied to where they can be edited."""

from pathlib import Path
from typing import Annotated

import typer

from nasir.errors import NasirError, Where
from nasir.files import write_atomically
from nasir.space.locate import spaces_directory
from runners.commands.options import JsonOption
from runners.output import print_json, print_line


def examples(
    out: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where the files go.")
    ] = Path("examples"),
    as_json: JsonOption = False,
) -> None:
    """Copy the example files: two spaces with a genotype each, and files of other formats.

    A file that is there and differs is left alone, and is an error before anything is written.

    Example: nasir examples
    """
    copies = {
        out / path.name: path.read_bytes()
        for path in sorted((spaces_directory() / "examples").iterdir())
    }
    for path, content in copies.items():
        if path.exists() and not (path.is_file() and path.read_bytes() == content):
            message = "the file is there already, with another content"
            hint = "choose another directory with --output, or move the file away"
            raise NasirError("E112", message, Where(str(path)), hint=hint)
    written = [str(write_atomically(path, content)) for path, content in copies.items()]
    if as_json:
        print_json(written)
    else:
        for path in written:
            print_line(path)
