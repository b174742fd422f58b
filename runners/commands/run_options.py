"""The options of `nasir search` and `nasir evaluate`: the fields of an experiment, and values that
have an option of their own."""

import inspect
import math
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import typer

from runners.experiment.experiment import Experiment, RunOptions, Search


class Short(NamedTuple):
    """An option for a value of a recipe: its name there, its type, its help."""

    value: str
    kind: type
    help: str


COMMON = {
    "epochs": Short("train.epochs", int, "Epochs in all; the method's or the recipe's own."),
    "batch": Short("train.batch", int, "Images, or columns of text, a step."),
    "channels": Short("network.channels", int, "Initial channels."),
    "layers": Short("network.layers", int, "Cells; for nasbench201, in a stage."),
    "in_channels": Short("network.in_channels", int, "Channels of the image; what the data has."),
    "hidden": Short("network.hidden", int, "Units of the recurrent network."),
    "vocabulary": Short("network.vocabulary", int, "Words; what the data has."),
}
"""Values that both commands have an option for."""

Out = Annotated[
    Path | None, typer.Option("-o", "--out", metavar="RUN", help="The run directory to make.")
]
Resume = Annotated[
    Path | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")
]
_Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A value: optimizer.lr=0.05."),
]


def asking(
    short: Mapping[str, Short], *, search: bool
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorates a command, whose `asked` becomes options; it gets what the user named.

    `asked` is a mapping of an `Experiment`, with the fields that were named alone.
    """
    own = ("recipe", "space", "inherit", "weights")
    top = [name for name in ("data", "seed", *own) if not search or name not in own]
    fields = dict.fromkeys(top, (Experiment, ()))
    fields |= {name: (Search, ("search",)) for name in Search.model_fields if search}
    others = () if search else ("memory",)
    fields |= {n: (RunOptions, ("run",)) for n in RunOptions.model_fields if n not in others}

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        given = inspect.signature(function, eval_str=True).parameters
        shown = [p for name, p in given.items() if name != "asked"]
        for name, (model, _) in fields.items():
            shown.append(_option(name, model))
        for name, row in short.items():
            option = Annotated[row.kind | None, typer.Option(help=row.help)]
            shown.append(_parameter(name, option, None))
        shown.append(_parameter("set_", _Set, None))

        @wraps(function)
        def command(**options: Any) -> None:
            asked: dict[str, Any] = {}
            for name, (model, path) in fields.items():
                value = options.pop(name)
                if value is not None and value is not False:
                    _check_choice(name, model.model_fields[name].annotation, value)
                    inner = asked
                    for key in path:
                        inner = inner.setdefault(key, {})
                    inner[name] = value
            values = {row.value: options.pop(name) for name, row in short.items()}
            values = {name: value for name, value in values.items() if value is not None}
            values |= dict(map(_value, options.pop("set_") or ()))
            function(**options, asked=asked | ({"values": values} if values else {}))

        signature = inspect.Signature(shown)
        command.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
        command.__annotations__ = {p.name: p.annotation for p in shown}
        return command

    return decorate


def _option(name: str, model: type[Any]) -> inspect.Parameter:
    """The option of a model's field: None, or False of a switch, is what was not named."""
    field = model.model_fields[name]
    kind = _kind(field.annotation)
    default = field.default
    text = str(field.description).rstrip(".")
    tail = "" if default is None or kind is bool else f"; {default}"
    helps = f"{text}{tail}."
    if kind is bool:
        flag = typer.Option(f"--{name.replace('_', '-')}", help=helps)
        return _parameter(name, Annotated[bool, flag], default)
    return _parameter(name, Annotated[kind | None, typer.Option(help=helps)], None)


def _check_choice(name: str, hint: Any, value: object) -> None:
    """Raises E505 for a word that is none of the field's."""
    if get_origin(hint) is Literal and value not in get_args(hint):
        known = ", ".join(get_args(hint))
        raise wrong(f"--{name.replace('_', '-')} is '{value}'", f"one of: {known}")


def _kind(hint: Any) -> type:
    """The type that the command line reads for an annotation; words are checked by the model."""
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _kind(next(each for each in get_args(hint) if each is not NoneType))
    if origin is Literal:
        return str
    return _kind(get_args(hint)[0]) if origin is Annotated else hint


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _value(text: str) -> tuple[str, bool | int | float | str]:
    """The name and the value of a `--set`. Raises E505."""
    name, equals, given = text.partition("=")
    if not equals:
        hint = "for example --set optimizer.lr=0.05"
        raise wrong(f"--set '{text}' is no NAME=VALUE", hint)
    if given in ("true", "false"):
        return name, given == "true"
    for kind in (int, float):
        try:
            number = kind(given)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number):
            return name, number
    return name, given


def fresh_run(stem: str) -> Path:
    """runs/STEM, numbered where that is taken."""
    number, path = 1, Path("runs") / stem
    while path.exists():
        number += 1
        path = Path("runs") / f"{stem}-{number}"
    return path


def wrong(message: str, hint: str) -> Any:
    """E505, to be raised."""
    from nasir import NasirError

    return NasirError("E505", message, hint=hint)
