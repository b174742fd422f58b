"""What a user names on the command line, read."""

import sys
from dataclasses import replace
from pathlib import Path

from nasir import Genotype, NasirError, Where, formats
from nasir.formats import Reading
from nasir.formats.load import is_published, is_text, split
from nasir.source import LOG_LIMIT, MODEL_LIMIT, Source, is_there, read_source
from nasir.text import HEADER

STDIN = "-"


def read(argument: str | Path, space: str | Path | None = None) -> Reading:
    """The genotype of a name, a path, a text, or of standard input (`-`), and its format.

    `FILE:NAME` is one of several in a file. `space`, a name or a path, is its space whatever it
    says itself. The path of a run directory stands for the genotype in it; E755 where it has none
    yet.
    """
    if argument == STDIN:
        return read_opened(read_stdin(), "", space)
    if is_run(argument):
        argument = genotype_of(Path(argument))
    return formats.read_genotype(argument, space)


def read_opened(source: Source, name: str = "", space: str | Path | None = None) -> Reading:
    """The genotype of a source, or the one of that name in it, and its format."""
    return formats.read_source_genotype(source, name, space)


def read_genotype(argument: str | Path, space: str | Path | None = None) -> Genotype:
    """The genotype alone."""
    return read(argument, space).genotype


def read_named(argument: str | Path, space: str | Path | None = None) -> Genotype:
    """The same with a name: its own, or that of its file, or that of its space."""
    return named(read_genotype(argument, space), argument)


def named(genotype: Genotype, argument: str | Path) -> Genotype:
    """The genotype with the name of the file it came from, or of its space, if it has none."""
    if genotype.name:
        return genotype
    file = str(split(argument)[0])
    name = Path(file).stem if file != STDIN and is_there(file) else genotype.space
    return replace(genotype, name=name)


def is_run(argument: str | Path) -> bool:
    """Whether it is the path of a run directory."""
    text = str(argument)
    return "\n" not in text and is_there(text) and (Path(text) / "run.json").is_file()


def genotype_of(run: Path) -> Path:
    """The file of a run's genotype. Raises E755 where the run has not ended."""
    path = run / "genotype.json"
    if not path.is_file():
        message = "the run has no genotype yet"
        raise NasirError("E755", message, Where(str(run)), hint="go on with it: --resume")
    return path


def open_source(argument: str) -> tuple[Source, str] | None:
    """The content of a file, a text or standard input, and the name asked for in it, perhaps empty.

    None for the name of something published.
    """
    if argument == STDIN:
        return read_stdin(), ""
    if is_published(argument):
        return None
    if is_text(argument):
        return Source.of(argument), ""
    path, name = split(argument)
    return read_source(path, LOG_LIMIT), name


def is_graph(source: Source) -> bool:
    """Whether a source is the text of a graph. Raises E103 and E106 for what is no text."""
    return not source.is_model and source.text.lstrip("\n").startswith(HEADER.rstrip("0123456789"))


def read_stdin() -> Source:
    """What stands on standard input, up to one byte more than any file may have."""
    stream = sys.stdin.buffer
    head = stream.read(1)
    limit = MODEL_LIMIT if Source("<stdin>", head).is_model else LOG_LIMIT
    return Source("<stdin>", head + stream.read(limit), LOG_LIMIT)
