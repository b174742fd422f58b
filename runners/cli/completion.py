"""Completion in shells: the names that an argument or option takes. Imports no torch."""

from collections.abc import Callable
from copy import copy
from importlib import import_module
from inspect import Parameter
from typing import Annotated, get_args


def completed(command: str, parameter: Parameter) -> Parameter:
    """Returns the parameter of a command's function, with completion if its values are names."""
    names = _NAMES.get(f"{command} {parameter.name}", _NAMES.get(parameter.name))
    if names is None:
        return parameter
    kind, info = get_args(parameter.annotation)
    info = copy(info)
    info.autocompletion = names
    return parameter.replace(annotation=Annotated[kind, info])


def _genotypes() -> list[str]:
    from nasir.formats import entries

    return list(dict.fromkeys(entry.name.lower() for entry in entries()))


def _spaces() -> list[str]:
    from nasir.space.load import space_names

    return list(space_names())


def _genotypes_and_spaces() -> list[str]:
    return list(dict.fromkeys([*_genotypes(), *_spaces()]))


def _rows(module: str, name: str) -> Callable[[], list[str]]:
    """Returns a function that lists a table of a module; no command needs all of the modules."""
    return lambda: list(getattr(import_module(module), name))


_NAMES: dict[str, Callable[[], list[str]]] = {
    **dict.fromkeys(("genotype", "genotypes", "first", "second", "source"), _genotypes),
    **dict.fromkeys(("cost genotype", "files", "sources"), _genotypes_and_spaces),
    **dict.fromkeys(("space", "spaces name"), _spaces),
    **dict.fromkeys(("method", "methods name"), _rows("runners.experiment.recipe", "METHODS")),
    **dict.fromkeys(("recipe", "recipes name"), _rows("runners.experiment.recipe", "RECIPES")),
    **dict.fromkeys(("to", "from_"), _rows("nasir.formats", "FORMATS")),
    "ops name": _rows("nasir.macros", "ALL_OPS"),
    "after": _rows("nasir.passes", "PASSES"),
    "skeleton": _rows("nasir.space.skeletons", "SKELETONS"),
    "target": _rows("runners.forms.compile", "TARGETS"),
    "bench": _rows("runners.benchmarks.record", "KINDS"),
}
"""By name of the parameter, or of the function and the parameter."""
