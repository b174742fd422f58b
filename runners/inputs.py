"""What a user names on the command line, read."""

import os
import shlex
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from nasir import Genotype, NasirError, Where, formats
from nasir.errors import quoted
from nasir.formats import Reading
from nasir.formats.load import is_published, is_text, split
from nasir.limits import LOG_LIMIT, MODEL_LIMIT
from nasir.source import Source, is_there, read_source
from nasir.text import HEADER

STDIN = "-"

_format: ContextVar[str | None] = ContextVar("format asked for", default=None)
"""The format that the command line says genotypes are in (`--from`)."""


@contextmanager
def reading_as(format_name: str | None) -> Generator[None]:
    """While this lasts, genotypes are read in that format, if it is one."""
    if format_name is not None:
        formats.named_format(format_name)
    token = _format.set(format_name)
    try:
        yield
    finally:
        _format.reset(token)


def check_file(path: Path) -> None:
    """Raises an error unless a file can be written there. Pipes and devices are not replaced."""
    if path.is_dir():
        raise _unwritable(path, "it is a directory")
    if path.exists() and not path.is_file():
        raise _unwritable(path, "it is not a regular file")
    check_directory(path.parent)


def check_directory(directory: Path) -> None:
    """Raises an error unless files can be made in the directory, or it can be made itself."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise _unwritable(directory, f"{quoted(str(there))} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(directory, f"no permission for {quoted(str(there))}")


def _unwritable(path: Path, reason: str) -> NasirError:
    return NasirError(
        "E112",
        f"{quoted(str(path))} cannot be written: {reason}",
        Where(str(path)),
        hint="choose another path, or make this one writable",
    )


def read(argument: str | Path, space: str | Path | None = None) -> Reading:
    """The genotype of a name, a path, a text, or of standard input (`-`), and its format.

    `FILE:NAME` is one of several in a file. `space`, a name or a path, is its space whatever it
    says itself. The path of a run directory stands for the genotype in it; an error where it has
    none yet.
    """
    if argument == STDIN:
        return read_opened(read_stdin(), "", space)
    if is_run(argument):
        argument = genotype_of(Path(argument))
    named = None if is_published(argument) else _format.get()  # it is for the others of a call
    return formats.read_genotype(argument, space, format=named)


def read_opened(source: Source, name: str = "", space: str | Path | None = None) -> Reading:
    """The genotype of a source, or the one of that name in it, and its format."""
    return formats.read_source_genotype(source, name, space, format=_format.get())


def read_each(
    source: Source, space: str | Path | None = None
) -> Iterator[tuple[str, Reading | NasirError]]:
    """Every genotype of a source by name, or why it cannot be read."""
    for name, read in formats.each_genotype(source, space, format=_format.get()):
        try:
            yield name, read()
        except NasirError as error:
            yield name, error


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
    return is_there(str(argument)) and (Path(argument) / "run.json").is_file()


def genotype_of(run: Path) -> Path:
    """The file of a run's genotype. Raises an error where the run has not ended."""
    path = run / "genotype.json"
    if not path.is_file():
        from runners.folder.facts import read_facts  # pydantic, which few calls need

        command = "evaluate" if read_facts(run).get("kind") == "evaluate" else "search"
        hint = f"nasir {command} --resume {shlex.quote(str(run))}"
        raise NasirError("E721", "the run has no genotype yet", Where(str(run)), hint)
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
    return read_source(path, LOG_LIMIT).mended(), name


def is_graph(source: Source) -> bool:
    """Whether a source is the text of a graph. Raises an error for what is no text."""
    return not source.is_model and source.text.lstrip("\n").startswith(HEADER.rstrip("0123456789"))


def read_stdin() -> Source:
    """What stands on standard input, up to one byte more than any file may have."""
    stream = sys.stdin.buffer
    head = stream.read(1)
    limit = MODEL_LIMIT if Source("<stdin>", head).is_model else LOG_LIMIT
    return Source("<stdin>", head + stream.read(limit), LOG_LIMIT).mended()
