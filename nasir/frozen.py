"""`frozen`: dataclasses that take a quarter of the usual time to define."""

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

_NAMES = (
    *("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__delattr__"),
    *("__getstate__", "__setstate__"),
)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Makes the class a dataclass that is frozen and has slots.

    Instances behave like those of `dataclass(frozen=True, slots=True)`, which compiles six
    functions one by one: for the classes that a command imports that takes as long as a bare start
    of Python. Only `__init__` is compiled here. Subclasses of dataclasses are made as usual.
    """
    if any(hasattr(base, "__dataclass_fields__") for base in cls.__mro__[1:]):
        return dataclass(frozen=True, slots=True)(cls)
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    shown = [row.name for row in fields(made) if row.repr]
    values = _values([row.name for row in fields(made) if row.compare])

    def text(self: Any) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name in shown]
        return f"{type(self).__qualname__}({', '.join(parts)})"

    def equal(self: Any, other: object) -> bool:
        same = other.__class__ is self.__class__
        return values(self) == values(other) if same else NotImplemented

    def number(self: Any) -> int:
        return hash(values(self))

    refused, states = (_refuse, _refuse), (_state, _set_state)
    functions = (_init(made), text, equal, number, *refused, *states)
    for name, function in zip(_NAMES, functions, strict=True):
        if made.__dict__.get(name) is None:
            setattr(made, name, function)
    for name in ("init", "repr", "eq", "frozen"):
        setattr(made.__dataclass_params__, name, True)
    return made


def _init(made: Any) -> Callable[..., None]:
    """The function that sets the fields: by their slots, since assignments are refused."""
    scope: dict[str, Any] = {"MISSING": MISSING}
    arguments, last, lines = ["self"], ["*"], list[str]()
    for row in fields(made):
        name = value = argument = row.name
        scope[f"set_{name}"] = made.__dict__[name].__set__
        if row.default is not MISSING:
            scope[f"default_{name}"], argument = row.default, f"{name}=default_{name}"
        elif row.default_factory is not MISSING:
            scope[f"make_{name}"], argument = row.default_factory, f"{name}=MISSING"
            value = f"make_{name}() if {name} is MISSING else {name}"
        (last if row.kw_only else arguments).append(argument)
        lines.append(f" set_{name}(self, {value})\n")
    if hasattr(made, "__post_init__"):
        lines.append(" self.__post_init__()\n")
    arguments += last if len(last) > 1 else []
    exec(f"def __init__({', '.join(arguments)}):\n{''.join(lines) or ' pass'}", scope)
    found = scope["__init__"]
    found.__qualname__ = f"{made.__qualname__}.__init__"
    found.__annotations__ = {row.name: row.type for row in fields(made)} | {"return": None}
    return found


def _values(names: list[str]) -> Callable[[Any], Any]:
    """The function that returns the tuple of these fields."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda self: tuple([getattr(self, name) for name in names])


def _refuse(self: Any, name: str, *value: object) -> None:
    del self
    raise FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, row.name) for row in fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for row, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, row.name, value)
