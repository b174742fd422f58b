"""Reads genotypes and sources that a user names on the command line."""

import os
import shlex
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from nasir import Genotype, NasirError, Where, dump_genotype, formats
from nasir.errors import LOG_LIMIT, MODEL_LIMIT, quoted
from nasir.files import Source, is_there, read_source
from nasir.formats import Reading
from nasir.formats.load import is_published, is_text, split
from nasir.graph import HEADER

STDIN = "-"

_SHORT = ("nasbench201", "darts", "natsbench_size")
"""Formats with a genotype on one line."""

_format: ContextVar[str | None] = ContextVar("format asked for", default=None)
"""The format of genotypes on the command line (`--from`)."""


@contextmanager
def reading_as(format_name: str | None) -> Generator[None]:
    """Sets the format of genotypes within the context, if one is given."""
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
    """Raises an error unless the directory is writable or can be created."""
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
    """Returns the genotype of a name, path, text or standard input (`-`), and its format.

    `FILE:NAME` is one of several in a file. `space`, a name or a path, overrides the genotype's
    own. A run directory means its genotype; an error if there is none yet.
    """
    if argument == STDIN:
        return read_opened(read_stdin(), "", space)
    if is_run(argument):
        argument = genotype_of(Path(argument))
    named = None if is_published(argument) else _format.get()  # the option is for others
    return formats.read_genotype(argument, space, format=named)


def read_opened(source: Source, name: str = "", space: str | Path | None = None) -> Reading:
    """Returns the genotype of a source, or the one of that name, and its format."""
    return formats.read_source_genotype(source, name, space, format=_format.get())


def read_each(
    source: Source, space: str | Path | None = None
) -> Iterator[tuple[str, Reading | NasirError]]:
    """Yields every genotype of a source by name, or its error."""
    for name, read in formats.each_genotype(source, space, format=_format.get()):
        try:
            yield name, read()
        except NasirError as error:
            yield name, error


def read_genotype(argument: str | Path, space: str | Path | None = None) -> Genotype:
    """Returns the genotype without its format."""
    return read(argument, space).genotype


def read_named(argument: str | Path, space: str | Path | None = None) -> Genotype:
    """Returns the genotype with a name: its own, its file's, or its space's."""
    return named(read_genotype(argument, space), argument)


def named(genotype: Genotype, argument: str | Path) -> Genotype:
    """Names an unnamed genotype after its file, or its space."""
    if genotype.name:
        return genotype
    file = str(split(argument)[0])
    name = Path(file).stem if file != STDIN and is_there(file) else genotype.space
    return replace(genotype, name=name)


def short_text(genotype: Genotype) -> str:
    """Returns the genotype in the first possible one-line format, else in nasir's."""
    for name in _SHORT:
        with suppress(NasirError):
            return dump_genotype(genotype, name)
    return dump_genotype(genotype)


def is_run(argument: str | Path) -> bool:
    """Whether the argument is the path of a run directory."""
    return is_there(str(argument)) and (Path(argument) / "run.json").is_file()


def genotype_of(run: Path) -> Path:
    """Returns the genotype file of a run. Raises an error if the run has not ended."""
    path = run / "genotype.json"
    if not path.is_file():
        from runners.folder.facts import read_facts  # not at the top: slow

        command = "evaluate" if read_facts(run).get("kind") == "evaluate" else "search"
        hint = f"nasir {command} --resume {shlex.quote(str(run))}"
        raise NasirError("E721", "the run has no genotype yet", Where(str(run)), hint)
    return path


def open_source(argument: str) -> tuple[Source, str] | None:
    """Returns the source of a file, a text or standard input, and the name after it, or "".

    None for a published name.
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
    """Whether a source is the text of a graph. Raises an error for binary files."""
    return not source.is_model and source.text.lstrip("\n").startswith(HEADER.rstrip("0123456789"))


def read_stdin() -> Source:
    """Reads standard input, up to one byte more than the maximum file size."""
    stream = sys.stdin.buffer
    head = stream.read(1)
    limit = MODEL_LIMIT if Source("<stdin>", head).is_model else LOG_LIMIT
    return Source("<stdin>", head + stream.read(limit), LOG_LIMIT).mended()
