"""Checks arguments of public functions against their annotations."""

from collections import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, wraps
from inspect import Parameter, signature
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Any,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from nasir.lazy import not_installed

P = ParamSpec("P")
R = TypeVar("R")

_MADE_BY = {
    "Genotype": "nasir.load_genotype(name) gives one",
    "Graph": "nasir.network(genotype) and nasir.supernet(space) make one",
    "Module": "nasir.to_torch(graph) makes one",
    "Network": "nasir.to_torch(graph) makes one",
    "Space": "nasir.load_space(name) gives one",
}
_CALLABLE: Any = abc.Callable
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    NoneType: "None",
    _CALLABLE: "a function",
    Mapping: "a mapping",
    Sequence: "a sequence",
    Iterable: "a sequence",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Wraps a function so that each call checks its arguments.

    An argument that does not fit its annotation raises a TypeError with the expected types, a text
    that is not in a Literal a ValueError. Items of collections are not checked. A package that the
    function needs and that is not installed is an error of nasir.
    """
    shape = signature(function)
    fixed = [
        name
        for name, parameter in shape.parameters.items()
        if parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    seen: set[tuple[object, ...]] = set()  # types and names of arguments that fit for any value

    @cache
    def hints() -> dict[str, Any]:
        found = get_type_hints(function)
        return {name: hint for name, hint in found.items() if name in fixed}

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        types = tuple(map(type, args))
        if kwargs:
            types += (*kwargs, *map(type, kwargs.values()))
        if types not in seen:
            given = shape.bind(*args, **kwargs).arguments
            wanted = {name: hint for name, hint in hints().items() if name in given}
            for name, hint in wanted.items():
                if not _fits(given[name], hint):
                    raise _wrong(name, given[name], hint)
            parts = (part for hint in wanted.values() for part in _parts(hint))
            if not any(get_origin(part) is Literal for part in parts):
                seen.add(types)
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise not_installed(error, f"nasir.{function.__name__}") from error

    return call


def check_arguments(given: Mapping[str, object], hint: Any) -> None:
    """Raises what `checked` raises, for arguments that a function takes by any name."""
    for name, value in given.items():
        if not _fits(value, hint):
            raise _wrong(name, value, hint)


def _wrong(name: str, value: object, hint: Any) -> Exception:
    words = [
        word for each in _parts(hint) for word in get_args(each) if get_origin(each) is Literal
    ]
    if words and isinstance(value, str):
        return ValueError(f"`{name}` is none of: {', '.join(map(str, words))}")
    wanted = list(dict.fromkeys(_named(each) for each in _parts(hint)))
    made = [_MADE_BY[part] for each in _parts(hint) if (part := _plain_name(each)) in _MADE_BY]
    text = " or ".join(wanted).replace(" or ", ", ", max(0, len(wanted) - 2))
    hinted = f": {made[0]}" if made else ""
    return TypeError(f"`{name}` must be {text}, not {type(value).__name__}{hinted}")


def _named(hint: Any) -> str:
    origin = get_origin(hint) or hint
    if origin is Literal:
        return " or ".join(map(str, get_args(hint)))
    if origin in _WORDS:
        return _WORDS[origin]
    name = _plain_name(origin)
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name[0].lower()}{name[1:]}"


def _plain_name(hint: Any) -> str:
    return str(getattr(hint, "__name__", hint))


def _parts(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a union, or the annotation alone."""
    if get_origin(hint) in (Union, UnionType):
        return tuple(part for each in get_args(hint) for part in _parts(each))
    return (hint,)


def _fits(value: object, hint: Any) -> bool:
    return any(_fits_one(value, part) for part in _parts(hint))


def _fits_one(value: object, hint: Any) -> bool:
    origin = get_origin(hint) or hint
    if origin is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if origin in (int, float):
        return isinstance(value, Integral if origin is int else Real)
    if origin is _CALLABLE:
        return callable(value)
    if origin is Mapping:  # torch's own mappings and lists are of no abstract class
        return hasattr(value, "keys") and hasattr(value, "__getitem__")
    if origin is Sequence:
        return hasattr(value, "__len__") and hasattr(value, "__iter__") and not _is_text(value)
    if origin is Iterable:
        return hasattr(value, "__iter__")
    if getattr(origin, "_is_protocol", False):
        members = [name for name in vars(cast("type", origin)) if not name.startswith("_")]
        return all(hasattr(value, name) for name in members)
    return not isinstance(origin, type) or isinstance(value, origin)


def _is_text(value: object) -> bool:
    return isinstance(value, str | bytes) or hasattr(value, "keys")
