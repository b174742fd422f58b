"""Turns functions into typer commands: options from models' fields, output of replies."""

import ast
import inspect
import textwrap
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, wraps
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, cast, get_args, get_origin
from typing import get_type_hints as hints_of

import typer
from pydantic import BaseModel

import nasir
from nasir import NasirError, Where
from nasir.files import is_there, not_there
from nasir.formats.load import find_entry, is_published, is_text, no_format, split
from runners.cli.completion import completed
from runners.data.name import parse_data
from runners.inputs import STDIN, reading_as
from runners.output import print_reply

GenotypeArgument = Annotated[
    str,
    typer.Argument(
        metavar="GENOTYPE",
        help="A published name, a file, FILE:NAME, a text, or - for stdin.",
    ),
]
SpaceOption = Annotated[
    str | None,
    typer.Option(
        metavar="SPACE",
        help="The genotype's space: a name or a YAML file; the one it names by default.",
    ),
]

RayOption = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Work on Ray: local, or a cluster's address."),
]

_GENOTYPES = ("genotype", "genotypes", "files", "first", "second", "source")
_READ = ("genotype", "genotypes", "space", "method", "recipe", "name", "weights", "file")
_RUNS = ("run", "resume", "inherit")
"""Parameters of commands that name genotypes, readable inputs (files, names or texts), and runs."""


class Fields(NamedTuple):
    """Metadata of a parameter whose options are the fields of a model, nested ones included.

    The parameter is an instance of the model, or a mapping of the fields set by the user.
    """

    model: type[Any]
    without: tuple[str, ...] = ()


def as_command(function: Callable[..., Any], *, helped: bool = True) -> Callable[..., None]:
    """Returns a command with an option for each field of `Fields`; prints the function's reply.

    Without `helped` these options have no help, which takes milliseconds to read. Adds --from to
    functions with genotypes, and --json to those that return a reply.
    """
    hints = hints_of(function, include_extras=True)
    models = {name: found for name, hint in hints.items() if (found := _fields_of(hint))}
    given = inspect.signature(function).parameters
    shown: list[inspect.Parameter] = []
    for name, parameter in given.items():
        if name in models:
            shown += _options(models[name], helped=helped)
        else:
            shown.append(_parameter(name, hints[name], parameter.default))
    if set(_GENOTYPES) & set(given):
        shown.append(_parameter("from_", _FROM, None))
    shown.append(_parameter("use", _USE, None))
    if hints["return"] is not NoneType:
        shown.append(_parameter("as_json", _JSON, False))

    @wraps(function)
    def command(**options: Any) -> None:
        check_inputs(options)
        for name in ("from_", "use"):
            options.pop(name, None)  # its callback has used it
        as_json = options.pop("as_json", False)
        for name, fields in models.items():
            named = _named(fields, options)
            is_mapping = get_origin(get_args(hints[name])[0]) is dict
            options[name] = named if is_mapping else fields.model(**named)
        reply = function(**options)
        if reply is not None:
            print_reply(reply, as_json=as_json)
            if reply.code:
                raise typer.Exit(reply.code)

    shown = [completed(function.__name__, parameter) for parameter in shown]
    command.__signature__ = inspect.Signature(shown)  # pyright: ignore[reportAttributeAccessIssue]
    command.__annotations__ = {p.name: p.annotation for p in shown}
    return command


def _read_as(ctx: typer.Context, name: str | None) -> str | None:
    """Sets the format of genotypes until the command ends."""
    ctx.with_resource(reading_as(name))
    return name


_FROM = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="FORMAT",
        callback=_read_as,
        help="The genotype's format; needed for plain numbers, else detected.",
    ),
]


def _use(ctx: typer.Context, names: list[str] | None) -> None:
    """Uses extensions until the command ends."""
    if names:
        ctx.with_resource(nasir.use(*names))


_USE = Annotated[
    list[str] | None,
    typer.Option(
        metavar="EXTENSION",
        callback=_use,
        is_eager=True,
        help="Use an extension: a Python file, a module, or an installed one's name.",
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print facts, and errors, as JSON.")]


class _Field(NamedTuple):
    name: str
    hint: Any
    default: Any
    help: str


def _fields_of(hint: Any) -> Fields | None:
    return next((each for each in getattr(hint, "__metadata__", ()) if type(each) is Fields), None)


def _each(fields: Fields, *, helped: bool = False) -> Iterator[_Field]:
    """Yields the fields of the model, with the docstrings below them if `helped`."""
    model, hints = fields.model, hints_of(fields.model, include_extras=True)
    if issubclass(model, BaseModel):
        model.model_rebuild()  # has a signature from then on
    helps = ChainMap(*map(_docstrings, model.__mro__ if helped else ()))
    for name, parameter in inspect.signature(model).parameters.items():
        if name not in fields.without:
            yield _Field(name, hints[name], parameter.default, helps.get(name, ""))


@cache
def _docstrings(kind: type) -> dict[str, str]:
    """Returns the docstring below each field. Parses the source once, which takes milliseconds."""
    ours = kind.__module__.startswith("runners.")
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)) if ours else "class _: ...")
    return {
        ast.unparse(field.target): " ".join(str(ast.literal_eval(below.value)).split())
        for field, below in pairwise(cast("ast.ClassDef", tree.body[0]).body)
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr)
    }


def _options(fields: Fields, *, helped: bool) -> Iterator[inspect.Parameter]:
    """Yields an option for each field; unset ones are None, or False for switches."""
    for name, hint, default, text in _each(fields, helped=helped):
        kind, flag = _kind(hint), name.replace("_", "-")
        if issubclass(kind, BaseModel):
            yield from _options(Fields(kind, fields.without), helped=helped)
        elif kind is bool:
            switch = typer.Option(f"--{'no-' if default else ''}{flag}", help=text)
            yield _parameter(name, Annotated[bool, switch], False)
        else:
            tail = "" if default is None else f"; {default}"
            option = typer.Option(f"--{flag}", help=f"{text.rstrip('.')}{tail}.")
            yield _parameter(name, Annotated[kind | None, option], None)


def _named(fields: Fields, options: dict[str, Any]) -> dict[str, Any]:
    """Removes the fields set by the user from `options`. Raises an error for a wrong value."""
    found: dict[str, Any] = {}
    for name, hint, default, _ in _each(fields):
        kind = _kind(hint)
        if issubclass(kind, BaseModel):
            inner = _named(Fields(kind, fields.without), options)
            if inner:
                found[name] = inner
            continue
        value = options.pop(name)
        if get_origin(hint) is Literal and value not in (None, *get_args(hint)):
            known = ", ".join(get_args(hint))
            raise wrong_call(f"--{name.replace('_', '-')} is '{value}'", f"one of: {known}")
        if value is not None and value is not False:
            found[name] = not default if kind is bool else value
    return found


def _kind(hint: Any) -> type:
    """Returns the type of an annotation for parsing; values are checked later."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _kind(next(each for each in get_args(hint) if each is not NoneType))
    if origin is Literal:
        return str
    return _kind(get_args(hint)[0]) if origin is Annotated else hint


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=default, annotation=annotation)


def wrong_call(message: str, hint: str) -> NasirError:
    """Returns the error of a wrong call."""
    return NasirError("E505", message, hint=hint)


def check_inputs(parameters: Mapping[str, object]) -> None:
    """Raises an error for missing files, data or runs, or for --from without a file to read.

    This is fast, whereas a command that loads torch first takes seconds.
    """
    genotypes = [each for name in _GENOTYPES for each in _values(parameters.get(name)) if each]
    if parameters.get("from_") and genotypes and all(find_entry(str(each)) for each in genotypes):
        raise no_format(str(genotypes[0]))
    for parameter, value in parameters.items():
        for each in _values(value):
            if not isinstance(each, str | Path) or each == STDIN:
                continue
            if parameter in _RUNS and not is_there(str(each)):
                raise NasirError("E721", "there is no such run", Where(str(each)))
            if parameter in _READ and not is_published(each) and not is_text(str(each)):
                path = str(split(each)[0])
                if not is_there(path):
                    raise not_there(path)
            if parameter == "data" and isinstance(each, str):
                check_data(each)


def _values(value: object) -> Iterable[object]:
    return cast("Iterable[object]", value) if isinstance(value, list | tuple) else (value,)


def check_data(text: str) -> None:
    """Raises an error for an unknown or missing data set."""
    path = parse_data(text).path
    if path is not None and not is_there(str(path)):
        raise NasirError("E701", "the data is not there; nothing is downloaded", Where(str(path)))
