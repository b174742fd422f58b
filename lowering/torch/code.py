"""The Python of a program: statements, each a value."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, EllipsisType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lowering.python_text import Names, attribute, identifier


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A value of a program, by its name there; `own`: whether it is a weight of the module."""

    name: str
    own: bool = False


_SIGNS: dict[Callable[..., Any], str] = {
    operator.add: "{} + {}",
    operator.mul: "{} * {}",
    operator.getitem: "{}[{}]",
}
_HOMES = {"torch": torch, "torch.nn.functional": F, "torch.Tensor": Tensor}
_PLAIN = (str, int, bool, type(None), slice, EllipsisType, torch.dtype, torch.memory_format)


class Code:
    """The statements of a function, a value each; it changes with every call.

    `names` are what the text uses from outside. A value is forgotten after the last statement that
    reads it, so that its memory is free.
    """

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"torch": torch}
        self._fresh = Names({"torch", "self"})
        self._arguments: list[str] = []
        self._lines: list[tuple[str, str, list[str]]] = []
        self._globals: dict[int, str] = {}
        self._parts: dict[str, str] = {}
        self._once: dict[tuple[Any, ...], Variable] = {}

    def argument(self, name: str) -> Variable:
        """Adds an argument."""
        self._arguments.append(self._fresh.fresh(identifier(name)))
        return Variable(self._arguments[-1])

    def weight(self, key: str) -> Variable:
        """A weight of the module, whose parts are looked up once each: that takes its time."""
        home, _, last = key.rpartition(".")
        place = self._part(home) if home else "self"
        reads = [place] if home else []
        return Variable(self._add(identifier(key), attribute(place, last), reads).name, own=True)

    def _part(self, path: str) -> str:
        """The name of the part of the module at that path."""
        if path not in self._parts:
            home, _, last = path.rpartition(".")
            place = self._part(home) if home else "self"
            made = self._add(f"at_{identifier(path)}", attribute(place, last), [place] * bool(home))
            self._parts[path] = made.name
        return self._parts[path]

    def call(
        self,
        name: str,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Variable:
        """A call of a function of values, and of what Python can write down."""
        reads: list[str] = []
        texts = [self._text(each, reads) for each in args]
        sign = _SIGNS.get(function) if isinstance(function, BuiltinFunctionType) else None
        if sign:
            return self._add(name, sign.format(*texts), reads)
        texts += [f"{key}={self._text(value, reads)}" for key, value in kwargs.items()]
        return self._add(name, f"{self._function(function)}({', '.join(texts)})", reads)

    def once(self, name: str, function: Callable[..., Any], args: tuple[Any, ...]) -> Variable:
        """A call, or the result of the same call before."""
        key = (function, *args)
        if key not in self._once:
            self._once[key] = self.call(name, function, args, {})
        return self._once[key]

    def text(self, name: str, first: str, outputs: Sequence[Variable]) -> str:
        """The function of that name; `first` is an argument before the others, if there is one."""
        lines: list[str] = []
        read = {value.name for value in outputs}
        for value, text, reads in reversed(self._lines):
            last = [each for each in dict.fromkeys((*reads, value)) if each not in read]
            read.update(last)
            forget = f";  {' = '.join(last)} = None" if last else ""
            lines.append(f"    {value} = {text}{forget}")
        given = ", ".join((*filter(None, [first]), *self._arguments))
        found = ", ".join(value.name for value in outputs)
        result = found if len(outputs) == 1 else f"({found})"
        body = "\n".join([*reversed(lines), f"    return {result}"])
        return f"def {name}({given}):\n{body}\n"

    def _add(self, name: str, text: str, reads: list[str]) -> Variable:
        value = Variable(self._fresh.fresh(name))
        self._lines.append((value.name, text, reads))
        return value

    def _text(self, value: Any, reads: list[str]) -> str:
        if isinstance(value, Variable):
            reads.append(value.name)
            return value.name
        if isinstance(value, tuple | list):
            each = [self._text(item, reads) for item in cast("Sequence[Any]", value)]
            if isinstance(value, list):
                return f"[{', '.join(each)}]"
            return f"({', '.join(each)}{',' * (len(each) == 1)})"
        if isinstance(value, _PLAIN) or (isinstance(value, float) and math.isfinite(value)):
            return repr(cast("object", value))
        return self._global(value)

    def _function(self, function: Callable[..., Any]) -> str:
        name = getattr(function, "__name__", "")
        for home, of in _HOMES.items():
            if getattr(of, name, None) is function:
                return f"{home}.{name}"
        return self._global(function)

    def _global(self, value: Any) -> str:
        if id(value) not in self._globals:
            name = self._fresh.fresh(identifier(getattr(value, "__name__", type(value).__name__)))
            self._globals[id(value)], self.names[name] = name, value
        return self._globals[id(value)]
