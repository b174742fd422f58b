"""Pieces of Python, and how they break over lines as a formatter would break them."""

from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Code:
    """An expression: a call of `head` on `parts`, or `parts` with the operator `head` between.

    A call's head ends in an opening bracket; anything else is one part without a head.
    """

    head: str
    parts: tuple[str, ...]

    @property
    def is_call(self) -> bool:
        """Whether it is a call."""
        return self.head.endswith("(")

    @property
    def is_operation(self) -> bool:
        """Whether it is a chain of one operator."""
        return bool(self.head) and not self.is_call

    def __str__(self) -> str:
        if self.is_call:
            return f"{self.head}{', '.join(self.parts)})"
        return f" {self.head} ".join(self.parts) if self.head else self.parts[0]


def call(function: str, *arguments: str) -> Code:
    """A call; empty arguments are left out."""
    return Code(f"{function}(", tuple(argument for argument in arguments if argument))


def operation(operator: str, parts: Iterable[str]) -> Code:
    """A chain of one operator."""
    return Code(operator, tuple(parts))


def text(source: str) -> Code:
    """An expression as it stands."""
    return Code("", (source,))


def statement(lead: str, code: Code, indent: int) -> list[str]:
    """The lines of `lead` (`x = `, `return `) and an expression, none longer than `WIDTH`."""
    pad = " " * indent
    line = f"{pad}{lead}{code}"
    if len(line) <= WIDTH or len(code.parts) < 2:
        return [line]
    deeper = f"{pad}    "
    if code.is_operation:
        first, *rest = code.parts
        body = [f"{deeper}{first}", *(f"{deeper}{code.head} {part}" for part in rest)]
        return [f"{pad}{lead}(", *body, f"{pad})"]
    arguments = f"{deeper}{', '.join(code.parts)}"
    body = [arguments] if len(arguments) <= WIDTH else [f"{deeper}{part}," for part in code.parts]
    return [f"{pad}{lead}{code.head}", *body, f"{pad})"]


def signature(name: str, arguments: Iterable[str], result: str) -> list[str]:
    """The lines of a method's `def`."""
    arguments = ["self", *arguments]
    line = f"    def {name}({', '.join(arguments)}) -> {result}:"
    if len(line) <= WIDTH:
        return [line]
    return [f"    def {name}(", *(f"        {a}," for a in arguments), f"    ) -> {result}:"]
