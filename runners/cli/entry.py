"""The command `nasir`: its table of commands, errors and exit codes.

Reading the table imports no command, and no command imports torch before it runs.
"""

import errno
import gc
import json
import os
import sys
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from nasir.lazy import not_installed
from runners.machine.machine import (
    check_alone,
    offered_extensions,
    rank_here,
    set_openmp_wait_policy,
)
from runners.output import FAILED, exit_code, print_bug, print_error, print_line, visible

if TYPE_CHECKING:
    from nasir import NasirError

DONE, PIPE_CLOSED = 0, 141
_HELP = frozenset(("-h", "--help"))


@dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: a function, its module in this folder, its line of `nasir --help`."""

    name: str
    module: str
    summary: str
    together: bool = False
    """Whether several processes (torchrun) divide the work."""


GROUPS = {
    "Read and compare genotypes": (
        Command("convert", "genotypes", "Convert a genotype from one file format to another."),
        Command("check", "check", "Check genotype, space and graph files."),
        Command("show", "genotypes", "Print a network's graph as text, after any pass."),
        Command("draw", "genotypes", "Draw a genotype's cells."),
        Command("view", "view", "Write a page to look at and edit genotypes, spaces, runs."),
        Command("cost", "genotypes", "Count parameters, multiply-adds and activations."),
        Command("diff", "genotypes", "Compare two genotypes: edges, ops and cost."),
        Command("id", "genotypes", "Print the canonical id of genotypes."),
        Command("sample", "genotypes", "Draw genotypes from a search space."),
    ),
    "Search and train": (
        Command("search", "runs", "Search a space with a method, on data.", together=True),
        Command(
            "evaluate",
            "runs",
            "Train a genotype's network from scratch, and measure it.",
            together=True,
        ),
        Command("test", "runs", "Measure a trained network on held-out data."),
        Command("replay", "runs", "Repeat a run and check that the result is equal."),
        Command("plot", "runs", "Draw the figures of a run."),
        Command("sweep", "sweeps", "Run many searches or trainings, and compare them."),
        Command("compare", "sweeps", "Compare runs: mean, spread, cost, difference to random."),
        Command("score", "scoring", "Score untrained networks by zero-cost proxies."),
        Command("correlate", "scoring", "Correlate zero-cost proxies with a table's accuracies."),
    ),
    "Get the network out": (
        Command("compile", "runs", "Compile a genotype: a network, ONNX, Python, drawings."),
        Command("import-weights", "runs", "Translate weights of an original implementation."),
    ),
    "Look things up": (
        Command("spaces", "catalogues", "List the search spaces, or the published genotypes."),
        Command("methods", "catalogues", "List the search methods, or show the parts of one."),
        Command("recipes", "catalogues", "List the recipes of evaluations, or show one."),
        Command("ops", "catalogues", "List the ops, or show what one consists of."),
        Command("query", "benchmark", "Look an architecture up in a benchmark."),
        Command("bench", "benchmark", "Import a benchmark into a store, or show a store."),
        Command("examples", "catalogues", "Copy the example files to a directory."),
    ),
    "This machine": (Command("doctor", "check", "Report what works on this machine."),),
}
"""The commands by what they are for."""

# Not a nasir.Table: importing nasir takes longer than all of `nasir --help`.
COMMANDS = {row.name: row for rows in GROUPS.values() for row in rows}
assert len(COMMANDS) == sum(map(len, GROUPS.values())), "a command occurs twice"


class Commands(TyperGroup):
    """The commands of the table; a command's module is imported when it is called.

    Contexts are typed Any, since the module of their class varies with typer's version.
    """

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {
            row.name: TyperCommand(row.name, help=row.summary) for row in COMMANDS.values()
        }
        super().__init__(**settings)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Returns the called command, with its options; uses extensions before it is imported."""
        name, stub, rest = super().resolve_command(ctx, args)
        if name not in COMMANDS or not COMMANDS[name].together:
            check_alone()
        names = [*(ctx.params.get("extensions") or ()), *offered_extensions()]
        if names:
            from nasir import use  # not needed by most calls

            ctx.with_resource(use(*dict.fromkeys(names)))
        helped = not _HELP.isdisjoint(rest) or "_NASIR_COMPLETE" in os.environ
        return name, load_command(name, helped=helped) if name in COMMANDS else stub, rest

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes the commands of `nasir --help` by group."""
        width = max(map(len, COMMANDS))
        for title, rows in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(row.name.ljust(width), row.summary) for row in rows])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses arguments; notes whether errors are JSON."""
        ctx.obj = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; prints errors to stderr and exits with their code."""
        from nasir import NasirError  # not at the top: not needed by `nasir --help`

        try:
            return self._invoke(ctx)
        except NasirError as error:
            if rank_here() == 0:
                print_error(error, as_json=ctx.obj)
            else:
                _tell_torchrun(error)
            raise typer.Exit(exit_code(error)) from None
        except KeyboardInterrupt as stopped:
            raise typer.Exit(128 + getattr(stopped, "number", SIGINT)) from None
        except BrokenPipeError:
            _drop_output()
            raise typer.Exit(PIPE_CLOSED) from None
        except (OSError, MemoryError) as error:
            if "NASIR_DEBUG" in os.environ:
                raise
            print_error(_of_system(error), as_json=ctx.obj)
            raise typer.Exit(FAILED) from None
        except Exception as error:
            # The parser's own errors have exit codes; all others are bugs of nasir.
            if hasattr(error, "exit_code"):
                message: object = getattr(error, "message", None)
                if isinstance(message, str):
                    vars(error)["message"] = visible(message)  # the message repeats the argument
                raise
            if "NASIR_DEBUG" in os.environ:
                raise
            print_bug(error)
            raise typer.Exit(FAILED) from None

    def _invoke(self, ctx: Any) -> Any:
        """Runs the command; raises an error if it needs a package that is not installed."""
        try:
            return super().invoke(ctx)
        except ModuleNotFoundError as error:
            raise not_installed(error, f"nasir {ctx.invoked_subcommand}") from None


app = typer.Typer(
    name="nasir",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": sorted(_HELP)},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import nasir

        print_line(f"nasir {nasir.__version__}")
        raise typer.Exit(DONE)


@app.callback()
def describe(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
    extensions: Annotated[
        list[str] | None,
        typer.Option(
            "--use",
            metavar="EXTENSION",
            help="Use an extension: a Python file, a module, or an installed one's name.",
        ),
    ] = None,
) -> None:
    """nasir compiles cell architectures (neural architecture search).

    A GENOTYPE is a published name (darts_v2), a file (nasir's JSON or YAML, nnabla's JSON, the
    Python text Genotype(...), a NAS-Bench-201 string, an ONNX model that nasir wrote), such a
    text itself, or - for standard input.

    Exit codes: 0 done, 1 the work failed, 2 the call or its input is wrong, 128 + N ended by
    signal N.
    """
    del version, extensions  # used before the command is found


def main() -> None:
    """Runs the command line of this process."""
    set_openmp_wait_policy()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # looked for in all packages
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if rank_here() > 0:  # of several processes the first prints
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="nasir")
        finally:
            gc.freeze()
            _flush()
    except OSError as error:  # a full disk under stdout
        _drop_output()
        print_error(_of_system(error), as_json="--json" in sys.argv)
        sys.exit(FAILED)
    except Exception:
        if "_NASIR_COMPLETE" not in os.environ:  # set by shells, which complete wrong lines, too
            raise


def _tell_torchrun(error: "NasirError") -> None:
    """Writes the error where torchrun reads it: it prints the first one of its processes."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if path:
        facts = {"message": str(error), "timestamp": int(time.time())}
        Path(path).write_text(json.dumps(facts), encoding="utf-8")


def _of_system(error: OSError | MemoryError) -> "NasirError":
    """Returns the error for a refusal of the system that no reader or writer reported."""
    from nasir import NasirError, Where

    if isinstance(error, MemoryError):
        return NasirError("E744", "the memory of this machine is not enough")
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    code = "E112" if error.errno in _WRITING else "E101"
    what = "cannot be written" if code == "E112" else "cannot be used"
    name = "" if error.filename is None else str(error.filename)
    return NasirError(code, f"the {'path' if name else 'output'} {what}: {reason}", Where(name))


_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
"""Errors of writing only."""


def load_command(name: str, *, helped: bool = True) -> Any:
    """Returns the command of that name: a function from `as_command`, or a group."""
    from runners.cli.options import as_command

    function: Any = getattr(
        import_module(f"runners.cli.{COMMANDS[name].module}"), name.replace("-", "_")
    )
    if isinstance(function, typer.Typer):
        return get_command(function)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name)(as_command(function, helped=helped))
    return get_command(single)


def _flush() -> None:
    """Flushes stdout; a closed pipe is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    """Redirects buffered output to nowhere, to avoid the interpreter's message on exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
