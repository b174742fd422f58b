"""The command `nasir`: finds the command's module, and turns errors into lines and exit codes."""

import errno
import os
import sys
from importlib import import_module
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from runners.commands import COMMANDS, Command
from runners.machine.machine import check_alone, wait_briefly
from runners.output import print_bug, print_error, print_line, visible

if TYPE_CHECKING:
    from nasir import NasirError

DONE, FAILED, WRONG_CALL, PIPE_CLOSED = 0, 1, 2, 141

FAILURES = ("E112", "E501", "E502", "E504", "E724", "E725", "E741", "E744", "E756")
"""Errors where the call was right and the work failed on this machine: exit code 1.

Every other NasirError says that the call or its input is wrong: exit code 2, as for an option
that does not exist. `diff` returns 1 for genotypes that differ, like diff(1).
"""


class Commands(TyperGroup):
    """The commands of the table. A command's module is imported when it is called.

    Contexts are typed Any: their class has another place in every version of typer.
    """

    def __init__(self, **settings: Any) -> None:
        settings["commands"] = {
            row.name: TyperCommand(row.name, help=row.summary) for row in COMMANDS.values()
        }
        super().__init__(**settings)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, with its options."""
        name, stub, rest = super().resolve_command(ctx, args)
        return name, _load(COMMANDS[name]) if name in COMMANDS else stub, rest

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Notes whether errors are to be JSON, and parses."""
        ctx.obj = "--json" in args
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """The command's result; its errors become lines on stderr and an exit code."""
        from nasir import NasirError  # not at the top: `nasir --help` has no use for it

        try:
            check_alone()
            return super().invoke(ctx)
        except NasirError as error:
            print_error(error, as_json=ctx.obj)
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
            # The parser's own errors know their exit code; everything else is a fault of nasir's.
            if hasattr(error, "exit_code"):
                message: object = getattr(error, "message", None)
                if isinstance(message, str):
                    vars(error)["message"] = visible(message)  # it repeats what was given
                raise
            if "NASIR_DEBUG" in os.environ:
                raise
            print_bug(error)
            raise typer.Exit(FAILED) from None


class ReadingCommand(TyperCommand):
    """A command that fails at once where a file that it reads is not there."""

    def invoke(self, ctx: Any) -> Any:
        """The command's result."""
        from runners.inputs import check_there  # not at the top: `--help` has no use for it

        check_there(ctx.params)
        return super().invoke(ctx)


app = typer.Typer(
    name="nasir",
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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
) -> None:
    """nasir compiles cell architectures (neural architecture search).

    A GENOTYPE is a published name (darts_v2), a file (nasir's JSON or YAML, nnabla's JSON, the
    Python text Genotype(...), a NAS-Bench-201 string, an ONNX model that nasir wrote), such a
    text itself, or - for standard input.

    Exit codes: 0 done, 1 the work failed, 2 the call or its input is wrong, 128 + N ended by
    signal N.
    """
    del version  # its callback has answered


def main() -> None:
    """Run the command line of this process."""
    wait_briefly()
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by who started the process
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="nasir")
        finally:
            _flush()
    except OSError as error:  # a full disk under what is printed
        _drop_output()
        print_error(_of_system(error), as_json="--json" in sys.argv)
        sys.exit(FAILED)


def exit_code(error: "NasirError") -> int:
    """1 when the work failed, 2 when the call or its input is wrong."""
    return FAILED if error.code in FAILURES else WRONG_CALL


def _of_system(error: OSError | MemoryError) -> "NasirError":
    """What the system refused, where no reader or writer said so itself."""
    from nasir import NasirError, Where

    if isinstance(error, MemoryError):
        return NasirError("E744", "the memory of this machine is not enough")
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    code = "E112" if error.errno in _WRITING else "E102"
    what = "cannot be written" if code == "E112" else "cannot be used"
    name = "" if error.filename is None else str(error.filename)
    return NasirError(code, f"the {'path' if name else 'output'} {what}: {reason}", Where(name))


_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)
"""Errors that only writing has."""


def _load(row: Command) -> Any:
    """The command that a function's signature describes, or a module's group of commands."""
    name = row.name.replace("-", "_")
    module = import_module(f"runners.commands.{name}")
    if hasattr(module, "group"):
        return get_command(module.group)
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(row.name, cls=ReadingCommand)(getattr(module, name))
    return get_command(single)


def _flush() -> None:
    """Flush what was printed; a reader that has left is no error."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()


def _drop_output() -> None:
    """Let what is still buffered go nowhere, or the interpreter complains when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
